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
from typing import Any

import orjson
import psycopg
from django.db import connection, transaction

from incidents import retention
from opensoar.timeline import Draft
from playbooks_engine import rows, sync
from playbooks_engine.alert import Alert as AlertSnapshot
from playbooks_engine.beat import Beat, Rescuer
from playbooks_engine.codec import encode_result, format_traceback
from playbooks_engine.helpers import perform
from playbooks_engine.journal import CONNECTION_ERRORS, Claim, JournalWriter, LostClaim, Write, check_fence
from playbooks_engine.lineage import task_factory
from playbooks_engine.preparation import Job, next_job
from playbooks_engine.runner import Detached, LiveRun, Question
from playbooks_engine.timeline_kinds import PlaybookFinished

logger = logging.getLogger(__name__)
HELPER_THREADS = 8
ACTION_THREADS = 32
CLAIM_BATCH = 50
SWEEP_SECONDS = 1.0
RETENTION_SECONDS = 60.0  # between two looks for alerts to archive, once there was nothing left
CALL_GRACE_SECONDS = 10.0  # how long a stop waits for calls that are under way
CLAIM = """
UPDATE playbooks_engine_sequence s
SET state = 'running', claimed_by = %s, fence = fence + 1, claims = claims + 1
FROM (SELECT id FROM playbooks_engine_sequence WHERE state = 'ready' ORDER BY priority, id
      LIMIT %s FOR UPDATE SKIP LOCKED) ready
WHERE s.id = ready.id RETURNING s.id, s.fence"""
RELEASE = """
UPDATE playbooks_engine_sequence SET state = 'ready', claimed_by = NULL, fence = fence + 1
WHERE claimed_by = %s AND state = 'running'"""


