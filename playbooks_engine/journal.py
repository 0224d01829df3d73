"""The journal's writer: fenced writes of many concurrent calls in few commits, by one thread per worker process.

A write is the rows of one step of one run. It is stored only while this worker still holds the run's sequence: the
sequence row is locked FOR SHARE and its fence compared inside the same transaction, so a rescuer either waits for the
write and then reads it, or comes first and the write hits nothing (``LostClaim``).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.db.utils import InterfaceError, InternalError, OperationalError
from psycopg_pool import PoolTimeout

from alerts.models import Alert, AlertEntry
from opensoar.timeline import Draft, record_many
from playbooks_engine import lanes

logger = logging.getLogger(__name__)

type Statement = tuple[str, tuple[Any, ...]]

BATCH = 200  # writes in one commit at the most
# InternalError: how PostgreSQL's ending a transaction that took too long reaches us (bound_transactions).
CONNECTION_ERRORS = (
    OperationalError, InterfaceError, InternalError, PoolTimeout, psycopg.OperationalError, psycopg.InternalError,
)  # fmt: skip


def bound_transactions(seconds: float) -> None:
    """Have PostgreSQL end any transaction of this process that lasts longer; to be called before the first.

    A worker that is stopped in the middle of one holds what it has locked: its sequence, which nobody could take over.
    (idle_in_transaction_session_timeout, see settings.py, does not see one that is stopped while it sends a pipeline.)
    """
    with psycopg.connect(settings.DATABASE_URL) as probe:
        if probe.info.server_version < 170_000:
            return
    options = connection.settings_dict["OPTIONS"]
    options["options"] = (
        f"{options.get('options', '')} -c transaction_timeout={int(max(seconds, 2.0) * 1000)}"
    )


class LostClaim(Exception):
    """Another worker holds the sequence now, or nobody does: this one must let the run go."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a sequence: its id, the fence of this claim, and the worker that made it."""

    sequence_id: UUID
    fence: int
    worker_id: UUID


@dataclass(slots=True)
class Write:
    """One step's rows. ``statements`` run in order; ``entry`` is appended to the alert's timeline; the sequence then
    gives up its turn in the lanes ``leaves``."""

    claim: Claim
    statements: list[Statement]
    entry: tuple[UUID, Draft] | None = None
    leaves: tuple[str, ...] = ()
    done: Future[None] = field(default_factory=Future)


def check_fence(claim: Claim, run_id: UUID) -> None:
    """Inside a transaction: hold the claim until commit.

    Raises:
        LostClaim: it is not ours any more, or the run has ended.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM playbooks_engine_sequence s JOIN playbooks_engine_playbookrun r ON r.sequence_id = s.id "
            "WHERE s.id = %s AND s.fence = %s AND s.claimed_by = %s AND r.id = %s AND r.state = 'running' "
            "FOR SHARE OF s",
            (claim.sequence_id, claim.fence, claim.worker_id, run_id),
        )
        if cursor.fetchone() is None:
            raise LostClaim(str(claim.sequence_id))


def batches[T](submitted: queue.SimpleQueue[T | None], limit: int) -> Iterator[list[T]]:
    """What has come together, at most ``limit`` at a time, until ``None`` comes."""
    while (item := submitted.get()) is not None:
        batch = [item]
        while len(batch) < limit and not submitted.empty():
            if (item := submitted.get()) is None:
                yield batch
                return
            batch.append(item)
        yield batch


class JournalWriter:
    """Takes writes from the event loop, stores them in order of arrival."""

    def __init__(self, *, give_up_after: float) -> None:
        """``give_up_after``: seconds without a database after which a write fails with LostClaim (the lease)."""
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._give_up_after = give_up_after
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Store what was submitted, then end the thread; waits ``timeout`` seconds at the most."""
        self._queue.put(None)
        self._thread.join(timeout)

    def submit(self, write: Write) -> Future[None]:
        """Queue a write; the future tells when it is durable, or why it is not."""
        write.done.set_running_or_notify_cancel()  # whoever waits for it may go; the write stays
        self._queue.put(write)
        return write.done

    def _run(self) -> None:
        for batch in batches(self._queue, BATCH):
            self._store(batch)
        connection.close()

    def _store(self, batch: list[Write]) -> None:
        try:
            self._attempt(batch, lambda: store_batch(batch))
        except LostClaim as error:
            for write in batch:
                write.done.set_exception(error)
        except Exception:
            # Something in the batch cannot be stored; alone, only the culprit fails.
            logger.warning("journal batch of %d failed; storing one by one", len(batch), exc_info=True)
            for write in batch:
                try:
                    self._attempt([write], lambda w=write: store_batch([w]))  # type: ignore[misc]
                except Exception as error:
                    write.done.set_exception(error)

    def _attempt(self, batch: list[Write], store: Callable[[], list[Write]]) -> None:
        deadline = time.monotonic() + self._give_up_after
        while True:
            try:
                lost = store()
            except CONNECTION_ERRORS as error:
                connection.close()
                if time.monotonic() > deadline:
                    raise LostClaim("the database was away for longer than the lease") from error
                time.sleep(0.1)
                continue
            for write in batch:
                if write in lost:
                    write.done.set_exception(LostClaim(str(write.claim.sequence_id)))
                else:
                    write.done.set_result(None)
            return


