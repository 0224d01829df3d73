"""What a process read a moment ago and goes on with: a hot path asks the database once in that time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Remembered[T]:
    """Calling it gives what ``read`` gave at most ``seconds`` ago."""

    __slots__ = ("_read", "_read_at", "_seconds", "_value")
    _value: T

    def __init__(self, read: Callable[[], T], seconds: float = 2.0) -> None:
        self._read, self._seconds, self._read_at = read, seconds, float("-inf")

    def __call__(self) -> T:
        if time.monotonic() - self._read_at > self._seconds:
            self._value = self._read()
            self._read_at = time.monotonic()
        return self._value

    def forget(self) -> None:
        """Read anew next time: what changes it in this process need not wait."""
        self._read_at = float("-inf")