class Engine:
    """Everything that runs playbooks in this process."""

    def __init__(self, *, directories: list[str], lease: float, capacity: int) -> None:
        """``lease``: seconds a silent worker is believed alive; ``capacity``: sequences in flight at the most."""
        self.directories = directories
        self.lease = lease
        self.capacity = capacity
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(task_factory)
        self.journal = JournalWriter(give_up_after=lease)
        self.beat = Beat(lease=lease, on_death=self._declared_dead)
        self.rescuer = Rescuer(lease=lease)
        self.versions: dict[str, uuid.UUID] = {}
        self.generation = -1
        self._files = ""
        self._live: dict[uuid.UUID, LiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._active = 0
        self._retention_at = 0.0  # monotonic time of the next look
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._draining = threading.Event()
        self._stopped = threading.Event()
        self._helpers = ThreadPoolExecutor(HELPER_THREADS, thread_name_prefix="helper")
        self._actions = ThreadPoolExecutor(ACTION_THREADS, thread_name_prefix="action")
        self._loop_thread = threading.Thread(target=self._run_loop, name="playbooks", daemon=True)
        self._sweep_thread = threading.Thread(target=self._sweep, name="sweep", daemon=True)

    # --- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load the playbooks, announce the worker, begin to claim."""
        self._reload()
        self.beat.start(self.generation)
        self.journal.start()
        self._loop_thread.start()
        self.wake()  # the first look is now: the lease of whoever died before us counts from it
        self._sweep_thread.start()

    def wake(self) -> None:
        """Something may be ready: look now instead of at the next sweep."""
        self._wake.set()

    def stop(self, timeout: float = 30.0) -> None:
        """Claim nothing more, let calls under way finish and be recorded, let go of the rest, hand it back."""
        deadline = time.monotonic() + timeout
        self._draining.set()
        self._wake.set()
        self._sweep_thread.join(5)
        grace = min(time.monotonic() + CALL_GRACE_SECONDS, deadline - 10)
        while time.monotonic() < grace and any(run.in_flight for run in list(self._live.values())):
            time.sleep(0.05)
        asyncio.run_coroutine_threadsafe(self._let_go_all(), self.loop).result(
            max(1.0, deadline - time.monotonic())
        )
        self.journal.stop(5)
        self._stopped.set()
        self.beat.stop()
        self._release()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._loop_thread.join(5)
        self._helpers.shutdown(wait=False, cancel_futures=True)
        self._actions.shutdown(wait=False, cancel_futures=True)

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
        for run in list(self._live.values()):
            run.let_go()

    # --- claiming ----------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        last_check = 0.0
        while not self._draining.is_set():
            self._wake.wait(SWEEP_SECONDS * random.uniform(0.7, 1.2))
            self._wake.clear()
            try:
                while not self._draining.is_set() and self._claim():
                    pass
                if time.monotonic() - last_check > SWEEP_SECONDS * 0.5:
                    last_check = time.monotonic()
                    if self.rescuer.sweep(self.beat.worker_id):
                        self.wake()
                    self._watch()
                    self._begin_retention()
            except CONNECTION_ERRORS as error:
                logger.warning("sweep: the database is away: %s", error)
                connection.close()
                time.sleep(0.5)
            except Exception:
                logger.exception("sweep failed")
                connection.close()
                time.sleep(0.5)
        connection.close()

    def _begin_retention(self) -> None:
        """Archive old alerts in a helper thread, which claims need not wait for; one batch at a time."""
        if time.monotonic() >= self._retention_at:
            self._retention_at = float("inf")
            self._helpers.submit(self._archive_old)

    def _archive_old(self) -> None:
        more = False
        try:
            more = retention.sweep()
        except CONNECTION_ERRORS as error:
            logger.warning("retention: the database is away: %s", error)
        except Exception:
            logger.exception("retention failed")
        finally:
            connection.close()
            self._retention_at = time.monotonic() + (0 if more else RETENTION_SECONDS)

    def _claim(self) -> bool:
        """Claim what is ready, most urgent first; True when there may be more."""
        with self._lock:
            room = min(CLAIM_BATCH, self.capacity - self._active)
        if room <= 0 or not self.beat.is_fresh():
            return False
        with connection.cursor() as cursor:
            cursor.execute(CLAIM, (self.beat.worker_id, room))
            claims = [Claim(row[0], row[1], self.beat.worker_id) for row in cursor.fetchall()]
        with self._lock:
            self._active += len(claims)
        for claim in claims:
            self.loop.call_soon_threadsafe(self._spawn, claim)
        return len(claims) == room

    def _spawn(self, claim: Claim) -> None:
        task = self.loop.create_task(self._run_sequence(claim))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with self._lock:
            self._active -= 1
            was_full = self._active == self.capacity - 1
        if was_full:
            self.wake()
        if not task.cancelled() and task.exception() is not None:
            logger.error("sequence task failed", exc_info=task.exception())

    # --- running -----------------------------------------------------------------------------------------------

    async def _run_sequence(self, claim: Claim) -> None:
        """The runs of one claimed sequence, one after the other."""
        try:
            while not self._draining.is_set():
                job = await self.in_helper_thread(functools.partial(next_job, claim, self.versions))
                if job is None or not await self._run_job(job) or job.is_last:
                    return
        except LostClaim:
            logger.info("sequence %s is somebody else's now", claim.sequence_id)
        except CONNECTION_ERRORS as error:
            logger.warning("sequence %s let go, the database is away: %s", claim.sequence_id, error)
            await self._give_back(claim)
        except Exception:
            logger.exception("sequence %s let go", claim.sequence_id)
            await self._give_back(claim)

    async def _give_back(self, claim: Claim) -> None:
        """Ready again after a pause; until the database answers the claim stands and the rescuer's lease applies."""
        while not self._draining.is_set():
            await asyncio.sleep(1)
            try:
                await self.in_helper_thread(functools.partial(_release_one, claim))
                return
            except CONNECTION_ERRORS:
                continue

    async def _run_job(self, job: Job) -> bool:
        """Execute one run to its end; False when the sequence must not go on here (held, let go, lost)."""
        if job.refusal and job.refusal_state == "needs_attention":
            question = Question(reason="source_gone", text=job.refusal, choices=("cancel",))
            await self._store_hold(job, question)
            return False
        if job.refusal or job.spec is None:
            await self._store_end(job, job.refusal_state, error=job.refusal)
            return True
        live = LiveRun(
            services=self, claim=job.claim, run_id=job.run_id, alert_id=job.alert_id, actor=job.actor,
            journal=job.journal, namespace=getattr(job.spec.func, "__globals__", {}),
        )  # fmt: skip
        self._live[job.run_id] = live
        try:
            return await self._execute(job, live)
        finally:
            self._live.pop(job.run_id, None)

    async def _execute(self, job: Job, live: LiveRun) -> bool:
        assert job.spec is not None
        subject = AlertSnapshot(job.subject) if job.subject_kind == "alert" and job.subject else job.subject
        try:
            if job.spec.when is not None and not job.resumed and not job.spec.when(subject):
                await self._store_end(job, "skipped", error="The playbook's when= condition is not met.")
                return True
            named = {job.subject_kind: subject, "input": job.input}
            single = subject if subject is not None else job.input if job.input is not None else {}
            body = functools.partial(job.spec.func, **job.spec.bind(single, named))
            result = encode_result(f"playbook {job.name!r}", await live.execute(body))
        except Detached:
            if live.question is not None and not live.lost:
                await self._store_hold(job, live.question)
            return False
        except LostClaim:
            raise
        except BaseException as error:
            if self._draining.is_set() and live.lost:
                return False
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            await self._store_end(job, "failed", error=text, traceback=format_traceback(error))
            return True
        await self._store_end(job, "success", result=result)
        return True

    async def _store_end(
        self, job: Job, state: str, *, result: str | None = None, error: str = "", traceback: str = ""
    ) -> None:
        """The run's final state; with it, in one transaction, the sequence's end when nothing is left to run."""
        now = rows.utcnow()
        statements: list[rows.Statement] = [
            (rows.FINISH_RUN, (state, result, _storable(error), _storable(traceback), now, job.run_id))
        ]
        stops = state == "failed" and job.spec is not None and job.spec.on_failure == "stop"
        if stops and not job.is_last:
            reason = f"{job.name!r} failed and is declared on_failure='stop'."
            statements.append((rows.SKIP_REST, (reason, now, job.claim.sequence_id)))
        if stops or job.is_last:
            statements.append((rows.FINISH_SEQUENCE, (now, job.claim.sequence_id)))
            job.is_last = True
        await self._write(job, statements, state, error)

    async def _store_hold(self, job: Job, question: Question) -> None:
        """The run waits for a person, the sequence is held, nothing of it stays in this process."""
        asked = orjson.dumps(
            {
                "reason": question.reason, "text": question.text, "choices": question.choices,
                "call_id": question.call_id, "detail": question.detail,
            }
        ).decode()  # fmt: skip
        statements: list[rows.Statement] = [
            (rows.HOLD_RUN, (asked, job.run_id)),
            (rows.HOLD_SEQUENCE, (job.claim.sequence_id,)),
        ]
        if question.call_id and question.reason == "unknown_outcome":
            statements.append((rows.MARK_UNKNOWN, (uuid.UUID(question.call_id),)))
            statements.append((rows.ATTEMPTS_UNKNOWN, (uuid.UUID(question.call_id),)))
        await self._write(job, statements, "needs_attention", question.text)

    async def _write(self, job: Job, statements: list[rows.Statement], state: str, error: str) -> None:
        kind = PlaybookFinished(
            playbook=job.name, run_id=str(job.run_id), state=state, position=job.position, total=job.total,
            error=_storable(error)[:500] or None,
        )  # fmt: skip
        entry = (job.alert_id, Draft(kind=kind, actor=job.actor)) if job.alert_id else None
        await asyncio.wrap_future(self.submit(Write(job.claim, statements, entry)))

    # --- what a live run needs of its process (runner.Services) ------------------------------------------------

    def submit(self, write: Write) -> Future[None]:
        """Queue a write; see JournalWriter."""
        return self.journal.submit(write)

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
        return self.loop.run_in_executor(self._actions, work)

    async def may_call(self) -> None:
        """Wait while this worker must not start calls: its beat could not be written, or it is shutting down."""
        while self._draining.is_set() or not self.beat.is_fresh():
            await asyncio.sleep(0.05)

    def helper(self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall) -> str:
        """Effect, fence check and journal line in one transaction (in a helper thread)."""
        with transaction.atomic():
            output = encode_result(name, perform(name, live.actor, live.alert_uuid, arguments))
            check_fence(live.claim)
            attempt_id, attempt = rows.attempt(live.claim, live.run_id, call.id, 1)
            statements = [call.insert, attempt]
            statements += rows.outcome(call.id, attempt_id, output=output, error="", error_value=None)
            cursor = psycopg.Cursor(connection.connection)
            for sql, params in statements:
                cursor.execute(sql, params)
        return output

    # --- playbook files ----------------------------------------------------------------------------------------

    def _reload(self) -> None:
        """Load the files aside and swap them in whole; what was loaded keeps running until then."""
        self._files = sync.signature(self.directories)
        synced = sync.sync_playbooks(self.directories)
        self.versions, self.generation = synced.versions, synced.generation
        self.beat.generation = synced.generation
        for file in synced.errors:
            logger.error("playbook file %s: %s", file.path, file.error)

    def _watch(self) -> None:
        """Reload when a file changed here, or when somebody asked all workers to."""
        if sync.signature(self.directories) != self._files or sync.current_generation() > self.generation:
            self._reload()


def _storable(text: str) -> str:
    """PostgreSQL text cannot hold NUL."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _release_one(claim: Claim) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE playbooks_engine_sequence SET state = 'ready', claimed_by = NULL, fence = fence + 1 "
            "WHERE id = %s AND fence = %s AND claimed_by = %s AND state = 'running'",
            (claim.sequence_id, claim.fence, claim.worker_id),
        )
