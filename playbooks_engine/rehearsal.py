"""A run without database, broker or waiting: the engine's own run on a journal in memory.

``opensoar.testing`` and ``manage.py run_playbook --dry-run`` are made of this. Keys, replay, masking and detaching are
:class:`LiveRun`'s; here is only what a worker and its tables do around it. Time is made up: it stands still until all
that is left to do is wait.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.actors import Actor
from playbooks_engine import rows
from playbooks_engine.alert import Alert
from playbooks_engine.codec import decode, encode_arguments, encode_result, format_traceback
from playbooks_engine.incident import Incident, Observable
from playbooks_engine.journal import Claim, Write
from playbooks_engine.lineage import PlaybookLoop
from playbooks_engine.masking import Secrets
from playbooks_engine.registry import ActionSpec, PlaybookSpec
from playbooks_engine.rehearsal_tables import Tables
from playbooks_engine.rehearsal_world import World, made_up_id
from playbooks_engine.run_parts import Detached
from playbooks_engine.runner import IDLE_SECONDS, LiveRun

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SUBJECTS: dict[str, Any] = {"alert": Alert, "incident": Incident, "observable": Observable}
LOOK_SECONDS = 0.001  # between two looks whether the run only waits
QUIET_LOOKS = 4  # after so many without anything moving it does
MAX_LIVES = 10_000


@dataclass
class CrashPoint:
    """Where the worker dies, once: at the ``number``-th call that ends, or at the first that ends of this ``name``.

    ``recorded``: after its outcome was stored; else before, so that nobody knows what became of it.
    """

    name: str | None = None
    number: int = 0
    recorded: bool = True

    def is_at(self, step_name: str, number: int) -> bool:
        return step_name == self.name if self.name is not None else number == self.number


class Rehearsed(LiveRun):
    """A run whose actions may be answered for."""

    async def call_action(self, spec: ActionSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The engine's own, with the body that the rehearsal has for it."""
        assert isinstance(self.services, Rehearsal)
        return await super().call_action(self.services.cast(spec), args, kwargs)


