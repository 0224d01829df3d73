"""One run: calls the playbook from the top on its journal. The only engine; free of Dramatiq."""

from __future__ import annotations

import asyncio
import functools
import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from opensoar.actors import Actor
from playbooks_engine import rows
from playbooks_engine.codec import Failure, bound_arguments, decode, digest, encode_arguments, encode_result
from playbooks_engine.context import current_run
from playbooks_engine.journal import Claim, LostClaim, Write
from playbooks_engine.lineage import Lineage, current_lineage
from playbooks_engine.registry import ActionSpec

logger = logging.getLogger(__name__)
UNWIND_SECONDS = 5.0  # how long a detached run's coroutine may take to give up before it is abandoned


class Detached(BaseException):
    """A durable call on a run that was let go: no row, no effect. Not an Exception, so that authors do not catch it."""


@dataclass(slots=True)
class Call:
    """A journal line as replay needs it."""

    id: uuid.UUID
    key: str
    name: str
    args_digest: bytes
    state: str
    output: str | None
    error_value: str | None
    attempts: int
    failed_attempts: int
    interrupted: bool  # its last attempt was begun and never finished
    decision: str
    idempotency_key: uuid.UUID


class Services(Protocol):
    """What a run needs of the process it lives in."""

    def submit(self, write: Write) -> Future[None]:
        """Store a write; see JournalWriter."""

    # Both return futures, not coroutines: wrapping a coroutine would create a task and shift the lineage.
    def in_helper_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run ORM work in the bounded pool."""

    def in_action_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run a blocking action in a thread."""

    async def may_call(self) -> None:
        """Wait while this worker must not start calls (its beat could not be written, it is shutting down)."""

    def helper(self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall) -> Any:
        """Do a helper and record it, in one short transaction (called in a helper thread)."""