def store_batch(batch: list[Write]) -> list[Write]:
    """One transaction; the writes whose claim is lost are left out and returned. Locks: alerts, lanes, sequences."""
    with transaction.atomic():
        alerts = _lock_alerts([write.entry[0] for write in batch if write.entry])
        lanes.lock(lane for write in batch for lane in write.leaves)
        held = held_claims([write.claim for write in batch])
        kept = [write for write in batch if write.claim in held]
        lines = [(write.claim.sequence_id, line) for write in kept for line in write.statements]
        execute(psycopg.Cursor(connection.connection), lines)
        record_many(
            AlertEntry,
            [
                (alerts[write.entry[0]], write.entry[1])
                for write in kept
                if write.entry and write.entry[0] in alerts
            ],
        )
        lanes.leave((write.claim.sequence_id, write.leaves) for write in kept if write.leaves)
    return [write for write in batch if write.claim not in held]


def _lock_alerts(ids: list[UUID]) -> dict[UUID, Alert]:
    if not ids:
        return {}
    rows = (
        Alert.objects.filter(pk__in=ids)
        .order_by("pk")
        .only("pk", "timeline_seq")
        .select_for_update(of=("self",))
    )
    return {alert.pk: alert for alert in rows}


def execute(cursor: psycopg.Cursor[Any], lines: Iterable[tuple[UUID, Statement]]) -> None:
    """Like statements together, as far as each owner's (a sequence's, say) keep their order among themselves."""
    groups: list[tuple[str, list[tuple[Any, ...]]]] = []
    found: dict[str, list[int]] = {}  # where in groups a statement is
    reached: dict[UUID, int] = {}  # where in groups an owner's last one is
    for owner, (sql, params) in lines:
        places = found.setdefault(sql, [])
        place = next((n for n in places if n >= reached.get(owner, 0)), len(groups))
        if place == len(groups):
            groups.append((sql, []))
            places.append(place)
        groups[place][1].append(params)
        reached[owner] = place
    for sql, many in groups:
        cursor.executemany(sql, many)


def held_claims(claims: list[Claim]) -> set[Claim]:
    """Those that are still ours, held until commit."""
    ids = sorted({claim.sequence_id for claim in claims})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, fence, claimed_by FROM playbooks_engine_sequence "
            "WHERE id = ANY(%s) AND state = 'running' ORDER BY id FOR SHARE",
            (ids,),
        )
        current = {Claim(*row) for row in cursor.fetchall()}
    return {claim for claim in claims if claim in current}
