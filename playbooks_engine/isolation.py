"""Processes of their own for runs that must not share one: each takes one sequence at a time and ends when idle."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

from playbooks_engine.models import Sequence

logger = logging.getLogger(__name__)
PROCESSES = 2  # at most, per worker
START_SECONDS = (
    5.0  # that one may take to start: until then nobody knows whether it leaves anything to another
)


def start_process() -> subprocess.Popen[bytes]:
    """A new one; it ends by itself when idle, or when this worker is gone."""
    return subprocess.Popen([sys.executable, "-m", "playbooks_engine.isolated"])


class Isolation:
    """Starts the processes that are needed; part of every ordinary worker."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        self._started = float("-inf")

    def look(self) -> None:
        """One cheap question; a process for what waits, if there is none on its way."""
        self._children = [child for child in self._children if child.poll() is None]
        starting = self._children and time.monotonic() - self._started < START_SECONDS
        if starting or len(self._children) >= PROCESSES:
            return
        waiting = Sequence.objects.filter(state=Sequence.State.READY, isolated=True).order_by()
        if waiting.exists():
            logger.info("starting a process of its own for a playbook that must not run beside others")
            self._started = time.monotonic()
            self._children.append(start_process())

    def terminate(self) -> None:
        """Ask them to hand back what they hold, as a worker does."""
        for child in self._children:
            child.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for them to end; who does not is ended."""
        deadline = time.monotonic() + seconds
        for child in self._children:
            try:
                child.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.kill()
