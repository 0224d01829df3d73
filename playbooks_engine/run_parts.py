"""What a run is made of besides itself: its journal lines, its questions, and what it needs of its process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from playbooks_engine import rows
    from playbooks_engine.journal import Write
    from playbooks_engine.runner import LiveRun

NO_ANSWER: Any = object()


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
    wake_at: datetime | None = None  # when its wait, or the wait before its next attempt, is over

    @property
    def is_over(self) -> bool:
        """Whether its outcome is recorded."""
        return self.state in ("success", "failed")


def calls_behind(failures: list[tuple[BaseException, str]], error: BaseException) -> list[str]:
    """Keys of the calls whose failure ``error`` is, or comes from; ``failures``: what was raised, by which call."""
    chain: list[BaseException] = [error]
    for link in chain:
        more = [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            more += link.exceptions
        chain += [found for found in more if found is not None and found not in chain]
    return [key for raised, key in failures if any(raised is link for link in chain)]


@dataclass(frozen=True, slots=True)
class Question:
    """Why a run needs a person, and which answers it takes."""

    reason: str
    text: str
    choices: tuple[str, ...]
    call_id: str | None = None
    detail: Mapping[str, Any] | None = None

    @classmethod
    def mismatch(cls, call: Call, name: str, arguments: Any) -> Question:
        """On replay ``name`` is called where ``call`` was recorded."""
        return cls(
            reason="replay_mismatch",
            text=f"On replay the playbook called {name!r} where it had called {call.name!r} before, or with other "
            "arguments. Nothing was called. Clock, randomness and outside state belong in an @action.",
            choices=("cancel",),
            call_id=str(call.id),
            detail={"recorded": call.name, "now": name, "arguments": arguments},
        )


class Services(Protocol):
    """What a run needs of the process it lives in."""

    def submit(self, write: Write) -> Future[None]:
        """Store a write; see JournalWriter."""

    def store_later(self, live: LiveRun, statements: list[rows.Statement]) -> None:
        """Store without anybody waiting; the run is let go where it cannot be stored."""

    # These return futures, not coroutines: wrapping a coroutine would create a task and shift the lineage.
    def in_helper_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run ORM work in the bounded pool."""

    def in_action_thread[T](self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run a blocking action in a thread."""

    async def may_call(self) -> None:
        """Wait while this worker must not start calls (its beat could not be written, it is shutting down)."""

    def help(
        self, live: LiveRun, name: str, arguments: dict[str, Any], call: rows.NewCall
    ) -> asyncio.Future[str]:
        """Do a helper and record it, in one short transaction; its result as JSON."""

    def ask(self, live: LiveRun, call: rows.NewCall, arguments: dict[str, Any], until: datetime) -> None:
        """Record an approval and its journal line (called in a helper thread)."""

    def settle(self, live: LiveRun, call_id: uuid.UUID) -> str | None:
        """The answer to an approval as JSON, recorded as its call's result; None while there is none and its time is
        not over (called in a helper thread)."""

    def in_seconds(self, seconds: float) -> datetime:
        """That long from now, by the database's clock."""

    def seconds_until(self, moment: datetime) -> float:
        """How long until ``moment``, by the database's clock; below zero where it has passed."""
