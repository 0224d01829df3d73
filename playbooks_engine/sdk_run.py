"""What a playbook asks of its own run: to wait, to be approved, to note something, to know a secret.

Pure Python, as ``sdk.py`` is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from playbooks_engine import context
from playbooks_engine.options import MAX_WAIT, one_of

__all__ = ["Approval", "idempotency_key", "log", "request_approval", "secret", "sleep"]

ON_TIMEOUT = ("deny", "approve")


@dataclass(frozen=True, slots=True)
class Approval:
    """What became of a question; true where it was approved.

    Attributes:
        state: ``approved``, ``denied``, or ``expired`` (nobody answered in time; ``approved`` then says what
            ``on_timeout`` made of it).
        by: who answered; None where nobody did.
        at: when, ISO 8601.
        comment: what they said.
    """

    id: str
    approved: bool
    state: str
    by: str | None = None
    at: str | None = None
    comment: str = ""

    def __bool__(self) -> bool:
        return self.approved


def _seconds(label: str, value: timedelta | float) -> float:
    """A duration in seconds.

    Raises:
        TypeError, ValueError: it is none, it is negative, or it is longer than ten years.
    """
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        raise TypeError(f"{label} takes a timedelta or a number of seconds, not {value!r}")
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 <= number <= MAX_WAIT.total_seconds():  # also false for what is no number
        raise ValueError(f"{label} takes a duration from 0 to {MAX_WAIT.days} days, not {value!r}")
    return number


async def sleep(duration: timedelta | float) -> None:
    """Wait, as a durable step: it holds no worker, survives restarts, and ends when it was due.

    Args:
        duration: a timedelta, or seconds.

    Raises:
        NoCurrentRun: outside a run.
    """
    wait = _seconds("sleep()", duration)
    await context.run_for("sleep").call_sleep(wait)


async def request_approval(
    summary: str,
    *,
    of: Any = None,
    policy: str | None = None,
    timeout: timedelta | float = timedelta(hours=4),
    on_timeout: str = "deny",
) -> Approval:
    """Ask people, and wait for their answer as a durable step, for days if need be.

    Args:
        summary: what is to be approved and why; people decide on this text.
        of: what would be done, as JSON types, shown beside it.
        policy: name of the policy that says who may answer; there are none yet, so leave it out.
        timeout: how long to wait; a timedelta, or seconds.
        on_timeout: ``"deny"`` or ``"approve"``: what nobody's answer means.

    Raises:
        ValueError, TypeError: an empty summary, or a word or duration that does not exist.
        NoCurrentRun: outside a run.
    """
    if not isinstance(summary, str):
        raise TypeError(f"an approval's summary is a string, not {type(summary).__name__}")
    if not summary.strip():
        raise ValueError("an approval needs a summary: people decide on it")
    if policy is not None:
        raise ValueError(
            "there are no approval policies yet: leave policy= out; who has the right approvals:decide answers"
        )
    one_of("on_timeout", on_timeout, ON_TIMEOUT)
    arguments = {
        "summary": summary.strip(),
        "of": of,
        "policy": "",
        "timeout": _seconds("timeout", timeout),
        "on_timeout": on_timeout,
    }
    answer = await context.run_for("request_approval").call_approval(arguments)
    return Approval(**answer)


def idempotency_key() -> str:
    """A key that is the same whenever this very call is made again, and no other call's: give it to a target that knows
    such keys, and it does the work once.

    Raises:
        NoCurrentRun: outside the body of an action that the engine executes.
    """
    key = context.current_call_key.get()
    if key is None:
        context.run_for("idempotency_key")
        raise context.NoCurrentRun("idempotency_key() belongs to a call: use it inside an @action")
    return key


def secret(name: str) -> str:
    """The secret of this name, as set in the admin; a partner's own comes first.

    Wherever its text would be stored or shown (arguments, results, errors, logs, comments) it is masked.

    Raises:
        LookupError: there is none of this name.
        NoCurrentRun: outside a run.
    """
    return context.run_for("secret").secret(name)


class _Handler(logging.Handler):
    """Lines logged inside a run go to its page as well."""

    def emit(self, record: logging.LogRecord) -> None:
        run = context.current_run.get()
        if run is not None:
            run.log(record.levelname.lower(), self.format(record))


def _masked(record: logging.LogRecord) -> bool:
    """What a run logs has no secrets, in whatever log it ends up."""
    run = context.current_run.get()
    if run is not None:
        record.msg, record.args = run.hidden(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = run.hidden(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
    return True


log = logging.getLogger("opensoar.playbook")
"""A standard logger: ``log.info("looked up %s", ip)``. Inside a run its lines are shown on the run's page."""
log.setLevel(logging.DEBUG)
log.addFilter(_masked)
log.addHandler(_Handler())
