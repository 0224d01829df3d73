"""Starts and resumes runs: one thread that takes what many sequences ask for together, as the journal's writer does."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from uuid import UUID

from django.db import connection

from playbooks_engine.journal import CONNECTION_ERRORS, Claim, LostClaim
from playbooks_engine.preparation import Job, next_jobs

logger = logging.getLogger(__name__)
BATCH = 50  # sequences in one transaction at the most


class Starter:
    """Answers what each claimed sequence does next."""

    def __init__(self, versions: Callable[[], Mapping[str, UUID]]) -> None:
        """``versions``: the version of every playbook that this process has loaded."""
        self._versions = versions
        self._queue: queue.SimpleQueue[tuple[Claim, Future[Job | None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="starter", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread; waits ``timeout`` seconds at the most."""
        self._queue.put(None)
        self._thread.join(timeout)

    def next_job(self, claim: Claim) -> Future[Job | None]:
        """The sequence's next run, ready to be executed; ``None`` when it is done. Fails with LostClaim."""
        asked: Future[Job | None] = Future()
        self._queue.put((claim, asked))
        return asked

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: dict[Claim, Future[Job | None]] = {}
            item = self._queue.get()
            while True:
                if item is None:
                    stopping = True
                    break
                batch[item[0]] = item[1]
                if len(batch) >= BATCH:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._answer(batch)
        connection.close()

    def _answer(self, batch: dict[Claim, Future[Job | None]]) -> None:
        try:
            jobs = next_jobs(list(batch), self._versions())
        except CONNECTION_ERRORS as error:
            connection.close()
            for asked in batch.values():
                asked.set_exception(error)
            return
        except Exception as error:
            if len(batch) == 1:
                next(iter(batch.values())).set_exception(error)
                return
            # Something about one of them; alone, only that one fails.
            logger.warning("%d runs could not be started together; one by one", len(batch), exc_info=True)
            for claim, asked in batch.items():
                self._answer({claim: asked})
            return
        for claim, asked in batch.items():
            if claim in jobs:
                asked.set_result(jobs[claim])
            else:
                asked.set_exception(LostClaim(str(claim.sequence_id)))
