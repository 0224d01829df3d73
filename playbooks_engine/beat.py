"""Who is alive: a counter per worker process, judged by everybody else's own monotonic clock."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from uuid import UUID

from django.db import connection

from opensoar.ids import uuid7
from playbooks_engine.journal import CONNECTION_ERRORS
from playbooks_engine.models import WorkerBeat

logger = logging.getLogger(__name__)
# One that its paused worker still holds in a transaction is left for later: nobody waits for it, and PostgreSQL ends
# the transaction after a lease (settings.py).
ORPHANS = """
UPDATE playbooks_engine_sequence SET state = 'ready', claimed_by = NULL, fence = fence + 1
WHERE id IN (
    SELECT id FROM playbooks_engine_sequence s
    WHERE state = 'running' AND NOT EXISTS (SELECT 1 FROM playbooks_engine_workerbeat b WHERE b.id = s.claimed_by)
    FOR UPDATE SKIP LOCKED)
RETURNING id"""
DEATHS = """
UPDATE playbooks_engine_playbookrun SET deaths = deaths + 1 WHERE state = 'running' AND sequence_id = ANY(%s)"""
# Once may be anybody's fault; whose worker ended twice goes on in a process of its own.
TWICE_DEAD = """
UPDATE playbooks_engine_sequence s SET isolated = true WHERE id = ANY(%s) AND EXISTS (
    SELECT 1 FROM playbooks_engine_playbookrun r WHERE r.sequence_id = s.id AND r.state = 'running' AND r.deaths >= 2)"""


class Beat:
    """This worker's own counter, raised by a thread that shares nothing with the loop."""

    def __init__(self, *, lease: float, on_death: Callable[[], None]) -> None:
        self.worker_id: UUID = uuid7()
        self.generation = 0
        self._lease = lease
        self._on_death = on_death
        self._written = 0.0  # monotonic time at which the last successful write began
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self, generation: int) -> None:
        """Announce the worker and keep the counter growing."""
        self.generation = generation
        self._announce()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)

    def remove(self) -> None:
        """The worker is gone and holds nothing."""
        WorkerBeat.objects.filter(pk=self.worker_id).delete()

    def is_fresh(self) -> bool:
        """Whether others still believe us alive; false from two thirds of the lease without a write."""
        return time.monotonic() - self._written < self._lease * 2 / 3

    def _announce(self) -> None:
        began = time.monotonic()
        WorkerBeat.objects.create(
            id=self.worker_id, host=socket.gethostname()[:255], pid=os.getpid(), generation=self.generation
        )
        self._written = began

    def _run(self) -> None:
        while not self._stop.wait(self._lease / 5):
            try:
                self._write()
            except CONNECTION_ERRORS as error:
                logger.warning("beat could not be written: %s", error)
                connection.close()
            except Exception:  # without this thread the worker would do nothing for ever
                logger.exception("beat could not be written")
                connection.close()
        connection.close()

    def _write(self) -> None:
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE playbooks_engine_workerbeat SET counter = counter + 1, seen_at = now(), generation = %s "
                "WHERE id = %s",
                (self.generation, self.worker_id),
            )
            alive = cursor.rowcount == 1
        if alive:
            self._written = began
            return
        logger.warning("this worker was believed dead; it begins anew")
        self._written = 0.0  # no call may start before the new name is announced
        self._on_death()
        self.worker_id = uuid7()
        self._announce()


class Rescuer:
    """Gives back what dead workers held."""

    def __init__(self, *, lease: float) -> None:
        self._lease = lease
        self._seen: dict[UUID, tuple[int, float]] = {}  # worker -> counter, monotonic time it was first seen

    def sweep(self, own_id: UUID) -> int:
        """Look at every worker's counter; returns how many sequences were given back."""
        now = time.monotonic()
        current = dict(WorkerBeat.objects.exclude(pk=own_id).values_list("pk", "counter"))
        dead = []
        for worker, counter in current.items():
            known = self._seen.get(worker)
            if known is None or known[0] != counter:
                self._seen[worker] = (counter, now)
            elif now - known[1] >= self._lease:
                dead.append((worker, counter))
        self._seen = {worker: seen for worker, seen in self._seen.items() if worker in current}
        return sum(bury(worker, counter) for worker, counter in dead) + release_orphans()


def bury(worker: UUID, counter: int) -> int:
    """Take a silent worker's beat away and make its sequences ready; nothing if it beat meanwhile."""
    if not WorkerBeat.objects.filter(pk=worker, counter=counter).delete()[0]:
        return 0
    logger.warning("worker %s is silent beyond its lease; its sequences go on elsewhere", worker)
    return release_orphans()


def release_orphans() -> int:
    """Sequences whose worker has no beat: it is dead or gave up its name."""
    with connection.cursor() as cursor:
        cursor.execute(ORPHANS)
        freed = [sequence for (sequence,) in cursor.fetchall()]
        if freed:
            cursor.execute(DEATHS, (freed,))
            cursor.execute(TWICE_DEAD, (freed,))
    return len(freed)