class Rehearsal:
    """One run, life after life, and what it leaves behind. It is its own process (``run_parts.Services``)."""

    def __init__(
        self,
        spec: PlaybookSpec,
        *,
        subject_kind: str = "input",
        subject: Mapping[str, Any] | None = None,
        input: Any = None,
        incidents: Iterable[Mapping[str, Any]] = (),
        approve: Any = True,
        answers: Mapping[str, Any] | None = None,
        real_actions: bool = True,
        secrets: Secrets | None = None,
        crash: CrashPoint | None = None,
        watch: Callable[[str, Any], None] | None = None,
    ) -> None:
        """``answers``: instead of an action's body or a helper, by name; ``real_actions=False``: the others return
        None. ``watch`` is told of each step as it ends, and of each log line."""
        self.spec = spec
        self.subject_kind = subject_kind
        self.subject = copy.deepcopy(dict(subject)) if subject is not None else None
        self.input = decode(encode_arguments(input))
        own = [self.subject] if self.subject is not None and subject_kind == "incident" else []
        self.now = START
        self.world = World(
            alert=self.subject if subject_kind == "alert" else None,
            incidents=[*own, *incidents],
            now=lambda: self.now,
        )
        self.approve = approve
        self.answers = answers or {}
        self.real_actions = real_actions
        self.secrets = secrets or Secrets({})
        self.crash = crash
        self.watch = watch or (lambda what, told: None)
        self.run_id = uuid.UUID(made_up_id("run", spec.name))
        self.claim = Claim(uuid.UUID(int=1), 1, uuid.UUID(int=2))
        self.tables = Tables(on_log=lambda line: self.watch("log", line))
        self.approvals: dict[uuid.UUID, dict[str, Any]] = {}
        self.lives = 0
        self.state = "running"
        self.result: Any = None
        self.error = ""
        self.traceback = ""
        self._asked_before: set[uuid.UUID] = (
            set()
        )  # approvals of earlier lives: people have answered meanwhile
        self._died = False
        self._live: LiveRun | None = None
        self._threads = ThreadPoolExecutor(thread_name_prefix="action")

    # --- its lives ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """To its end, on an event loop of its own. Not in a thread that runs a loop already."""
        loop = PlaybookLoop()
        try:
            loop.run_until_complete(self._all_lives())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _all_lives(self) -> None:
        kind = SUBJECTS.get(self.subject_kind)
        subject = kind(self.subject) if kind and self.subject is not None else self.subject
        if self.spec.when is not None and not self.spec.when(subject):
            self.state, self.error = "skipped", "The playbook's when= condition is not met."
            return
        while self.state == "running":
            if self.lives == MAX_LIVES:
                raise RuntimeError(f"{self.spec.name!r} was replayed {MAX_LIVES} times and did not end")
            self.lives += 1
            await self._one_life(kind(self.subject) if kind and self.subject is not None else self.subject)

    async def _one_life(self, subject: Any) -> None:
        live = self._live = Rehearsed(
            services=self, claim=self.claim, run_id=self.run_id, alert_id=self._id_of("alert"),
            actor=Actor(kind="playbook", id=self.run_id, name=self.spec.name, partner_ids=frozenset({DEFAULT_PARTNER_ID})),
            journal={step.key: step.call() for step in self.tables.steps.values()},
            namespace=getattr(self.spec.func, "__globals__", {}), name=self.spec.name,
            incident=self.subject if self.subject_kind == "incident" else None,
            incident_id=self._id_of("incident"), secrets=self.secrets,
        )  # fmt: skip
        named = {self.subject_kind: subject, "input": self.input}
        single = subject if subject is not None else self.input if self.input is not None else {}
        looking = asyncio.ensure_future(self._pass_time(live))
        try:
            value = await live.execute(functools.partial(self.spec.func, **self.spec.bind(single, named)))
            result = live.mask.json(encode_result(f"playbook {self.spec.name!r}", value))
        except Detached:
            self._let_go(live)
        except (Exception, asyncio.CancelledError) as error:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self.state, self.error = "failed", live.mask.text(text)
            self.traceback = live.mask.text(format_traceback(error))
        else:
            self.state, self.result = "success", decode(result)
        finally:
            looking.cancel()
            self._asked_before |= set(self.approvals)

    def _let_go(self, live: LiveRun) -> None:
        """Why this life ended before the run did; mostly the next one goes on."""
        if self._died:
            self._died = False
        elif live.question is not None:
            self.state, self.error = "needs_attention", live.question.text
        elif live.ended_as == "timed_out":
            assert self.spec.timeout is not None
            self.state = "failed"
            self.error = f"The run took longer than its timeout of {self.spec.timeout:g} s."

    def _id_of(self, kind: str) -> uuid.UUID | None:
        if self.subject is None or self.subject_kind != kind:
            return None
        return uuid.UUID(str(self.subject["id"]))

    async def _pass_time(self, live: LiveRun) -> None:
        """Turn the clock on whenever nothing is left to do but to wait."""
        quiet, moved = 0, live.moved_at
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            still = live.moved_at == moved and not live.in_flight and not live.detached
            moved = live.moved_at
            if not still or not live.waits or live.pending.has_timer(asyncio.get_running_loop().time()):
                quiet = 0
                continue
            quiet += 1
            if quiet >= QUIET_LOOKS:
                quiet = 0
                self._turn_on(live)

    def _turn_on(self, live: LiveRun) -> None:
        answered = [wait.call_id for wait in live.waits if self._answer(wait.call_id) is not None]
        if answered:
            # People take longer than a run stays in memory: what asked them is parked, and its next life hears.
            for call_id in answered:
                if call_id in self._asked_before:
                    live.waits.answered(call_id)
                    return
            live.end_as("parked")
            return
        wake_at = live.waits.first
        deadline = START + timedelta(seconds=self.spec.timeout) if self.spec.timeout is not None else None
        if deadline is not None and deadline < wake_at:
            self.now = deadline
            live.end_as("timed_out")
            return
        is_long = self.seconds_until(wake_at) >= IDLE_SECONDS
        self.now = max(self.now, wake_at)
        if is_long:
            live.end_as("parked")
            return
        for wait in list(live.waits):
            if wait.until <= self.now:
                live.waits.answered(wait.call_id)

    # --- what a live run needs of its process (run_parts.Services) ---------------------------------------------

    def submit(self, write: Write) -> Future[None]:
        """Store at once."""
        self._apply(write.statements)
        write.done.set_result(None)
        return write.done

    def store_later(self, live: LiveRun, statements: list[rows.Statement]) -> None:
        """Store at once."""
        self._apply(statements)

    def in_helper_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do it here: nothing of it waits."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        return future

    def in_action_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """A blocking action runs in a thread, as in the engine."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def may_call(self) -> None:
        """Always."""

    def help(
        self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall
    ) -> asyncio.Future[str]:
        """As the engine does."""
        return self.in_helper_thread(functools.partial(self.helper, live, name, arguments, call))

    def helper(self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall) -> str:
        """Effect and record together, as in the engine: a crash comes before both or after both."""
        self._crash_before(name)
        value = (
            self._answered(name, arguments) if name in self.answers else self.world.perform(name, arguments)
        )
        output = live.mask.json(encode_result(name, value))
        attempt_id, attempt = rows.attempt(self.claim, self.run_id, call.id, 1)
        outcome = rows.outcome(call.id, attempt_id, output=output, error="", error_value=None)
        self._apply([call.insert, attempt, *outcome])
        return output

    def ask(self, live: LiveRun, call: rows.NewCall, arguments: dict[str, Any], until: datetime) -> None:
        """The question, and what people say to it."""
        self._apply([call.insert])
        asked = {name: arguments[name] for name in ("summary", "of", "policy", "on_timeout")}
        said = self.approve(dict(asked)) if callable(self.approve) else self.approve
        state = {True: "approved", False: "denied", None: "pending"}[None if said is None else bool(said)]
        self.approvals[call.id] = asked | {"state": state, "approved": bool(said)}

    def settle(self, live: LiveRun, call_id: uuid.UUID) -> str | None:
        """What people said; nobody's answer counts once its time is over."""
        asked = self.approvals[call_id]
        output = self._answer(call_id)
        if output is None:
            until = self.tables.steps[call_id].wake_at
            assert until is not None
            if until > self.now:
                return None
            asked |= {"state": "expired", "approved": asked["on_timeout"] == "approve"}
            output = self._approval(call_id, by=None, at=None)
        self._apply(rows.outcome(call_id, None, output=output, error="", error_value=None))
        return output

    def in_seconds(self, seconds: float) -> datetime:
        """That long from the made-up now."""
        return self.now + timedelta(seconds=seconds)

    def seconds_until(self, moment: datetime) -> float:
        """How long until ``moment``."""
        return (moment - self.now).total_seconds()

    # --- answers -----------------------------------------------------------------------------------------------

    def cast(self, spec: ActionSpec) -> ActionSpec:
        """The action with the body that it has here; name, parameters and promises stay its own."""
        if spec.name not in self.answers and self.real_actions:
            return spec

        @functools.wraps(spec.func)
        async def stand_in(*args: Any, **kwargs: Any) -> Any:
            answer = self.answers.get(spec.name)
            value = _given(answer, args, kwargs)
            return await value if inspect.isawaitable(value) else value

        return replace(spec, func=stand_in, is_async=True)

    def _answered(self, name: str, arguments: dict[str, Any]) -> Any:
        return _given(self.answers[name], (), arguments)

    def _answer(self, call_id: uuid.UUID) -> str | None:
        """What people said to an approval, as JSON; None while nobody has."""
        asked = self.approvals.get(call_id)
        if asked is None or asked["state"] not in ("approved", "denied"):
            return None
        return self._approval(call_id, by="analyst", at=self.now.isoformat())

    def _approval(self, call_id: uuid.UUID, *, by: str | None, at: str | None) -> str:
        asked, step = self.approvals[call_id], self.tables.steps[call_id]
        shown = {
            "id": made_up_id("approval", step.key),
            "approved": asked["approved"],
            "state": asked["state"],
        }
        return orjson.dumps(shown | {"by": by, "at": at, "comment": ""}).decode()

    # --- dying -------------------------------------------------------------------------------------------------

    def _apply(self, statements: list[rows.Statement]) -> None:
        """Store together; the worker may die before or after the outcome that is among them."""
        if (ends := self.tables.ending(statements)) is not None:
            self._crash_before(ends.name)
        for step in self.tables.store(statements):
            self.watch("step", step)
            if (
                self.crash is not None
                and self.crash.recorded
                and self.crash.is_at(step.name, len(self.tables.ended))
            ):
                self._die()

    def _crash_before(self, name: str) -> None:
        crash = self.crash
        if crash is not None and not crash.recorded and crash.is_at(name, len(self.tables.ended) + 1):
            self._die()

    def _die(self) -> None:
        """As if the process were gone: the run is detached and none of its code learns how the call ended."""
        assert self._live is not None
        self.crash, self._died = None, True
        self._live.let_go()
        raise Detached


def _given(answer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an answer is for this call: an exception is raised, a function is asked, a value is itself."""
    if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
        raise answer
    return answer(*args, **kwargs) if callable(answer) else copy.deepcopy(answer)
