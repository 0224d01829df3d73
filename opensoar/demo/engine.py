"""The engine as the demo runs it: the real one, in one thread after the other, on the story's clock.

Everything a run writes is written by the engine's own code, inside the demo's one transaction, so a worker that runs
beside it sees nothing before it is whole.
"""

from __future__ import annotations

import asyncio
import functools
import queue
import random
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from opensoar.supervisor.options import DEMO_PLAYBOOKS
from playbooks_engine import rows, sync
from playbooks_engine.execution import Execution
from playbooks_engine.journal import Claim, LostClaim, Write, store_batch
from playbooks_engine.loader import FileResult
from playbooks_engine.preparation import Job, next_jobs
from playbooks_engine.runner import LiveRun
from playbooks_engine.starter import Starter
from playbooks_engine.worker import RELEASE, Engine

# Exactly one: what others have ready, real runs of real alerts, is not ours to run.
CLAIM_ONE = """
UPDATE playbooks_engine_sequence SET state = 'running', claimed_by = %s, fence = fence + 1, claims = claims + 1
WHERE id = %s AND state = 'ready' RETURNING fence"""

# How long calls took, in seconds; others take less than one.
TOOK = {
    "lookup_ip_reputation": 0.6,
    "lookup_hash": 0.4,
    "preserve_host_context": 3.6,
    "isolate_host": 1.4,
    "revoke_sessions": 0.5,
    "watch_for_spread": 27 * 60.0,
}


class StoryClock:
    """The moment that is being told."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def __call__(self) -> datetime:
        return self._moment

    def set(self, moment: datetime) -> None:
        """Go to ``moment``."""
        self._moment = moment

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._moment += timedelta(seconds=seconds)


class StoryEngine(Engine):
    """Runs what is ready, at once, on the caller's connection: its database work is done by the thread that waits."""

    def __init__(self, directories: list[str], seed: int) -> None:
        super().__init__(directories=directories, lease=60, capacity=1)
        self.clock = StoryClock(datetime.now(UTC))
        self.own: list[str] = []  # the playbooks that the story may run
        self._dies_in: str | None = None
        self._unfinished: list[UUID] = []
        self._random = random.Random(seed)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.starter = StoryStarter(self)

    def __enter__(self) -> StoryEngine:
        synced = sync.sync_playbooks(self.directories)
        self.versions, self.generation = synced.versions, synced.generation
        self.own = [spec.name for file in synced.files if _is_ours(file) for spec in file.playbooks]
        self._loop_thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._loop_thread.join(5)
        self._helpers.shutdown(wait=False)
        self._actions.shutdown(wait=False)

    def die_in(self, text: str) -> None:
        """The worker ends in the next call whose arguments hold ``text``: the call's outcome is not known."""
        self._dies_in = text

    def run(self, sequence_id: UUID) -> None:
        """Run a sequence to its end, or to where it stops or the worker ends."""
        with connection.cursor() as cursor:
            cursor.execute(CLAIM_ONE, (self.beat.worker_id, sequence_id))
            claim = Claim(sequence_id, cursor.fetchone()[0], self.beat.worker_id)
            self._wait_for(asyncio.run_coroutine_threadsafe(Execution(self, claim).run(), self.loop))
            cursor.execute(RELEASE, (self.beat.worker_id,))  # as a worker that ends gives back what it holds
            if cursor.rowcount:
                self._unfinished.append(sequence_id)

    def resume(self) -> None:
        """Another worker takes what the one that ended has left."""
        unfinished, self._unfinished = self._unfinished, []
        for sequence_id in unfinished:
            self.run(sequence_id)

    def _wait_for(self, sequence: Future[None]) -> None:
        """Do the database work that the run asks for until it is over.

        One piece at a time, each seen to its end by the loop before the next: which of two parallel calls goes first
        must not depend on how quick the machine is.
        """
        sequence.add_done_callback(lambda _done: self._work.put(None))
        while (work := self._work.get()) is not None:
            work()
            asyncio.run_coroutine_threadsafe(_settled(), self.loop).result()
        sequence.result()

    # --- what a live run needs of its process ------------------------------------------------------------------

    def submit(self, write: Write) -> Future[None]:
        """Have the waiting thread store it; calls begin and take their time."""
        for sql, parameters in write.statements:
            if sql is rows.INSERT_CALL or sql is rows.CALL_AGAIN:
                self._begin_call(sql, parameters)
        self._work.put(lambda: self._store(write))
        return write.done

    def _begin_call(self, sql: str, parameters: tuple[Any, ...]) -> None:
        name = parameters[4] if sql is rows.INSERT_CALL else ""
        self.clock.advance(TOOK.get(name) or self._random.uniform(0.1, 0.9))
        if self._dies_in is not None and sql is rows.INSERT_CALL and self._dies_in in (parameters[6] or ""):
            self._dies_in = None
            self.loop.call_soon_threadsafe(self._let_go_of_everything)

    def _store(self, write: Write) -> None:
        try:
            if store_batch([write]):
                raise LostClaim(str(write.claim.sequence_id))
        except Exception as error:
            write.done.set_exception(error)
        else:
            write.done.set_result(None)

    def in_helper_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have the waiting thread do it: it holds the connection and the transaction."""
        return self._done_by_the_waiting_thread(work)

    def help(
        self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall
    ) -> asyncio.Future[str]:
        """One after the other."""
        return self.in_helper_thread(functools.partial(self.helper, live, name, arguments, call))

    def in_action_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Likewise."""
        return self._done_by_the_waiting_thread(work)

    async def may_call(self) -> None:
        """Always."""

    def _done_by_the_waiting_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.wrap_future(self.do(work), loop=self.loop)

    def do[T](self, work: Callable[[], T]) -> Future[T]:
        """Have the waiting thread do it, a moment later."""
        done: Future[T] = Future()
        self.clock.advance(self._random.uniform(0.01, 0.05))

        def do() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._work.put(do)
        return done


class StoryStarter(Starter):
    """Starts runs in the waiting thread, one at a time."""

    def __init__(self, engine: StoryEngine) -> None:
        super().__init__(lambda: engine.versions)
        self._engine = engine

    def submit(self, item: Claim) -> Future[Job | None]:
        """The sequence's next run."""
        return self._engine.do(lambda: next_jobs([item], self._engine.versions)[item])


async def _settled() -> None:
    """Until whatever the loop can do has been done; an answer passes through fewer futures than these rounds."""
    for _round in range(12):
        await asyncio.sleep(0)


def _is_ours(file: FileResult) -> bool:
    """The demo's own files, and the shipped one that only touches its alert. Whatever else is loaded here may act on
    real systems, and a story's alerts are no reason to."""
    shipped = (
        file.entry == "escalate_critical_alert.py" and Path(file.root) == settings.BASE_DIR / "playbooks"
    )
    return shipped or Path(file.root) == DEMO_PLAYBOOKS