@dataclass(frozen=True, slots=True)
class Question:
    """Why a run needs a person, and which answers it takes."""

    reason: str
    text: str
    choices: tuple[str, ...]
    call_id: str | None = None
    detail: Mapping[str, Any] | None = None


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
    ) -> None:
        self.services = services
        self.claim = claim
        self.run_id = run_id
        self.alert_uuid = alert_id
        self.actor = actor
        self.journal = journal
        self.namespace = namespace
        self.question: Question | None = None
        self.lost = False  # the claim is gone, or the process lets go: write nothing more
        self.detached = False
        self.in_flight = 0
        self.tasks: set[asyncio.Task[Any]] = set()
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
        encoded = encode_arguments(bound_arguments(spec.func, args, kwargs))
        call = self.journal.get(key)
        if call is not None:
            self._compare(call, spec.name, encoded)
            if call.state in ("success", "failed"):
                return await self._recorded(call)
            if call.interrupted and spec.idempotent is False and not call.decision:
                self._ask_about_unknown(call, encoded)
        return await self._perform(spec, args, kwargs, key, encoded, call)

    async def call_helper(self, name: str, arguments: dict[str, Any]) -> Any:
        """Do one of the named helpers as a durable step: effect and journal line share one transaction."""
        key = self._next_key()
        encoded = encode_arguments(arguments)
        call = self.journal.get(key)
        if call is not None:
            self._compare(call, name, encoded)
            return await self._recorded(call)
        new = rows.NewCall.make(self.run_id, key, "helper", name, encoded, idempotent=True)
        await self._permission()
        try:
            work = functools.partial(self.services.helper, self, name, arguments, new)
            output = await self._shielded(self.services.in_helper_thread(work))
        except LostClaim:
            self.let_go()
            raise Detached from None
        except Exception as error:
            failure = Failure.of(error)
            attempt_id, attempt = rows.attempt(self.claim, self.run_id, new.id, 1)
            statements = [new.insert, attempt]
            statements += rows.outcome(
                new.id, attempt_id, output=None, error=str(error), error_value=failure.to_text()
            )
            await self._durable(statements)
            raise failure.rebuild(self.namespace) from error
        return decode(output)

    # --- how an action is performed ----------------------------------------------------------------------------

    async def _perform(
        self,
        spec: ActionSpec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        key: str,
        encoded: str,
        call: Call | None,
    ) -> Any:
        number = call.attempts if call else 0
        retries_used = call.failed_attempts if call else 0
        new = (
            None
            if call
            else rows.NewCall.make(self.run_id, key, "action", spec.name, encoded, spec.idempotent)
        )
        call_id = call.id if call else new.id  # type: ignore[union-attr]
        repeat = call is not None and call.interrupted and call.decision != "not_done"
        while True:
            number += 1
            attempt_id, attempt = rows.attempt(self.claim, self.run_id, call_id, number)
            first = new.insert if new and number == 1 else (rows.CALL_AGAIN, (number, repeat, call_id))
            statements: list[rows.Statement] = [first, attempt]
            if repeat:
                statements.insert(0, (rows.ATTEMPTS_UNKNOWN, (call_id,)))
            await self._permission()
            await self._durable(statements)
            repeat = False
            try:
                value = await self._attempt(spec, args, kwargs, key, retries_used)
            except asyncio.CancelledError as error:
                # The author's own wait_for or TaskGroup gave up: that is the outcome, and it stays so.
                if not self.detached:
                    self._store_failure(call_id, attempt_id, error)
                raise
            except Exception as error:
                if retries_used < spec.retries:
                    retries_used += 1
                    now = rows.utcnow()
                    self._later([(rows.FINISH_ATTEMPT, ("failed", str(error), now, attempt_id))])
                    await asyncio.sleep(spec.delay_before(retries_used + 1))
                    continue
                failure = self._store_failure(call_id, attempt_id, error)
                raise failure.rebuild(self.namespace) from error
            return self._store_success(spec, call_id, attempt_id, value)

    async def _attempt(
        self, spec: ActionSpec, args: tuple[Any, ...], kwargs: dict[str, Any], key: str, retry: int
    ) -> Any:
        """The body, once, inside its own lineage and time limit."""
        outer = current_lineage.get()
        assert outer is not None
        token = current_lineage.set(outer.inside(key, retry))
        self.in_flight += 1
        limit = asyncio.timeout(spec.timeout)
        try:
            async with limit:
                if spec.is_async:
                    return await spec.func(*args, **kwargs)
                body = functools.partial(copy_context().run, functools.partial(spec.func, *args, **kwargs))
                return await self.services.in_action_thread(body)
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"action {spec.name!r} took longer than its {spec.timeout:g} s") from error
            raise
        finally:
            self.in_flight -= 1
            current_lineage.reset(token)

    def _store_success(self, spec: ActionSpec, call_id: uuid.UUID, attempt_id: uuid.UUID, value: Any) -> Any:
        try:
            output = encode_result(f"action {spec.name!r}", value)
        except (
            TypeError
        ) as error:  # it ran; what it returned cannot be kept. Not retried, the effect is there
            self._store_failure(call_id, attempt_id, error)
            raise
        self._later(rows.outcome(call_id, attempt_id, output=output, error="", error_value=None))
        return decode(output)

    def _store_failure(self, call_id: uuid.UUID, attempt_id: uuid.UUID, error: BaseException) -> Failure:
        failure = Failure.of(error)
        text = str(error) or type(error).__name__
        self._later(rows.outcome(call_id, attempt_id, output=None, error=text, error_value=failure.to_text()))
        return failure

    # --- replay ------------------------------------------------------------------------------------------------

    async def _recorded(self, call: Call) -> Any:
        if call.state == "success":
            return decode(call.output)
        failure = Failure.from_text(call.error_value or "{}")
        if failure.class_path == "asyncio.exceptions:CancelledError":
            # In its first life the author cancelled this call from outside; the same will happen again.
            await asyncio.Event().wait()
        raise failure.rebuild(self.namespace)

    def _compare(self, call: Call, name: str, encoded: str) -> None:
        if call.name == name and call.args_digest == digest(encoded):
            return
        self.stop_with(
            Question(
                reason="replay_mismatch",
                text=f"On replay the playbook called {name!r} where it had called {call.name!r} before, or with other "
                "arguments. Nothing was called. Clock, randomness and outside state belong in an @action.",
                choices=("cancel",),
                call_id=str(call.id),
                detail={"recorded": call.name, "now": name, "arguments": orjson.loads(encoded)},
            )
        )

    def _ask_about_unknown(self, call: Call, encoded: str) -> None:
        self.stop_with(
            Question(
                reason="unknown_outcome",
                text=f"{call.name!r} was started, and its outcome is unknown: the worker ended before it was recorded. "
                "It is declared idempotent=False, so it is not called again without you.",
                choices=("done", "not_done", "again", "cancel"),
                call_id=str(call.id),
                detail={"name": call.name, "arguments": orjson.loads(encoded)},
            )
        )

    # --- letting go --------------------------------------------------------------------------------------------

    def stop_with(self, question: Question) -> None:
        """Stop the run for a person's answer; raises Detached in the caller."""
        if self.question is None:
            self.question = question
        self.let_go(lost=False)
        raise Detached

    def let_go(self, *, lost: bool = True) -> None:
        """Detach: from now on durable calls raise, so that an author's ``finally`` fires nothing; then unwind."""
        self.lost = self.lost or lost
        if self.detached:
            return
        self.detached = True
        if self._released is not None and not self._released.done():
            self._released.set_result(None)
        current = asyncio.current_task()
        for task in list(self.tasks):
            if task is not current:
                task.cancel()
        if self._main is not None and self._main is not current:
            self._main.cancel()

    async def execute(self, body: Callable[[], Any]) -> Any:
        """Run ``body`` (the playbook) with this run current. Returns its value, raises its exception.

        Raises:
            Detached: the run was let go meanwhile; ``question`` tells whether a person is asked.
        """
        root = Lineage("0", self.tasks)

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
        leftovers = [task for task in self.tasks if not task.done()]
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
        return lineage.next_key()

    async def _permission(self) -> None:
        await self.services.may_call()
        if self.detached:
            raise Detached

    async def _durable(self, statements: list[rows.Statement]) -> None:
        try:
            await self._shielded(asyncio.wrap_future(self.services.submit(Write(self.claim, statements))))
        except LostClaim:
            self.let_go()
            raise Detached from None
        if self.detached:
            raise Detached

    async def _shielded[T](self, inner: asyncio.Future[T]) -> T:
        """Await to the end even if the author cancels: what is being stored is stored, then the cancel goes on."""
        try:
            return await asyncio.shield(inner)
        except asyncio.CancelledError:
            if not inner.done():
                await asyncio.wait({inner}, timeout=UNWIND_SECONDS)
            raise

    def _later(self, statements: list[rows.Statement]) -> None:
        """Store without waiting. Writes are stored in order, so the next intent is durable only after this."""
        loop = asyncio.get_running_loop()

        def settled(done: Future[None]) -> None:
            if done.exception() is not None:
                logger.warning("run %s: a result could not be stored: %s", self.run_id, done.exception())
                loop.call_soon_threadsafe(self.let_go)

        self.services.submit(Write(self.claim, statements)).add_done_callback(settled)


async def _call(body: Callable[[], Any]) -> Any:
    return await body()
