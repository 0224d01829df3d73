"""What time it is for whoever changes something.

The wall clock, always, but for one caller: the demo tells a week that has passed, through the services that everybody
uses, and takes their clock with it. What is measured or expires (leases, sessions, rate limits) asks the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from django.utils import timezone

_told: ContextVar[Callable[[], datetime] | None] = ContextVar("opensoar_clock", default=None)


def now() -> datetime:
    """Now, aware, as services write it."""
    told = _told.get()
    return timezone.now() if told is None else told()


@contextmanager
def told_by(tell: Callable[[], datetime]) -> Iterator[None]:
    """Inside, in this context and the tasks begun in it, :func:`now` is what ``tell`` returns (aware)."""
    token = _told.set(tell)
    try:
        yield
    finally:
        _told.reset(token)
