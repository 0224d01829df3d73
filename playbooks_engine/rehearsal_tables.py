"""The tables of one rehearsed run, in memory: what the engine's statements (``rows.py``) do to them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from playbooks_engine import rows
from playbooks_engine.run_parts import Call


@dataclass
class Step:
    """One durable call, as the tables hold it."""

    id: uuid.UUID
    key: str
    kind: str  # action | helper | sleep | approval
    name: str
    arguments: str
    args_digest: bytes
    idempotent: bool | None
    idempotency_key: uuid.UUID
    wake_at: datetime | None
    state: str = "started"
    output: str | None = None
    error: str = ""
    error_value: str | None = None
    attempts: int = 1
    repeated: bool = False
    tries: dict[uuid.UUID, str] = field(default_factory=dict)

    def end(self, state: str, output: str | None, error: str, error_value: str | None) -> None:
        """Its outcome."""
        self.state, self.output, self.error, self.error_value = state, output, error, error_value

    def call(self) -> Call:
        """The journal line of it that replay needs (as ``preparation.load_journal`` makes it)."""
        last = next(reversed(self.tries.values()), "started")
        return Call(
            id=self.id, key=self.key, name=self.name, args_digest=self.args_digest, state=self.state,
            output=self.output, error_value=self.error_value, attempts=self.attempts,
            failed_attempts=list(self.tries.values()).count("failed"), interrupted=last != "failed", decision="",
            idempotency_key=self.idempotency_key, wake_at=self.wake_at,
        )  # fmt: skip


class Tables:
    """Calls, attempts and log lines of a run."""

    def __init__(self, *, on_log: Callable[[tuple[str, str]], None]) -> None:
        self.steps: dict[uuid.UUID, Step] = {}
        self.ended: list[Step] = []  # in the order in which they did
        self.logs: dict[str, tuple[str, str]] = {}
        self._on_log = on_log

    def ending(self, statements: list[rows.Statement]) -> Step | None:
        """The call whose outcome is among the statements, if it is there already."""
        ids = [params[-1] for sql, params in statements if sql == rows.FINISH_CALL]
        return next((self.steps[call_id] for call_id in ids if call_id in self.steps), None)

    def store(self, statements: list[rows.Statement]) -> list[Step]:
        """Do as they say; returns the calls that have ended with it."""
        for sql, params in statements:
            getattr(self, _STATEMENTS[sql])(*params)
        ended = [self.steps[params[-1]] for sql, params in statements if sql == rows.FINISH_CALL]
        self.ended += ended
        return ended

    def _insert_call(self, call_id: Any, run_id: Any, key: Any, kind: Any, name: Any, digest: Any, encoded: Any,
                     idempotent: Any, idempotency_key: Any, wake_at: Any, now: Any) -> None:  # fmt: skip
        if any(step.key == key for step in self.steps.values()):
            return
        self.steps[call_id] = Step(
            id=call_id, key=key, kind=kind, name=name, arguments=encoded, args_digest=digest, idempotent=idempotent,
            idempotency_key=idempotency_key, wake_at=wake_at,
        )  # fmt: skip

    def _call_again(self, number: int, repeat: bool, call_id: uuid.UUID) -> None:
        step = self.steps[call_id]
        step.attempts, step.repeated, step.wake_at = number, step.repeated or repeat, None

    def _call_waits(self, wake_at: datetime, call_id: uuid.UUID) -> None:
        self.steps[call_id].wake_at = wake_at

    def _insert_attempt(self, attempt_id: Any, call_id: Any, *rest: Any) -> None:
        self.steps[call_id].tries[attempt_id] = "started"

    def _finish_attempt(self, state: str, error: str, now: datetime, attempt_id: uuid.UUID) -> None:
        for step in self.steps.values():
            if attempt_id in step.tries:
                step.tries[attempt_id] = state

    def _finish_call(
        self, state: str, output: Any, large: Any, error: Any, value: Any, now: Any, call_id: uuid.UUID
    ) -> None:
        self.steps[call_id].end(state, output, error, value)

    def _insert_output(self, call_id: uuid.UUID, output: str) -> None:
        self.steps[call_id].output = output

    def _insert_log(self, line_id: Any, run_id: Any, key: str, level: str, text: str, now: Any) -> None:
        if key not in self.logs:
            self.logs[key] = (level, text)
            self._on_log(self.logs[key])

    def _attempts_unknown(self, call_id: uuid.UUID) -> None:
        self._settle_attempts(call_id, "unknown", ("started",))

    def _attempts_verified(self, now: datetime, call_id: uuid.UUID) -> None:
        self._settle_attempts(call_id, "success", ("started", "unknown"))

    def _attempts_given_up(self, now: datetime, call_id: uuid.UUID) -> None:
        self._settle_attempts(call_id, "failed", ("started",))

    def _approval_given_up(self, call_id: uuid.UUID) -> None:
        """Nobody could answer it here any more."""

    def _settle_attempts(self, call_id: uuid.UUID, state: str, of: tuple[str, ...]) -> None:
        tries = self.steps[call_id].tries
        tries |= {attempt_id: state for attempt_id, was in tries.items() if was in of}


_STATEMENTS = {
    rows.INSERT_CALL: "_insert_call",
    rows.CALL_AGAIN: "_call_again",
    rows.CALL_WAITS: "_call_waits",
    rows.INSERT_ATTEMPT: "_insert_attempt",
    rows.FINISH_ATTEMPT: "_finish_attempt",
    rows.FINISH_CALL: "_finish_call",
    rows.INSERT_OUTPUT: "_insert_output",
    rows.INSERT_LOG: "_insert_log",
    rows.ATTEMPTS_GIVEN_UP: "_attempts_given_up",
    rows.APPROVAL_GIVEN_UP: "_approval_given_up",
    rows.ATTEMPTS_UNKNOWN: "_attempts_unknown",
    rows.ATTEMPTS_VERIFIED: "_attempts_verified",
}
