"""The bell: tells workers that something is ready. The only place that speaks to the broker.

A ring is published to the workers that listen, and put into the queue for those that do not.

A thread of its own sends, so that neither a request nor the ingest committer ever waits for Redis; rings that come
while one is being sent are one ring. When the broker does not answer it is left alone for a while: the workers'
sweeps find the work within a second anyway.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from django.conf import settings
from redis import Redis, RedisError

from playbooks_engine.failpoints import reached

logger = logging.getLogger(__name__)
PAUSE_SECONDS = 5.0  # after a failure
MESSAGE_SECONDS = 1.0  # between two messages of the queue while workers listen
LISTEN_SECONDS = 30.0
CHANNEL = "opensoar:bell"

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

    sent_at = -MESSAGE_SECONDS
    while True:
        _rung.wait()
        _rung.clear()
        reached("bell.before")
        try:
            heard = dispatch.broker.client.publish(CHANNEL, "")  # type: ignore[attr-defined]  # the Redis broker's
            # Who listens has heard it; the queue's message is for who does not, and one a second is enough of a hint.
            if not heard or time.monotonic() - sent_at >= MESSAGE_SECONDS:
                dispatch.send("ready")
                sent_at = time.monotonic()
        except Exception as error:
            logger.warning("the broker does not answer (%s); workers find the work by themselves", error)
            time.sleep(PAUSE_SECONDS)


def listen(heard: Callable[[], object]) -> None:
    """Have ``heard`` called at every ring, in a thread of its own; quicker than a queue that is polled.

    While the broker is away nothing is heard, and nothing depends on it.
    """
    threading.Thread(target=_listen, args=(heard,), name="ear", daemon=True).start()


def _listen(heard: Callable[[], object]) -> None:
    client = Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5)
    while True:
        try:
            with client.pubsub(ignore_subscribe_messages=True) as channel:
                channel.subscribe(CHANNEL)
                heard()  # what rang while nobody listened
                while True:
                    if channel.get_message(timeout=LISTEN_SECONDS) is not None:
                        heard()
        except (RedisError, OSError) as error:
            logger.info("the broker cannot be heard (%s)", error)
            time.sleep(PAUSE_SECONDS)
