"""Which task of a run makes a call: keys that replay alike whatever the timing.

A durable call's key is its task's lineage and its position among that task's durable calls. Child tasks are numbered
in the order in which their parent creates them, so ``gather``, ``create_task`` and ``TaskGroup`` need no care by the
author. (A key of name, arguments and occurrence would swap the results of two gathered branches.)
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import WeakSet

MAX_PATH = 200  # characters; a deeper lineage is folded into a hash


class PlaybookExit(RuntimeError):
    """Code of a playbook tried to end the process (SystemExit, KeyboardInterrupt); only its run fails."""


class Pending:
    """What a run has under way in the loop besides its main task: tasks, and timers that its own code has set."""

    __slots__ = ("tasks", "timers")

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self.timers: WeakSet[asyncio.TimerHandle] = WeakSet()  # one that has fired is gone by itself

    def has_timer(self, now: float) -> bool:
        """Whether some ``asyncio.sleep`` or time limit of the author is still to come (``now``: the loop's time)."""
        return any(not timer.cancelled() and timer.when() > now for timer in self.timers)


class Lineage:
    """One task's place in the tree of a run's tasks, with its counters and what the run has under way."""

    __slots__ = ("_calls", "_children", "_lines", "path", "pending")

    def __init__(self, path: str, pending: Pending) -> None:
        self.path = path if len(path) <= MAX_PATH else "#" + hashlib.sha256(path.encode()).hexdigest()
        self.pending = pending
        self._calls = 0
        self._children = 0
        self._lines = 0

    def next_key(self) -> str:
        """The key of the next durable call in this task."""
        self._calls += 1
        return f"{self.path}:{self._calls}"

    def next_line(self) -> str:
        """The key of the next line logged in this task: the same one when it is logged again on replay."""
        self._lines += 1
        return f"{self.path}={self._lines}"

    def child(self) -> Lineage:
        """The lineage of the next task created here."""
        self._children += 1
        return Lineage(f"{self.path}.{self._children}", self.pending)

    def inside(self, key: str, retry: int) -> Lineage:
        """The lineage of an action's body: calls made there belong to this try of that call."""
        return Lineage(f"{key}/{retry}", self.pending)


current_lineage: ContextVar[Lineage | None] = ContextVar("opensoar_lineage", default=None)


async def _guarded(coro: Coroutine[Any, Any, Any]) -> Any:
    """``SystemExit`` in a task would kill the loop's thread, and with it every other run."""
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        raise PlaybookExit(f"the playbook raised {type(error).__name__}: {error}") from error


def task_factory(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    *,
    context: Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """The engine's loop creates tasks through this: tasks of a run get a lineage, all others are left alone."""
    parent = current_lineage.get()
    if parent is None:
        return asyncio.Task(coro, loop=loop, context=context, **options)
    own = context.copy() if context is not None else copy_context()
    own.run(current_lineage.set, parent.child())
    task = asyncio.Task(_guarded(coro), loop=loop, context=own, **options)
    parent.pending.tasks.add(task)

    def ended(task: asyncio.Task[Any]) -> None:
        parent.pending.tasks.discard(task)
        coro.close()  # one that was cancelled before its first step would warn that it was never awaited
        if not task.cancelled():
            task.exception()  # seen; whoever awaits the task gets it all the same

    task.add_done_callback(ended)
    return task


class PlaybookLoop(asyncio.SelectorEventLoop):
    """The loop that runs playbooks: numbers their tasks, and knows the timers that their code has set."""

    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(task_factory)

    def call_at(  # type: ignore[override]  # typeshed has a variadic callback
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Every timer is made here, whoever sets it."""
        timer = super().call_at(when, callback, *args, context=context)
        lineage = current_lineage.get()
        if lineage is not None:
            lineage.pending.timers.add(timer)
        return timer
