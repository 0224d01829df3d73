"""Blocking bodies of actions, in threads: a thread cannot be interrupted, only waited for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

type Starter = Callable[[Callable[[], Any]], asyncio.Future[Any]]


class Blocking:
    """What one run has left behind in threads, by the keys of its calls."""

    def __init__(self) -> None:
        self._left: dict[str, asyncio.Future[None]] = {}

    async def run(self, body: Callable[[], Any], key: str, start: Starter) -> Any:
        """``body`` in a thread that ``start`` gives it; one that is not waited for to its end is remembered."""
        context, loop = copy_context(), asyncio.get_running_loop()
        begun, ended = threading.Event(), loop.create_future()

        def work() -> Any:
            begun.set()
            try:
                return context.run(body)
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(ended.set_result, None)

        try:
            return await start(work)
        finally:
            if begun.is_set() and not ended.done():
                self._left[key] = ended

    async def ended(self, key: str) -> None:
        """Wait for the thread that a timed-out attempt of this call has left behind."""
        if (ended := self._left.pop(key, None)) is not None:
            await ended
