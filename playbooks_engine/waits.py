"""What a run waits for durably: time, and people's answers. A run that only waits is parked and leaves no trace here."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Coroutine, Iterator
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from playbooks_engine import rows
from playbooks_engine.codec import decode, encode_arguments
from playbooks_engine.run_parts import Call, Detached

if TYPE_CHECKING:
    from playbooks_engine.runner import LiveRun


@dataclass(slots=True)
class Wait:
    """One durable wait of a live run."""

    call_id: uuid.UUID
    until: datetime
    over: asyncio.Future[None]
    is_approval: bool = False


class Waits:
    """The durable waits of one live run, by their calls' keys."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live
        self._open: dict[str, Wait] = {}

    def __iter__(self) -> Iterator[Wait]:
        return iter(self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    @property
    def first(self) -> datetime:
        """When the first of them is over. There must be one."""
        return min(wait.until for wait in self)

    def why(self) -> str:
        """What the run waits for, in words."""
        if any(wait.is_approval for wait in self):
            return "Waits for approval."
        return f"Waits until {self.first:%Y-%m-%d %H:%M:%S} UTC."

    def answered(self, call_id: uuid.UUID) -> None:
        """Somebody answered: look now."""
        for wait in self:
            if wait.call_id == call_id:
                _settle(wait.over)

    async def sleep(self, key: str, seconds: float) -> None:
        """``opensoar.sleep``."""
        encoded = encode_arguments({"seconds": seconds})
        over, call_id, until = await self._line(key, "sleep", encoded, seconds)
        if over is not None:
            await self._live.recorded(over)
            return
        await self._watched(call_id, self.until(key, call_id, until))
        self._live.open_calls.discard(call_id)
        self._live.later(rows.outcome(call_id, None, output="null", error="", error_value=None))

    async def approval(self, key: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """``opensoar.request_approval``."""
        live = self._live
        encoded = live.mask.json(encode_arguments(arguments))
        over, call_id, until = await self._line(key, "approval", encoded, arguments["timeout"])
        if over is not None:
            return await live.recorded(over)
        look_first = key in live.journal  # it may have been answered while the run was away
        while True:
            if not look_first:
                await self._watched(call_id, self.until(key, call_id, until, is_approval=True))
            look_first = False
            settled = await live.stored(
                live.services.in_helper_thread(functools.partial(live.services.settle, live, call_id))
            )
            if settled is not None:
                live.open_calls.discard(call_id)
                return decode(settled)
            until = max(until, live.services.in_seconds(0.2))

    async def until(
        self, key: str, call_id: uuid.UUID, moment: datetime, *, is_approval: bool = False
    ) -> None:
        """Wait in memory until ``moment``, an answer, or the run is let go."""
        live = self._live
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        # Set in a context of its own: it is not a timer of the playbook's code.
        seconds = max(live.services.seconds_until(moment), 0)
        timer = Context().run(loop.call_later, seconds, _settle, over)
        self._open[key] = Wait(call_id, moment, over, is_approval)
        try:
            await over
        finally:
            timer.cancel()
            del self._open[key]
            live.moved_at = time.monotonic()
        if live.detached:
            raise Detached

    async def _watched(self, call_id: uuid.UUID, waiting: Coroutine[Any, Any, None]) -> None:
        """A wait that the author's own time limit ends has ended so for good."""
        try:
            await waiting
        except asyncio.CancelledError as error:
            self._live.given_up(call_id, error)
            raise

    async def _line(
        self, key: str, kind: str, encoded: str, seconds: float
    ) -> tuple[Call | None, uuid.UUID, datetime]:
        """The wait's journal line: the call if it is over, its id, and until when it waits."""
        live = self._live
        call = live.journal.get(key)
        if call is not None:
            live.compare(call, kind, encoded)
            assert call.wake_at is not None
            live.open_calls.add(call.id)
            return (call if call.is_over else None), call.id, call.wake_at
        until = live.services.in_seconds(seconds)
        new = rows.NewCall.make(live.run_id, key, kind, kind, encoded, idempotent=True, wake_at=until)
        live.open_calls.add(new.id)
        if kind == "approval":
            work = functools.partial(live.services.ask, live, new, decode(encoded), until)
            await live.stored(live.services.in_helper_thread(work))
        else:
            await live.durable([new.insert])
        return None, new.id, until


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
