"""What a run waits for durably: time, and people's answers. A run that only waits is parked and leaves no trace here."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Iterator
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


@dataclass(frozen=True, slots=True)
class Line:
    """A wait in the journal. ``row`` is what it is, or would be, stored as."""

    row: rows.NewCall
    call: Call | None
    until: datetime

    @property
    def is_new(self) -> bool:
        """Whether the journal does not have it yet."""
        return self.call is None

    @property
    def over(self) -> Call | None:
        """The call, where its outcome is recorded."""
        return self.call if self.call is not None and self.call.is_over else None

    @property
    def call_id(self) -> uuid.UUID:
        """The id it has in the journal."""
        return self.call.id if self.call is not None else self.row.id


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
        live = self._live
        line = self._line(key, "sleep", encode_arguments({"seconds": seconds}), seconds)
        if line.over is not None:
            await live.recorded(line.over)
            return
        with live.until_given_up(line.call_id, line.row):
            if line.is_new:
                await live.durable([line.row.insert])
            await self.until(key, line.call_id, line.until)
        live.open_calls.discard(line.call_id)
        live.later(rows.outcome(line.call_id, None, output="null", error="", error_value=None))

    async def approval(self, key: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """``opensoar.request_approval``."""
        live = self._live
        encoded = live.mask.json(encode_arguments(arguments))
        line = self._line(key, "approval", encoded, arguments["timeout"])
        if line.over is not None:
            return await live.recorded(line.over)
        with live.until_given_up(line.call_id, line.row):
            if line.is_new:
                ask = functools.partial(live.services.ask, live, line.row, decode(encoded), line.until)
                await live.stored(live.services.in_helper_thread(ask))
            answer = await self._answer(key, line)
        live.open_calls.discard(line.call_id)
        return decode(answer)

    async def _answer(self, key: str, line: Line) -> str:
        live = self._live
        settle = functools.partial(live.services.settle, live, line.call_id)
        until = line.until
        if line.is_new:  # else it may have been answered while the run was away
            await self.until(key, line.call_id, until, is_approval=True)
        while (answer := await live.stored(live.services.in_helper_thread(settle))) is None:
            until = max(until, live.services.in_seconds(0.2))
            await self.until(key, line.call_id, until, is_approval=True)
        return answer

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

    def _line(self, key: str, kind: str, encoded: str, seconds: float) -> Line:
        """The wait's journal line, as it was recorded or as it will be."""
        live = self._live
        call = live.journal.get(key)
        until = live.services.in_seconds(seconds)
        if call is not None:
            live.compare(call, kind, encoded)
            assert call.wake_at is not None
            until = call.wake_at
        row = rows.NewCall.make(live.run_id, key, kind, kind, encoded, idempotent=True, wake_at=until)
        line = Line(row, call, until)
        if line.over is None:
            live.open_calls.add(line.call_id)
        return line


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
