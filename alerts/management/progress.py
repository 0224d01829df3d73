"""A line that counts, on standard error, while a command works."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from django.core.management.base import OutputWrapper


def progress(stream: OutputWrapper) -> Callable[[Counter[str]], None]:
    """A callback that prints the counts to ``stream``, at most once a second."""
    last = time.monotonic()

    def show(states: Counter[str]) -> None:
        nonlocal last
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            stream.write(summary(states))

    return show


def summary(states: Counter[str]) -> str:
    """``12 accepted, 3 duplicate``; ``nothing`` for none."""
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "nothing"
