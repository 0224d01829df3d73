"""What a web or worker process does when nobody watches over it any more: let its leases go, and end.

``kill -9`` of the supervisor, of granian's main process or of Dramatiq's leaves their children serving. Each of
them holds the reading end of a pipe whose writing end only the supervisor has; end of file means that the process
is an orphan. Without ``OPENSOAR_DEATH_PIPE`` (containers, where the runtime watches) everything here does nothing.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

CALLBACK_SECONDS = 5.0
ORPHANED = 70  # the exit status of a process that ended itself

logger = logging.getLogger(__name__)
_callbacks: list[Callable[[], object]] = []
_watching_pid: int | None = None


def install() -> None:
    """Start watching in this process; repeated calls do nothing. Call it after the fork, in the process that serves."""
    global _watching_pid
    path = os.environ.get("OPENSOAR_DEATH_PIPE")
    if not path or _watching_pid == os.getpid():
        return
    _watching_pid = os.getpid()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        logger.error("The supervisor that started this process is gone (%s): ending", path)
        os._exit(ORPHANED)
    threading.Thread(target=_watch, args=(fd,), name="deathwatch", daemon=True).start()


def on_death(callback: Callable[[], object]) -> None:
    """Have ``callback`` run before an orphan ends. All callbacks together get five seconds."""
    _callbacks.append(callback)


def announce_ready() -> None:
    """Tell the supervisor that this process is ready for work (it waits for a file)."""
    path = os.environ.get("OPENSOAR_READY_FILE")
    if path:
        Path(path).write_text(f"{os.getpid()}\n")


def _watch(fd: int) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while not _ended(fd):
        poller.poll()  # POLLHUP comes when the last writer is gone
    limit = threading.Timer(CALLBACK_SECONDS, os._exit, args=(ORPHANED,))
    limit.daemon = True
    limit.start()
    logger.error("The supervisor or this process's parent is gone: letting go and ending")
    for callback in reversed(_callbacks):
        try:
            callback()
        except Exception:
            logger.exception("Letting go failed")
    os._exit(ORPHANED)


def _ended(fd: int) -> bool:
    """End of file: no process holds the writing end (a pipe that was never written to is merely empty)."""
    try:
        return os.read(fd, 64) == b""
    except BlockingIOError:
        return False
