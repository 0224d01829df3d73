"""From waiting to ready: what is due, what was answered, whose turn has come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction
from django.db.models.functions import Now

from playbooks_engine import lanes
from playbooks_engine.models import LaneTicket, Sequence

BATCH = 500
# Without lanes nothing else is to be thought of: one statement.
DUE = """
UPDATE playbooks_engine_sequence SET state = 'ready', wake_at = NULL, waits_for = ''
WHERE id IN (SELECT id FROM playbooks_engine_sequence
             WHERE state = 'waiting' AND wake_at <= now() AND cardinality(lanes) = 0
             ORDER BY wake_at LIMIT %s FOR UPDATE SKIP LOCKED)"""
# Seconds until the next one, at most a minute.
NEXT = """
SELECT extract(epoch FROM min(wake_at) - now()), now() FROM playbooks_engine_sequence WHERE state = 'waiting'"""


def wake_due() -> int:
    """Make ready whatever was to wait until now; returns how many. Every worker's sweep calls this."""
    with connection.cursor() as cursor:
        cursor.execute(DUE, (BATCH,))
        woken = cursor.rowcount
    due = Sequence.objects.filter(state=Sequence.State.WAITING, wake_at__lte=Now()).exclude(lanes=[])
    for sequence in due.order_by("wake_at")[:BATCH]:
        with transaction.atomic():
            lanes.lock(sequence.lanes)
            locked = due.select_for_update(skip_locked=True).filter(pk=sequence.pk).first()
            if locked is not None:
                woken += wake([locked])
    return woken


def next_due() -> tuple[float, datetime]:
    """Seconds until the next one is due, at most a minute, and what time it is: by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(NEXT)
        seconds, now = cursor.fetchone()
    return (60.0 if seconds is None else min(float(seconds), 60.0)), now


def wake(sequences: Iterable[Sequence]) -> int:
    """Make waiting sequences ready, or have them queue in their lanes again. They and their lanes must be locked."""
    woken = 0
    for sequence in sequences:
        sequence.state, sequence.wake_at, sequence.waits_for = Sequence.State.READY, None, ""
        if sequence.lanes and not LaneTicket.objects.filter(sequence=sequence).exists():
            lanes.issue([sequence])
        sequence.save(update_fields=["state", "wake_at", "waits_for"])
        woken += sequence.state == Sequence.State.READY
    return woken


def rescue_turns() -> int:
    """Give the turns that were never given; returns how many."""
    stranded = lanes.stranded()
    if not stranded:
        return 0
    with transaction.atomic():
        lanes.lock(stranded)
        return lanes.give_turn(stranded)
