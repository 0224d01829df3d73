"""The engine of one worker process: claims sequences, runs them on its event loop, keeps its beat, rescues the dead.

Free of Dramatiq: ``middleware.py`` starts and stops it inside a Dramatiq worker, tests start it in plain processes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import connection, transaction

from playbooks_engine import approvals, comments, rows, schedule, sync, turns
from playbooks_engine.batches import Batcher
from playbooks_engine.beat import Beat, Rescuer
from playbooks_engine.chores import chores
from playbooks_engine.codec import encode_result, storable
from playbooks_engine.comments import NewComment, store_comments
from playbooks_engine.execution import Execution
from playbooks_engine.failpoints import reached
from playbooks_engine.helpers import Subject, perform
from playbooks_engine.isolation import Isolation
from playbooks_engine.journal import CONNECTION_ERRORS, Claim, JournalWriter, LostClaim, Write, check_fence
from playbooks_engine.lineage import PlaybookLoop
from playbooks_engine.pollers.running import Polls
from playbooks_engine.runner import LiveRun
from playbooks_engine.starter import Starter
from playbooks_engine.watchdog import Watchdog

logger = logging.getLogger(__name__)
HELPER_THREADS = 8
ACTION_THREADS = 32
CLAIM_BATCH = 50
SWEEP_SECONDS = 1.0  # at most, between two looks for what no message announced
CALL_GRACE_SECONDS = 10.0  # how long a stop waits for calls that are under way
TICK_SECONDS = 0.2  # between two looks for runs that only wait
PEOPLE_SECONDS = 0.1  # between two looks for what people did to live runs
TURNS_SECONDS = 3.0  # between two looks for turns that were never given, and claims that nothing runs
CLAIM = """
UPDATE playbooks_engine_sequence s
SET state = 'running', claimed_by = %s, fence = fence + 1, claims = claims + 1
FROM (SELECT id FROM playbooks_engine_sequence WHERE state = 'ready' AND isolated = %s ORDER BY priority, id
      LIMIT %s FOR UPDATE SKIP LOCKED) ready
