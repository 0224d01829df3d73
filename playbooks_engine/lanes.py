"""Lanes: sequences about one thing (``lane="hostname"``) take turns, in the order in which they were stored.

A sequence holds one ticket in each of its lanes, all issued in the transaction that stores it, under the lanes' locks.
The lowest ticket of a lane has its turn; a sequence is ready when that holds in all its lanes. Lanes are always locked
in sorted order, and before any sequence that a turn may go to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from playbooks_engine.models import LaneTicket, Sequence

MAX_LANE = 300
LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended(lane, 7041002))
FROM (SELECT unnest(%s::text[]) AS lane ORDER BY 1) l"""
# Those of the lanes' first sequences that are first in all their lanes, and wait for nothing else.
TURN = """
UPDATE playbooks_engine_sequence s SET state = 'ready', waits_for = ''
WHERE s.state = 'waiting' AND s.wake_at IS NULL AND cardinality(s.lanes) > 0
AND s.id IN (
    SELECT DISTINCT ON (lane) sequence_id FROM playbooks_engine_laneticket
    WHERE lane = ANY(%s) ORDER BY lane, id)
AND NOT EXISTS (
    SELECT 1 FROM playbooks_engine_laneticket mine
    JOIN playbooks_engine_laneticket before ON before.lane = mine.lane AND before.id < mine.id
    WHERE mine.sequence_id = s.id)"""
# What a turn that was never given (its giver died, rows were deleted) is noticed by.
STRANDED = """
SELECT DISTINCT l.lane FROM playbooks_engine_sequence s, unnest(s.lanes) AS l(lane)
WHERE s.state = 'waiting' AND s.wake_at IS NULL AND cardinality(s.lanes) > 0
AND NOT EXISTS (
    SELECT 1 FROM playbooks_engine_laneticket mine
    JOIN playbooks_engine_laneticket before ON before.lane = mine.lane AND before.id < mine.id
    WHERE mine.sequence_id = s.id)
LIMIT 1000"""

# A lane in which others go before a sequence.
BEHIND = """
SELECT mine.lane FROM playbooks_engine_laneticket mine
JOIN playbooks_engine_laneticket before ON before.lane = mine.lane AND before.id < mine.id
WHERE mine.sequence_id = %s ORDER BY mine.lane LIMIT 1"""


def lanes_of(partner_id: UUID, fields: Iterable[str], subject: Mapping[str, Any]) -> list[str]:
    """The lanes that ``fields`` of ``subject`` name, sorted; a field without a value names none."""
    lanes = set()
    for field in fields:
        if field and (value := subject.get(field)) not in (None, "", [], {}):
            lanes.add(f"{partner_id}:{field}={str(value).lower()}"[:MAX_LANE])
    return sorted(lanes)


def lock(lanes: Iterable[str]) -> None:
    """Hold the lanes until commit."""
    wanted = sorted(set(lanes))
    if wanted:
        with connection.cursor() as cursor:
            cursor.execute(LOCK, (wanted,))


def issue(sequences: Iterable[Sequence]) -> None:
    """Give new sequences (about to be stored in this transaction) their tickets; who must wait is set to wait."""
    waiting = [sequence for sequence in sequences if sequence.lanes]
    if not waiting:
        return
    wanted = {lane for sequence in waiting for lane in sequence.lanes}
    lock(wanted)
    taken = set(
        LaneTicket.objects.filter(lane__in=wanted).order_by().values_list("lane", flat=True).distinct()
    )
    tickets = []
    for sequence in waiting:
        blocked = [lane for lane in sequence.lanes if lane in taken]
        if blocked:
            sequence.state = Sequence.State.WAITING
            sequence.waits_for = turn_in(blocked[0])
        taken.update(sequence.lanes)
        tickets += [LaneTicket(lane=lane, sequence=sequence) for lane in sequence.lanes]
    LaneTicket.objects.bulk_create(tickets)


def turn_in(lane: str) -> str:
    """What a sequence waits for, in words."""
    return f"Waits for its turn: another sequence about {lane.partition(':')[2]} goes first."[:MAX_LANE]


def leave(sequences: Iterable[tuple[UUID, Iterable[str]]]) -> None:
    """Give up the sequences' tickets and give the turn on. The lanes must be locked."""
    ids: list[UUID] = []
    lanes: set[str] = set()
    for sequence_id, own in sequences:
        ids.append(sequence_id)
        lanes.update(own)
    if not lanes:
        return
    LaneTicket.objects.filter(sequence_id__in=ids).delete()
    give_turn(lanes)


def give_turn(lanes: Iterable[str]) -> int:
    """Make ready who is first now. The lanes must be locked. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(TURN, (sorted(lanes),))
        return cursor.rowcount


def behind(sequence_id: UUID) -> str:
    """A lane in which the sequence has no turn yet; empty where it has its turn in all. The lanes must be locked."""
    with connection.cursor() as cursor:
        cursor.execute(BEHIND, (sequence_id,))
        found = cursor.fetchone()
    return str(found[0]) if found else ""


def stranded() -> list[str]:
    """Lanes in which somebody has the turn and was never told."""
    with connection.cursor() as cursor:
        cursor.execute(STRANDED)
        return [lane for (lane,) in cursor.fetchall()]
