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
from pathlib import Path
from typing import TYPE_CHECKING

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
OUT_OF_MEMORY = 71  # the exit status of a process that ended itself
PAGE = os.sysconf("SC_PAGE_SIZE")


class Watchdog:
    """Watches over one engine's loop and its process's memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._answered = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._loop_thread_id: int | None = None
        self._limit = settings.WORKER_MEMORY_MB * 1_000_000

    def start(self, loop_thread: threading.Thread) -> None:
        """Watch the loop that runs in ``loop_thread``."""
        self._loop_thread_id = loop_thread.ident
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        silent = seen = ticks = 0
        while not self._stop.wait(TICK_SECONDS):
            ticks += 1
            if ticks % MEMORY_TICKS == 0 and self._limit and resident_bytes() > self._limit:
                self._end_for_memory()
            if not self._engine.live:
                silent = seen = 0
                continue
            if silent == 0 or self._answered.is_set():
                self._answered.clear()
                self._engine.loop.call_soon_threadsafe(self._answered.set)
                silent, seen = 1, 0
                continue
            silent += 1
            culprit = self._culprit()
            seen += culprit is not None
            if culprit is not None and seen == WARN_TICKS:
                live, place = culprit
                logger.warning(
                    "playbook %s (run %s) blocks the event loop at %s; use await, or a plain def action",
                    live.name, live.run_id, place,
                )  # fmt: skip
            if culprit is not None and seen == ISOLATE_TICKS:
                self._isolate(*culprit)
        connection.close()

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

    def _isolate(self, live: LiveRun, place: str) -> None:
        """From now on its playbook runs in a process of its own, until its file changes."""
        note = (
            f"blocked its worker for more than a second at {place}; "
            "it runs in a process of its own until its file changes"
        )
        logger.warning("playbook %s %s", live.name, note)
        live.later([rows.log_line(live.run_id, "=isolated", "warning", f"This playbook {note}.")])
        try:
            Playbook.objects.filter(name=live.name, isolated_since__isnull=True).update(
                isolated_since=timezone.now()
            )
            Sequence.objects.filter(pk=live.claim.sequence_id).update(isolated=True)
        except Exception:
            logger.exception("could not isolate %s", live.name)
        finally:
            connection.close()

    def _end_for_memory(self) -> None:
        """Better we end than the kernel ends us, or PostgreSQL: what runs here goes on elsewhere at once."""
        logger.error(
            "this worker uses more than OPENSOAR_WORKER_MEMORY_MB=%d: ending", settings.WORKER_MEMORY_MB
        )
        culprit = self._culprit()
        suspects = [culprit[0]] if culprit else list(self._engine.live.values())
        try:
            if len(suspects) == 1:
                self._isolate(suspects[0], culprit[1] if culprit else "an unknown line")
            PlaybookRun.objects.filter(pk__in=[live.run_id for live in suspects]).update(
                deaths=F("deaths") + 1
            )
        except Exception:
            logger.exception("could not note who used the memory")
        self._engine.release_now()
        os._exit(OUT_OF_MEMORY)


def resident_bytes() -> int:
    """Memory that this process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0
