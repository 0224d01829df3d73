"""One run: calls the playbook from the top on its journal. The only engine; free of Dramatiq."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import orjson

from opensoar.actors import Actor
from playbooks_engine import rows, unknown
from playbooks_engine.blocking import Blocking
from playbooks_engine.codec import (
    Failure,
    bound_arguments,
    decode,
    digest,
    encode_arguments,
    encode_result,
    said,
    storable,
    storable_texts,
)
from playbooks_engine.context import current_call_key, current_run
from playbooks_engine.failpoints import reached
from playbooks_engine.journal import CONNECTION_ERRORS, Claim, LostClaim, Write
from playbooks_engine.lineage import Lineage, Pending, current_lineage
from playbooks_engine.masking import Mask, Secrets
from playbooks_engine.registry import ActionSpec
from playbooks_engine.run_parts import NO_ANSWER, Call, Detached, Question, Services
from playbooks_engine.waits import Waits

logger = logging.getLogger(__name__)
UNWIND_SECONDS = 5.0  # how long a detached run's coroutine may take to give up before it is abandoned
MAX_LOG_LINE = 10_000  # characters
IDLE_SECONDS = 1.0  # how long nothing may move in a run before it is parked


class LiveRun:
    """A run in this process's memory; what ``current_run`` holds for the code of its playbook."""

    def __init__(
        self,
        *,
        services: Services,
        claim: Claim,
        run_id: uuid.UUID,
        alert_id: uuid.UUID | None,
        actor: Actor,
        journal: dict[str, Call],
        namespace: Mapping[str, Any],
        name: str = "",
        incident: Mapping[str, Any] | None = None,
        incident_id: uuid.UUID | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self.services = services
        self.claim = claim
        self.run_id = run_id
        self.name = name  # of the playbook
        self.alert_uuid = alert_id
        self.incident_uuid = incident_id
        self.incident = incident
        self.actor = actor
        self.journal = journal
        self.namespace = namespace
        self.mask = Mask()
        self.question: Question | None = None
        self.ended_as = ""  # why it was let go: parked | cancelled | timed_out | disconnected | broken
        self.parked_until = datetime.max.replace(tzinfo=UTC)
        self.parked_for = ""
        self.cancelled_by = ""
        self.lost = False  # the claim is gone, or the process lets go: write nothing more
        self.detached = False
        self.in_flight = 0  # attempts of actions, helpers and writes that somebody waits for
        self.moved_at = time.monotonic()
        self.pending = Pending()
        self.waits = Waits(self)
        self._blocking = Blocking()
        self.open_calls: set[uuid.UUID] = set()  # begun, and without an outcome yet
        self.failures: list[tuple[BaseException, str]] = []  # raised into the playbook, by which call
        self._secrets = Secrets({}) if secrets is None else secrets
        self._main: asyncio.Task[Any] | None = None
        self._released: asyncio.Future[None] | None = None

    # --- what the SDK calls ------------------------------------------------------------------------------------

    @property
    def alert_id(self) -> str | None:
        """Id of the alert the run is about."""
        return str(self.alert_uuid) if self.alert_uuid else None

    async def call_action(self, spec: ActionSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Execute an action once for this run, or return what it returned before."""
        key = self._next_key()
        encoded = self.mask.json(encode_arguments(bound_arguments(spec.func, args, kwargs)))
        call = self.journal.get(key)
        if call is not None:
            self.compare(call, spec.name, encoded)
            if call.is_over:
                return await self.recorded(call)
        new = rows.NewCall.make(self.run_id, key, "action", spec.name, encoded, idempotent=spec.idempotent)
        with self.until_given_up(call.id if call else new.id, new):
            if call is not None and call.interrupted and not call.decision:
                known = await unknown.outcome_of(self, spec, args, kwargs, call, encoded)
                if known is not NO_ANSWER:
                    return known
            elif call is not None and call.wake_at is not None:
                await self.waits.until(key, call.id, call.wake_at)
            return await self._perform(spec, args, kwargs, new, call)

    async def call_helper(self, name: str, arguments: dict[str, Any]) -> Any:
        """Do one of the named helpers as a durable step: effect and journal line share one transaction."""
        key = self._next_key()
        encoded = self.mask.json(encode_arguments(storable_texts(arguments)))
        call = self.journal.get(key)
        if call is not None:
            self.compare(call, name, encoded)
            return await self.recorded(call)
        new = rows.NewCall.make(self.run_id, key, "helper", name, encoded, idempotent=True)
        with self.until_given_up(new.id, new):
            try:
                await self._permission()
                output = await self.stored(self.services.help(self, name, decode(encoded), new))
            except Exception as error:
                attempt_id, attempt = rows.attempt(self.claim, self.run_id, new.id, 1)
                failure, outcome = self._failure(new.id, attempt_id, error)
                await self.durable([new.insert, attempt, *outcome])
                raise self._raised(failure, key) from error
            return decode(output)

    async def call_sleep(self, seconds: float) -> None:
        """Wait as a durable step."""
        await self.waits.sleep(self._next_key(), seconds)

    async def call_approval(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask people as a durable step."""
        return await self.waits.approval(self._next_key(), storable_texts(arguments))

    def log(self, level: str, text: str) -> None:
        """Keep a line for the run's page; one that is logged again on replay is the same line."""
        lineage = current_lineage.get()
        if self.detached or lineage is None:
            return
        line = storable(self.mask.text(text)[:MAX_LOG_LINE])
        self.later([rows.log_line(self.run_id, lineage.next_line(), level, line)])

    def secret(self, name: str) -> str:
        """The secret of that name; from now on it is masked in whatever this run stores."""
        value = self._secrets[name]
        self.mask.add(name, value)
        return value

    # --- how an action is performed ----------------------------------------------------------------------------

    async def _perform(
        self,
        spec: ActionSpec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        new: rows.NewCall,
        call: Call | None,
    ) -> Any:
        key, call_id = new.key, call.id if call else new.id
        number = call.attempts if call else 0
        retries_used = call.failed_attempts if call else 0
        interrupted = call is not None and call.interrupted
        repeat = call is not None and interrupted and call.decision != "not_done"
        while True:
            number += 1
            attempt_id, attempt = rows.attempt(self.claim, self.run_id, call_id, number)
            first = new.insert if number == 1 and not call else (rows.CALL_AGAIN, (number, repeat, call_id))
            statements: list[rows.Statement] = [first, attempt]
            if interrupted:
                statements.insert(0, (rows.ATTEMPTS_UNKNOWN, (call_id,)))
            await self._permission()
            reached("intent.before", spec.name)
            self.open_calls.add(call_id)
            await self.durable(statements)
            reached("intent.after", spec.name)
            interrupted = repeat = False
            try:
                value = await self._attempt(spec, args, kwargs, new if call is None else call, retries_used)
            except Exception as error:
                if retries_used < spec.retries:
                    retries_used += 1
                    await self._before_retry(spec, key, call_id, attempt_id, retries_used, error)
                    continue
                failure, outcome = self._failure(call_id, attempt_id, error)
                self._conclude(spec.name, call_id, outcome)
                raise self._raised(failure, key) from error
            return self.succeed(spec, call_id, attempt_id, key, value)

    async def _attempt(
        self,
        spec: ActionSpec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        call: Call | rows.NewCall,
        retry: int,
    ) -> Any:
        """The body, once, inside its own lineage and time limit."""
        outer = current_lineage.get()
        assert outer is not None
        token = current_lineage.set(outer.inside(call.key, retry))
        named = current_call_key.set(str(call.idempotency_key))
        self.in_flight += 1
        limit = asyncio.timeout(spec.timeout)
        reached("call.before", spec.name)
        try:
            async with limit:
                if spec.is_async:
                    return await spec.func(*args, **kwargs)
                body = functools.partial(spec.func, *args, **kwargs)
                return await self._blocking.run(body, call.key, self.services.in_action_thread)
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"action {spec.name!r} took longer than its {spec.timeout:g} s") from error
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled the call: something in its body was, and the action fails of it.
            raise RuntimeError(f"action {spec.name!r} awaited something that was cancelled") from error
        finally:
            reached("call.after", spec.name)
            self.in_flight -= 1
            self.moved_at = time.monotonic()
            current_call_key.reset(named)
            current_lineage.reset(token)

    async def _before_retry(
        self, spec: ActionSpec, key: str, call_id: uuid.UUID, attempt_id: uuid.UUID, retry: int,
        error: Exception,
    ) -> None:  # fmt: skip
        """Record the failed attempt and wait, for its thread too; a long wait is a durable one."""
        delay = spec.delay_before(retry + 1)
        wake_at = self.services.in_seconds(delay)
        self.later(
            [
                (rows.FINISH_ATTEMPT, ("failed", self.hidden(said(error)), rows.utcnow(), attempt_id)),
                (rows.CALL_WAITS, (wake_at, call_id)),
            ]
        )
        self.in_flight += 1
        try:
            await self._blocking.ended(key)
        finally:
            self.in_flight -= 1
        await self.waits.until(key, call_id, wake_at)

    def succeed(
        self, spec: ActionSpec, call_id: uuid.UUID, attempt_id: uuid.UUID | None, key: str, value: Any
    ) -> Any:
        """Record what a call returned; returns it as the playbook sees it."""
        try:
            output = self.mask.json(encode_result(f"action {spec.name!r}", value))
        except TypeError as error:
            # It ran; what it returned cannot be kept. Not retried, the effect is there.
            failure, outcome = self._failure(call_id, attempt_id, error)
            self._conclude(spec.name, call_id, outcome)
            raise self._raised(failure, key) from error
        outcome = rows.outcome(call_id, attempt_id, output=output, error="", error_value=None)
        self._conclude(spec.name, call_id, outcome)
        return decode(output)

    def _conclude(self, name: str, call_id: uuid.UUID, outcome: list[rows.Statement]) -> None:
        reached("result.before", name)
        self.open_calls.discard(call_id)
        self.later(outcome)

    def _failure(
        self, call_id: uuid.UUID, attempt_id: uuid.UUID | None, error: BaseException
    ) -> tuple[Failure, list[rows.Statement]]:
        failure = Failure.of(error)
        if self.mask:
            failure = Failure.from_text(self.mask.json(failure.to_text()))
        text = self.hidden(failure.message or type(error).__name__)
        return failure, rows.outcome(
            call_id, attempt_id, output=None, error=text, error_value=failure.to_text()
        )

    def hidden(self, text: str) -> str:
        """``text`` as it may be stored: without secrets, and as PostgreSQL can hold it."""
        return storable(self.mask.text(text))

    # --- replay ------------------------------------------------------------------------------------------------

    async def recorded(self, call: Call) -> Any:
        """What the call gave in the run's first life: its value, or its exception."""
        if call.state == "success":
            return decode(call.output)
        failure = Failure.from_text(call.error_value or "{}")
        if failure.class_path == "asyncio.exceptions:CancelledError":
            # In its first life the author cancelled this call from outside; the same will happen again.
            await asyncio.Event().wait()
        raise self._raised(failure, call.key)

    def _raised(self, failure: Failure, key: str) -> Exception:
        """The failure as the playbook sees it, in both lives; remembered, for what the run may end with."""
        error = failure.rebuild(self.namespace)
        self.failures.append((error, key))
        return error

    def compare(self, call: Call, name: str, encoded: str) -> None:
        """Stop the run where a replayed call is not the one that was recorded."""
        if call.name == name and call.args_digest == digest(encoded):
            return
        # What is shown is masked as in the first life, where the body of a call may have read secrets.
        for secret in self._secrets:
            with contextlib.suppress(Exception):  # one that cannot be opened cannot stand in the arguments
                self.secret(secret)
        encoded = self.mask.json(encoded)
        if call.name == name and call.args_digest == digest(encoded):
            return
        self.stop_with(Question.mismatch(call, name, orjson.loads(encoded)))

    # --- letting go --------------------------------------------------------------------------------------------

    def stop_with(self, question: Question) -> None:
        """Stop the run for a person's answer; raises Detached in the caller."""
        if self.question is None:
            self.question = question
        self.let_go(lost=False)
        raise Detached

    def park_if_idle(self) -> None:
        """Let go of a run that does nothing but wait durably, for a while to come.

        Nothing of it may be under way: no call, no timer of its own code, and for a second nothing else either; unless
        its only task is the one that waits.
        """
        if not self.waits or self.in_flight or self.detached:
            return
        alone = len(self.waits) == 1 and self.pending.tasks <= {self._main}
        if not alone and time.monotonic() - self.moved_at < IDLE_SECONDS:
            return
        if self.services.seconds_until(self.waits.first) < IDLE_SECONDS:
            return
        if self.pending.has_timer(asyncio.get_running_loop().time()):
            return
        self.parked_until, self.parked_for = self.waits.first, self.waits.why()
        self.end_as("parked")

    def end_as(self, why: str) -> None:
        """Stop the run here and now: ``parked``, ``cancelled`` or ``timed_out``. What is under way has no result."""
        if not self.detached:
            self.ended_as = why
            self.let_go(lost=False)

    def let_go(self, *, lost: bool = True) -> None:
        """Detach: from now on durable calls raise, so that an author's ``finally`` fires nothing; then unwind."""
        self.lost = self.lost or lost
        if self.detached:
            return
        self.detached = True
        if self._released is not None and not self._released.done():
            self._released.set_result(None)
        current = asyncio.current_task()
        for task in list(self.pending.tasks):
            if task is not current:
                task.cancel()
        if self._main is not None and self._main is not current:
            self._main.cancel()

    async def execute(self, body: Callable[[], Any]) -> Any:
        """Run ``body`` (the playbook) with this run current. Returns its value, raises its exception.

        Raises:
            Detached: the run was let go meanwhile; ``question`` and ``ended_as`` tell why.
        """
        root = Lineage("0", self.pending)

        def start() -> asyncio.Task[Any]:
            current_run.set(self)
            current_lineage.set(root)
            return asyncio.ensure_future(_call(body))

        self._released = asyncio.get_running_loop().create_future()
        self._main = copy_context().run(start)
        await self._wait_for_main()
        try:
            if self.detached:
                raise Detached
            return self._main.result()
        finally:
            await self._end_leftovers()

    async def _wait_for_main(self) -> None:
        assert self._main is not None
        assert self._released is not None
        await asyncio.wait({self._main, self._released}, return_when=asyncio.FIRST_COMPLETED)
        if not self._main.done():
            await asyncio.wait({self._main}, timeout=UNWIND_SECONDS)
        if not self._main.done():
            logger.warning("run %s does not end after it was let go; abandoned", self.run_id)

    async def _end_leftovers(self) -> None:
        """Tasks that the playbook started and did not await end with it; their calls have no effect any more."""
        self.detached = True
        leftovers = [task for task in self.pending.tasks if not task.done()]
        for task in leftovers:
            task.cancel()
        if leftovers:
            await asyncio.wait(leftovers, timeout=UNWIND_SECONDS)

    # --- small things ------------------------------------------------------------------------------------------

    def _next_key(self) -> str:
        if self.detached:
            raise Detached
        lineage = current_lineage.get()
        assert lineage is not None, "a run's code runs inside its lineage"
        self.moved_at = time.monotonic()
        return lineage.next_key()

    async def _permission(self) -> None:
        await self.services.may_call()
        if self.detached:
            raise Detached

    async def durable(self, statements: list[rows.Statement]) -> None:
        """Store, and wait until it is stored.

        Raises:
            Detached: the run was lost or let go meanwhile.
        """
        try:
            await self._shielded(asyncio.wrap_future(self.services.submit(Write(self.claim, statements))))
        except LostClaim:
            self.let_go()
            raise Detached from None
        if self.detached:
            raise Detached

    async def stored[T](self, work: asyncio.Future[T]) -> T:
        """Await fenced ORM work that another thread does.

        Raises:
            Detached: the claim is lost, or the database away.
        """
        try:
            return await self._shielded(work)
        except LostClaim:
            self.let_go()
            raise Detached from None
        except CONNECTION_ERRORS as error:
            # Whether it was stored, only the journal knows: given back, the run looks there first.
            logger.warning("run %s: the database went away: %s", self.run_id, error)
            self.end_as("disconnected")
            raise Detached from None

    @contextlib.contextmanager
    def until_given_up(self, call_id: uuid.UUID, new: rows.NewCall) -> Iterator[None]:
        """A call that its author's own wait_for or TaskGroup gives up, wherever it is, has ended so for good.

        ``new``: its line, in case that was not stored yet.
        """
        try:
            yield
        except asyncio.CancelledError as error:
            if not self.detached:
                self.open_calls.discard(call_id)
                left = [
                    (rows.ATTEMPTS_GIVEN_UP, (rows.utcnow(), call_id)),
                    (rows.APPROVAL_GIVEN_UP, (call_id,)),
                ]
                self.later([new.insert, *left, *self._failure(call_id, None, error)[1]])
            raise

    async def _shielded[T](self, inner: asyncio.Future[T]) -> T:
        """Await to the end even if the author cancels. Of a run that was let go nobody else hears how it ended."""
        self.in_flight += 1
        inner.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(inner)
        except asyncio.CancelledError:
            if not inner.done():
                await asyncio.wait({inner}, timeout=UNWIND_SECONDS if self.detached else None)
            raise
        finally:
            self.in_flight -= 1
            self.moved_at = time.monotonic()

    def later(self, statements: list[rows.Statement]) -> None:
        """Store without waiting. Writes are stored in order, so the next intent is durable only after this."""
        self.services.store_later(self, statements)


async def _call(body: Callable[[], Any]) -> Any:
    return await body()
