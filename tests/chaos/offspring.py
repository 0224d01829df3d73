"""Isolated processes forked, not started: a worker's own nursery has loaded everything before the first is needed.

Where workers live for seconds, starting Python over and over would be most of what the machine does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable

from opensoar.embedded.process import die_with_parent, start_time

PR_SET_NAME = 15
ISOLATED = "isolated"  # what /proc calls them
_libc = ctypes.CDLL(None)


def name_process(name: str) -> None:
    """What ``/proc/<pid>/comm`` says of this process; at most 15 characters."""
    _libc.prctl(PR_SET_NAME, name.encode())


class Offspring:
    """Called in the place of ``isolation.start_process``. Make it before any thread is started."""

    def __init__(self, become: Callable[[], None]) -> None:
        self._socket, served = socket.socketpair()
        before = die_with_parent(signal.SIGKILL)
        assert before is not None
        if os.fork():
            served.close()
            return
        try:
            before()
            self._socket.close()
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            while served.recv(1):
                if (pid := os.fork()) == 0:
                    served.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    become()
                    break
                served.sendall(pid.to_bytes(4))
        finally:
            os._exit(0)

    def __call__(self) -> Grandchild:
        self._socket.sendall(b"1")
        return Grandchild(int.from_bytes(self._socket.recv(4)))


class Grandchild:
    """As much of ``subprocess.Popen`` as the product asks of an isolated process."""

    def __init__(self, pid: int) -> None:
        self.pid, self.born = pid, start_time(pid)

    def poll(self) -> int | None:
        return None if self.born is not None and start_time(self.pid) == self.born else 0

    def wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("isolated", timeout)
            time.sleep(0.02)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
