"""The bell: tells workers that something is ready. The only place that speaks to the broker.

A thread of its own sends, so that neither a request nor the ingest committer ever waits for Redis; rings that come
while one is being sent are one ring. When the broker does not answer it is left alone for a while: the workers'
sweeps find the work within a second anyway.
"""

from __future__ import annotations

import logging
import os
import threading
import time

logger = logging.getLogger(__name__)
PAUSE_SECONDS = 5.0  # after a failure

_rung = threading.Event()
_lock = threading.Lock()
_pid: int | None = None


def ring() -> None:
    """Returns at once; never raises."""
    global _pid
    _rung.set()
    if _pid == os.getpid():
        return
    with _lock:
        if _pid != os.getpid():  # threads do not survive a fork
            threading.Thread(target=_run, name="bell", daemon=True).start()
            _pid = os.getpid()


def _run() -> None:
    from playbooks_engine.tasks import dispatch

    while True:
        _rung.wait()
        _rung.clear()
        try:
            dispatch.send("ready")
        except Exception as error:
            logger.warning("the broker does not answer (%s); workers find the work by themselves", error)
            time.sleep(PAUSE_SECONDS)
