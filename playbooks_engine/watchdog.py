"""Sees what the loop cannot tell itself: a playbook that blocks it, or eats the process's memory.

A thread that pulses the loop and samples what stands in its way. It counts its own ticks, so that a machine that was
stopped or starved blames nobody.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.utils import timezone

from playbooks_engine import rows
from playbooks_engine.context import current_run
from playbooks_engine.importer import is_playbook_code
from playbooks_engine.models import Playbook, PlaybookRun, Sequence
from playbooks_engine.runner import LiveRun

if TYPE_CHECKING:
    from playbooks_engine.worker import Engine

logger = logging.getLogger(__name__)
TICK_SECONDS = 0.05
WARN_TICKS = 5  # 250 ms
ISOLATE_TICKS = 20  # a second
MEMORY_TICKS = 4
OUT_OF_MEMORY, BLOCKED = 71, 72  # the exit status of a process that ended itself
PAGE = os.sysconf("SC_PAGE_SIZE")


class Watchdog:
    """Watches over one engine's loop and its process's memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._answered = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._loop_thread_id: int | None = None
        self._silent = self._seen = 0  # ticks without an answer of the loop, and those with somebody to blame
        self._resident = resident_bytes()
        self._eaten: Counter[UUID] = Counter()  # bytes by which memory grew while a run had the loop
        self._limit = settings.WORKER_MEMORY_MB * 1_000_000
        self._end_ticks = settings.WORKER_BLOCK_SECONDS / TICK_SECONDS

    def start(self, loop_thread: threading.Thread) -> None:
        """Watch the loop that runs in ``loop_thread``."""
        self._loop_thread_id = loop_thread.ident
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        ticks = 0
        while not self._stop.wait(TICK_SECONDS):
            ticks += 1
            if self._limit and ticks % MEMORY_TICKS == 0:
                self._look_at_memory()
            if self._engine.live:
                self._look_at_loop()
            else:
                self._silent = 0
        connection.close()

    def _look_at_loop(self) -> None:
        if self._silent == 0 or self._answered.is_set():
            self._answered.clear()
            self._engine.loop.call_soon_threadsafe(self._answered.set)
            self._silent, self._seen = 1, 0
            return
        self._silent += 1
        culprit = self._culprit()
        if culprit is None:
            return
        self._seen += 1
        live, place = culprit
        if self._seen == WARN_TICKS:
            logger.warning(
                "playbook %s (run %s) blocks the event loop at %s; use await, or a plain def action",
                live.name, live.run_id, place,
            )  # fmt: skip
        if self._seen == ISOLATE_TICKS:
            self._isolate([live], f"blocked its worker for more than a second at {place}")
        # Nothing ends a loop that never comes back but the end of its process.
        if 0 < self._end_ticks <= self._seen:
            why = f"blocked its worker for {settings.WORKER_BLOCK_SECONDS} s at {place}"
            logger.error("playbook %s %s: ending", live.name, why)
            self._end([live], why, BLOCKED)

    def _look_at_memory(self) -> None:
        """Who ran while memory grew is the likeliest to have eaten it."""
        resident = resident_bytes()
        for run_id in self._eaten.keys() - {live.run_id for live in list(self._engine.live.values())}:
            del self._eaten[run_id]
        if (culprit := self._culprit()) is not None and resident > self._resident:
            self._eaten[culprit[0].run_id] += resident - self._resident
        self._resident = resident
        if resident > self._limit:
            self._end_for_memory()

    def _culprit(self) -> tuple[LiveRun, str] | None:
        """The run whose code the loop executes at this moment, and its line."""
        try:
            task = asyncio.current_task(self._engine.loop)
        except RuntimeError:
            return None
        live = task.get_context().get(current_run) if task is not None else None
        if not isinstance(live, LiveRun):
            return None
        frame = sys._current_frames().get(self._loop_thread_id or 0)
        while frame is not None:
            if is_playbook_code(frame.f_code.co_filename):
                return live, f"{frame.f_code.co_filename.partition('/')[2]}:{frame.f_lineno}"
            frame = frame.f_back
        return None

    def _isolate(self, suspects: list[LiveRun], why: str) -> None:
        """From now on their playbooks run in a process of their own, until their files change."""
        note = f"{why}; it runs in a process of its own until its file changes"
        for live in suspects:
            logger.warning("playbook %s %s", live.name, note)
            live.later([rows.log_line(live.run_id, "=isolated", "warning", f"This playbook {note}.")])
        try:
            Playbook.objects.filter(
                name__in={live.name for live in suspects}, isolated_since__isnull=True
            ).update(isolated_since=timezone.now())
            Sequence.objects.filter(pk__in=[live.claim.sequence_id for live in suspects]).update(
                isolated=True
            )
        except Exception:
            logger.exception("could not isolate a playbook")
        finally:
            connection.close()

    def _end_for_memory(self) -> None:
        """Better we end than the kernel ends us, or PostgreSQL: what runs here goes on elsewhere at once.

        Where it is not known who ate the memory, all that ran here go on alone: then it is.
        """
        limit = settings.WORKER_MEMORY_MB
        logger.error("this worker uses more than OPENSOAR_WORKER_MEMORY_MB=%d: ending", limit)
        alive = list(self._engine.live.values())
        guilty = [live for live in alive if self._eaten[live.run_id] > self._limit / 4]
        suspects = guilty or alive
        self._end(suspects, f"was running when its worker used more than {limit} MB of memory", OUT_OF_MEMORY)

    def _end(self, suspects: list[LiveRun], why: str, status: int) -> None:
        self._isolate(suspects, why)
        try:
            if len(suspects) == 1:
                PlaybookRun.objects.filter(pk=suspects[0].run_id).update(deaths=F("deaths") + 1)
            self._engine.journal.stop(2)  # what it logged
        except Exception:
            logger.exception("could not note who ended this process")
        self._engine.release_now()
        os._exit(status)


def resident_bytes() -> int:
    """Memory that this process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0
