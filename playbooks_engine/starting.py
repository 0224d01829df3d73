"""Events become sequences and runs: the one place that stores them, inside the transaction of what happened."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from opensoar import clock
from opensoar.actors import Actor
from opensoar.ids import uuid7
from playbooks_engine import bell, lanes
from playbooks_engine.failpoints import reached
from playbooks_engine.models import PlaybookRun, Sequence
from playbooks_engine.triggers import Trigger

logger = logging.getLogger(__name__)
MAX_DEPTH = 5  # runs that one another started, the first included
# A run that a run's change started says so in requested_by; a retry stands in the place of what it repeats.
CHAIN = """
WITH RECURSIVE chain AS (
  SELECT id, playbook_id, sequence_id, requested_kind, requested_by, retry_of_id, 1 AS step
  FROM playbooks_engine_playbookrun WHERE id = %s
  UNION ALL
  SELECT r.id, r.playbook_id, r.sequence_id, r.requested_kind, r.requested_by, r.retry_of_id, step + 1
  FROM chain JOIN playbooks_engine_playbookrun r
    ON r.id = CASE chain.requested_kind WHEN 'playbook' THEN chain.requested_by ELSE chain.retry_of_id END
  WHERE step < 100
)
SELECT chain.playbook_id, s.correlation_id, chain.retry_of_id IS NULL
FROM chain JOIN playbooks_engine_sequence s ON s.id = chain.sequence_id ORDER BY step"""


@dataclass(frozen=True, slots=True)
class Cause:
    """Who changed what triggers playbooks.

    What a run changes starts no playbook that its own chain has already (itself, what started it, and so on), and
    nothing at all once the chain is ``MAX_DEPTH`` long: each chain ends, and so does every tree of them.
    """

    actor: Actor | None = None
    correlation_id: UUID | None = None
    chain: frozenset[UUID] = frozenset()
    depth: int = 0

    @classmethod
    def of(cls, actor: Actor) -> Cause:
        """What ``actor`` does may start; asks the database where it is a run."""
        if actor.kind != "playbook" or actor.id is None:
            return cls()
        with connection.cursor() as cursor:
            cursor.execute(CHAIN, (actor.id,))
            rows = cursor.fetchall()
        if not rows:
            return cls()
        return cls(actor, rows[0][1], frozenset(row[0] for row in rows), sum(1 for row in rows if row[2]))

    def allowed(self, triggers: Iterable[Trigger]) -> list[Trigger]:
        """Those that may be started."""
        if self.depth >= MAX_DEPTH:
            run = self.actor.id if self.actor else None
            logger.warning("run %s is number %d of its chain: its changes start no more", run, self.depth)
            return []
        return [trigger for trigger in triggers if trigger.playbook_id not in self.chain]


NOBODY = Cause()


@dataclass(frozen=True, slots=True)
class Start:
    """One event with the playbooks it triggers, in their order: a sequence to be."""

    event: str
    triggers: list[Trigger]
    partner_id: UUID
    subject: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: UUID | None = None
    alert_id: UUID | None = None
    incident_id: UUID | None = None
    observable_id: UUID | None = None
    input: str | None = None  # JSON, what each run gets


def store(starts: list[Start], cause: Cause = NOBODY) -> None:
    """Store the sequences with their runs, and ring once they are committed. Inside the caller's transaction."""
    if not starts:
        return
    now = clock.now()
    requested = {}
    if cause.actor is not None:
        who = cause.actor
        requested = {"requested_kind": who.kind, "requested_by": who.id, "requested_name": who.name[:150]}
    sequences, runs = [], []
    for start in starts:
        sequence = Sequence(
            partner_id=start.partner_id,
            alert_id=start.alert_id,
            incident_id=start.incident_id,
            observable_id=start.observable_id,
            event=start.event,
            correlation_id=cause.correlation_id or start.correlation_id or uuid7(),
            priority=min(trigger.priority for trigger in start.triggers),
            total=len(start.triggers),
            lanes=lanes.lanes_of(start.partner_id, [t.lane for t in start.triggers], start.subject),
            isolated=any(trigger.isolated for trigger in start.triggers),
            created_at=now,
        )
        sequences.append(sequence)
        runs += [
            PlaybookRun(
                sequence=sequence, position=position, playbook_id=trigger.playbook_id, input=start.input,
                created_at=now, **requested,
            )
            for position, trigger in enumerate(start.triggers, start=1)
        ]  # fmt: skip
    lanes.issue(sequences)
    Sequence.objects.bulk_create(sequences)
    PlaybookRun.objects.bulk_create(runs)
    reached("hook.before_commit")
    transaction.on_commit(_stored, robust=True)


def _stored() -> None:
    reached("hook.after_commit")
    bell.ring()