WHERE s.id = ready.id RETURNING s.id, s.fence"""
RELEASE = """
UPDATE playbooks_engine_sequence SET state = 'ready', claimed_by = NULL, fence = fence + 1
WHERE claimed_by = %s AND state = 'running'"""
OWN = "SELECT id, fence FROM playbooks_engine_sequence WHERE claimed_by = %s AND state = 'running'"
CANCELS = """
SELECT r.id, r.cancelled_by FROM playbooks_engine_playbookrun r
JOIN playbooks_engine_sequence s ON s.id = r.sequence_id
WHERE r.cancel_requested_at IS NOT NULL AND r.state IN ('running', 'waiting', 'needs_attention')
AND s.claimed_by = %s"""


class Engine:
    """Everything that runs playbooks in this process."""

    def __init__(
        self, *, directories: list[str], lease: float, capacity: int, isolated: bool = False
    ) -> None:
        """``lease``: seconds a silent worker is believed alive; ``capacity``: sequences in flight at the most;
        ``isolated``: this process takes only what must not run beside others."""
        self.directories = directories
        self.lease = lease
        self.capacity = capacity
        self.isolated = isolated
        self.loop = PlaybookLoop()
        self.journal = JournalWriter(give_up_after=lease)
        self.starter = Starter(lambda: self.versions)
        self.comments: Batcher[NewComment, str] = Batcher("comments", store_comments)
        self.beat = Beat(lease=lease, on_death=self._declared_dead)
        self.rescuer = Rescuer(lease=lease)
        self.versions: dict[str, uuid.UUID] = {}
        self.generation = -1
        self._files = ""
        self.live: dict[uuid.UUID, LiveRun] = {}
        self.watchdog = Watchdog(self)
        self.isolation = Isolation()
        self.polls = Polls()
        self._clock_offset = timedelta()  # the database's clock less ours
        self._due_at = 0.0  # monotonic time at which the next waiting sequence is due
        self._people_at = 0.0
        self._turns_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._claims: set[Claim] = set()  # in flight
        self._unknown: set[Claim] = set()  # ours by the table, and not in flight when last looked at
        self._threads_busy = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._draining = threading.Event()
        self._stopped = threading.Event()
        self._helpers = ThreadPoolExecutor(HELPER_THREADS, thread_name_prefix="helper")
        self._chores = chores(self._helpers)
        self._actions = ThreadPoolExecutor(ACTION_THREADS, thread_name_prefix="action")
        self._loop_thread = threading.Thread(target=self._run_loop, name="playbooks", daemon=True)
        self._sweep_thread = threading.Thread(target=self._sweep, name="sweep", daemon=True)
        looks: dict[str, Callable[[], None]] = {"around": self._look_around, "files": self._watch}
        self._lookers = [
            threading.Thread(target=self._often, args=(look,), name=name, daemon=True)
            for name, look in looks.items()
        ]

    # --- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load the playbooks, announce the worker, begin to claim."""
        self._reload()
        self.beat.start(self.generation)
        self.journal.start()
        self.starter.start()
        self.comments.start()
        self.loop.call_soon(self._tick)
        self._loop_thread.start()
        self.watchdog.start(self._loop_thread)
        self.wake()
        self._sweep_thread.start()
        for thread in self._lookers:
            thread.start()

    @property
    def is_draining(self) -> bool:
        """Whether it is stopping: nothing more is started here."""
        return self._draining.is_set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight."""
        with self._lock:
            return not self._claims

    def wake(self) -> None:
        """Something may be ready: look now instead of at the next sweep."""
        self._wake.set()

    def stop(self, timeout: float = 30.0) -> None:
        """Claim nothing more, let calls under way finish and be recorded, let go of the rest, hand it back."""
        deadline = time.monotonic() + timeout
        self._draining.set()
        self._wake.set()
        self._sweep_thread.join(5)
        for thread in self._lookers:
            thread.join(5)
        self.isolation.terminate()
        self.polls.stop(self.beat.worker_id)
        grace = min(time.monotonic() + CALL_GRACE_SECONDS, deadline - 10)
        while time.monotonic() < grace and any(run.in_flight for run in list(self.live.values())):
            time.sleep(0.05)
        try:
            asyncio.run_coroutine_threadsafe(self._let_go_all(), self.loop).result(
                max(1.0, deadline - time.monotonic())
            )
        except TimeoutError:
            logger.warning("the event loop is blocked: what it runs is handed back all the same")
        self.starter.stop(5)
        self.comments.stop(5)
        self.journal.stop(5)
        self._stopped.set()
        self.watchdog.stop()
        self.beat.stop()
        self._release()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._loop_thread.join(5)
        self._helpers.shutdown(wait=False, cancel_futures=True)
        self._actions.shutdown(wait=False, cancel_futures=True)
        self.isolation.wait(max(deadline - time.monotonic(), 1.0))

    async def _let_go_all(self) -> None:
        self._let_go_of_everything()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=8)

    def _release(self) -> None:
        """Give unfinished sequences back at once, so that others go on within a second and not after the lease."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(RELEASE, (self.beat.worker_id,))
            self.beat.remove()
        except CONNECTION_ERRORS:
            logger.warning("could not release claims; they are rescued after the lease", exc_info=True)
        finally:
            connection.close()

    def release_now(self) -> None:
        """The supervisor died: hand back what can be handed back without waiting for anything."""
        self._draining.set()
        self._release()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _declared_dead(self) -> None:
        """Our beat row was taken away: somebody runs our sequences now. Let go of all, begin anew under a new name."""
        self.loop.call_soon_threadsafe(self._let_go_of_everything)

    def _let_go_of_everything(self) -> None:
        for run in list(self.live.values()):
            run.let_go()

    # --- claiming ----------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        while not self._draining.is_set():
            pause = SWEEP_SECONDS * random.uniform(0.6, 0.95)
            self._wake.wait(max(0.0, min(pause, self._due_at - time.monotonic())))
            self._wake.clear()
            try:
                if time.monotonic() >= self._due_at:
                    self._wake_due()
                while not self._draining.is_set() and self._claim():
                    pass
                self._hear_people()
            except CONNECTION_ERRORS as error:
                logger.warning("sweep: the database is away: %s", error)
                connection.close()
                time.sleep(0.5)
            except Exception:
                logger.exception("sweep failed")
                connection.close()
                time.sleep(0.5)
        connection.close()

    def _often(self, look: Callable[[], None]) -> None:
        """In a thread of its own: no claim waits for it, and none of them for the others."""
        pause = 0.0  # the first look is now: the lease of whoever died before us counts from it
        while not self._draining.wait(pause):
            pause = SWEEP_SECONDS * random.uniform(0.6, 0.95)
            self._step(look)
        connection.close()

    def _step(self, work: Callable[[], int | None]) -> int:
        """How much ``work`` found to do; what goes wrong with it stops nothing else."""
        try:
            return work() or 0
        except CONNECTION_ERRORS as error:
            logger.warning("the database is away: %s", error)
        except Exception:
            logger.exception("%s failed", getattr(work, "__qualname__", work))
        connection.close()
        return 0

    def _look_around(self) -> None:
        """What is done about once a second, whether or not a bell rang."""
        steps: list[Callable[[], int | None]] = [
            functools.partial(self.rescuer.sweep, self.beat.worker_id), self._wake_due, schedule.fire_due,
        ]  # fmt: skip
        if time.monotonic() >= self._turns_at:
            self._turns_at = time.monotonic() + TURNS_SECONDS
            steps += [turns.rescue_turns, self._give_back_forgotten]
        if not self.isolated:
            begin_polls = functools.partial(self.polls.begin_due, self.beat.worker_id)
            steps += [self.isolation.look, begin_polls, *(chore.look for chore in self._chores)]
        if sum(self._step(step) for step in steps):
            self.wake()

    def _give_back_forgotten(self) -> int:
        """What the table says is ours and nothing here runs: let go while the database was away, say.

        It must be so twice: a claim is in the table a moment before it is known here.
        """
        with connection.cursor() as cursor:
            cursor.execute(OWN, (self.beat.worker_id,))
            held = {Claim(row[0], row[1], self.beat.worker_id) for row in cursor.fetchall()}
        with self._lock:
            unknown = held - self._claims
        forgotten, self._unknown = unknown & self._unknown, unknown
        for claim in forgotten:
            logger.warning("sequence %s is ours and does not run; given back", claim.sequence_id)
            turns.give_back(claim)
        return len(forgotten)

    def _wake_due(self) -> int:
        woken = turns.wake_due()
        before = time.time()
        seconds, now = turns.next_due()
        self._clock_offset = now - datetime.fromtimestamp((before + time.time()) / 2, tz=UTC)
        self._due_at = time.monotonic() + seconds
        return woken

    def _hear_people(self) -> None:
        """Runs in this process that somebody cancelled, or whose questions somebody answered."""
        if not self.live or time.monotonic() - self._people_at < PEOPLE_SECONDS:
            return
        self._people_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(CANCELS, (self.beat.worker_id,))
            cancels = cursor.fetchall()
        for run_id, name in cancels:
            self.loop.call_soon_threadsafe(self._cancel, run_id, name)
        asked = {
            wait.call_id: live
            for live in list(self.live.values())
            for wait in list(live.waits)
            if wait.is_approval
        }
        for call_id in approvals.answered(list(asked)) if asked else ():
            self.loop.call_soon_threadsafe(asked[call_id].waits.answered, call_id)

    def _cancel(self, run_id: uuid.UUID, name: str) -> None:
        live = self.live.get(run_id)
        if live is not None:
            live.cancelled_by = name
            live.end_as("cancelled")

    def _tick(self) -> None:
        """On the loop: runs that only wait go to the database."""
        for live in list(self.live.values()):
            if live.waits:
                live.park_if_idle()
        self.loop.call_later(TICK_SECONDS, self._tick)

    def _claim(self) -> bool:
        """Claim what is ready, most urgent first; True when there may be more."""
        with self._lock:
            room = min(CLAIM_BATCH, self.capacity - len(self._claims))
        if room <= 0 or not self.beat.is_fresh():
            return False
        with connection.cursor() as cursor:
            cursor.execute(CLAIM, (self.beat.worker_id, self.isolated, room))
            claims = [Claim(row[0], row[1], self.beat.worker_id) for row in cursor.fetchall()]
        if claims:
            reached("claim.after")
        with self._lock:
            self._claims.update(claims)
        for claim in claims:
            self.loop.call_soon_threadsafe(self._spawn, claim)
        return len(claims) == room

    def _spawn(self, claim: Claim) -> None:
        task = self.loop.create_task(Execution(self, claim).run())
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._finished, claim))

    def _finished(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with self._lock:
            self._claims.discard(claim)
            was_full = len(self._claims) == self.capacity - 1
        if was_full:
            self.wake()
        if not task.cancelled() and task.exception() is not None:
            logger.error("sequence task failed", exc_info=task.exception())

    async def give_back(self, claim: Claim, *, failed: bool = False) -> None:
        """Ready again after a pause; until the database answers the claim stands and the rescuer's lease applies.

        ``failed``: not for want of a database; it counts like a death of its process, so that it is not tried for ever.
        """
        while not self._draining.is_set():
            await asyncio.sleep(1)
            try:
                await self.in_helper_thread(functools.partial(turns.give_back, claim, failed=failed))
                return
            except CONNECTION_ERRORS:
                continue

    # --- what a live run needs of its process (runner.Services) ------------------------------------------------

    def submit(self, write: Write) -> Future[None]:
        """Queue a write; see JournalWriter."""
        return self.journal.submit(write)

    def store_later(self, live: LiveRun, statements: list[rows.Statement]) -> None:
        """Store without anybody waiting; a run whose write is lost is let go."""

        def settled(done: Future[None]) -> None:
            if done.exception() is None:
                reached("result.after", live.name)
                return
            error = done.exception()
            logger.warning("run %s: a result could not be stored: %s", live.run_id, error)
            lost = isinstance(error, LostClaim)
            self.loop.call_soon_threadsafe(live.let_go if lost else functools.partial(live.end_as, "broken"))

        self.submit(Write(live.claim, statements)).add_done_callback(settled)

    def in_seconds(self, seconds: float) -> datetime:
        """That long from now, by the database's clock."""
        return rows.utcnow() + self._clock_offset + timedelta(seconds=seconds)

    def seconds_until(self, moment: datetime) -> float:
        """How long until ``moment``, by the database's clock."""
        return (moment - rows.utcnow() - self._clock_offset).total_seconds()

    def parked_until(self, moment: datetime) -> None:
        """A sequence that this worker parked is due then."""
        self._due_at = min(self._due_at, time.monotonic() + self.seconds_until(moment))
        self.wake()

    def in_helper_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """ORM work in the bounded pool; the connection goes back to psycopg's pool afterwards."""

        def closing() -> T:
            try:
                return work()
            finally:
                connection.close()

        return self.loop.run_in_executor(self._helpers, closing)

    def in_action_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """A blocking action in a thread of its own pool."""

        def counted() -> T:
            with self._lock:
                self._threads_busy += 1
            try:
                return work()
            finally:
                with self._lock:
                    self._threads_busy -= 1

        return self.loop.run_in_executor(self._actions, counted)

    @property
    def has_busy_threads(self) -> bool:
        """Whether blocking actions are under way; nothing can end those but the end of the process."""
        return self._threads_busy > 0

    async def may_call(self) -> None:
        """Wait while this worker must not start calls: its beat could not be written, or it is shutting down."""
        while self._draining.is_set() or not self.beat.is_fresh():
            await asyncio.sleep(0.05)

    def help(
        self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall
    ) -> asyncio.Future[str]:
        """Do a helper and record it; comments of many runs together."""
        if name == comments.HELPER and live.alert_uuid is not None:
            new = NewComment(live.claim, live.run_id, live.alert_uuid, live.actor, arguments, call)
            return asyncio.wrap_future(self.comments.submit(new), loop=self.loop)
        return self.in_helper_thread(functools.partial(self.helper, live, name, arguments, call))

    def helper(self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall) -> str:
        """Effect, fence check and journal line in one transaction (in a helper thread)."""
        with transaction.atomic():
            subject = Subject(live.alert_uuid, live.incident_uuid)
            output = live.mask.json(encode_result(name, perform(name, live.actor, subject, arguments)))
            check_fence(live.claim, live.run_id)
            cursor = psycopg.Cursor(connection.connection)
            for sql, params in rows.done(live.claim, live.run_id, call, output):
                cursor.execute(sql, params)
        return output

    ask = staticmethod(approvals.ask)
    settle = staticmethod(approvals.settle)

    # --- playbook files ----------------------------------------------------------------------------------------

    def _reload(self) -> None:
        """Load the files aside and swap them in whole; what was loaded keeps running until then."""
        files = sync.signature(self.directories)
        synced = sync.sync_playbooks(self.directories)
        self._files = files
        self.versions, self.generation = synced.versions, synced.generation
        self.beat.generation = synced.generation
        for file in synced.errors:
            logger.error("playbook file %s: %s", storable(file.path), file.error)

    def _watch(self) -> None:
        """Reload when a file changed here, or when somebody asked all workers to."""
        if sync.signature(self.directories) != self._files or sync.current_generation() > self.generation:
            self._reload()
