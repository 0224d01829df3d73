"""From waiting to ready: what is due, what was answered, whose turn has come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from playbooks_engine import lanes
from playbooks_engine.journal import Claim
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
# A waiting run of a playbook with max_concurrent= waits for this; the free slots go to who has waited longest.
NO_SLOT = "Waits until fewer runs of this playbook are under way."
GIVE_SLOTS = """
UPDATE playbooks_engine_sequence SET wake_at = now() WHERE id IN (
    SELECT s.id FROM playbooks_engine_playbookrun r JOIN playbooks_engine_sequence s ON s.id = r.sequence_id
    WHERE r.playbook_id = %s AND r.state IN ('pending', 'waiting') AND s.state = 'waiting' AND s.waits_for = %s
    ORDER BY r.sequence_id
    LIMIT greatest(0, %s - (SELECT count(*) FROM playbooks_engine_playbookrun
                            WHERE playbook_id = %s AND state = 'running'))
    FOR UPDATE OF s SKIP LOCKED)"""

# The run whose turn it is could not be started or carried on.
FAILED = """
UPDATE playbooks_engine_playbookrun SET deaths = deaths + 1 WHERE id = (
    SELECT id FROM playbooks_engine_playbookrun
    WHERE sequence_id = %s AND state IN ('pending', 'running') ORDER BY position LIMIT 1)"""


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
        elif lane := lanes.behind(sequence.pk):
            sequence.state, sequence.waits_for = Sequence.State.WAITING, lanes.turn_in(lane)
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


def give_slots(playbook_id: UUID, limit: int) -> int:
    """Have as many waiting runs of the playbook look again as may be under way besides those that are; how many."""
    with connection.cursor() as cursor:
        cursor.execute(GIVE_SLOTS, (playbook_id, NO_SLOT, limit, playbook_id))
        return cursor.rowcount


def give_back(claim: Claim, *, failed: bool = False) -> None:
    """Ready again, for whoever claims it next; ``failed`` counts against the run whose turn it is."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE playbooks_engine_sequence SET state = 'ready', claimed_by = NULL, fence = fence + 1 "
            "WHERE id = %s AND fence = %s AND claimed_by = %s AND state = 'running'",
            (claim.sequence_id, claim.fence, claim.worker_id),
        )
        if failed and cursor.rowcount:
            cursor.execute(FAILED, (claim.sequence_id,))
