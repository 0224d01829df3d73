"""How many alerts a minute a token may deliver: a bucket of one minute's alerts that fills up steadily.

All web processes share it through Valkey. While Valkey is away each process keeps its own, and nobody is refused for
that.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import cache
from math import ceil
from typing import Any
from uuid import UUID

from django.conf import settings
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from alerts.senders import Sender

log = logging.getLogger(__name__)

_MINUTE = 60_000_000  # microseconds
_AWAY_FOR = 5.0  # seconds without another try after Valkey did not answer
_TIMEOUT = 0.2  # seconds
# What is kept is the moment at which the bucket will be full again (GCRA). Microseconds fit a double exactly.
_TAKE = """
local clock = redis.call('TIME')
local now, each = clock[1] * 1000000 + clock[2], tonumber(ARGV[1])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = full + each - now - 60000000
if ARGV[3] == '1' and wait > 0 then return wait end
full = full + each * ARGV[2]
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return 0
"""


class TooFast(Exception):
    """More alerts than the token may deliver; worth another try after ``wait`` whole seconds."""

    def __init__(self, per_minute: int, wait: int) -> None:
        super().__init__(f"more than {per_minute} alerts a minute")
        self.per_minute, self.wait = per_minute, wait


def take(sender: Sender) -> None:
    """Take one alert out of the sender's bucket; raises :class:`TooFast` where none is in it.

    This is asked at the door and nowhere else: whoever was let in is heard to the end and pays for it afterwards. A body
    that is refused in its middle would be sent again from its start, and never come further.
    """
    if sender.per_minute is not None:
        wait = _take(sender, sender.per_minute, 1, refuse=True)
        if wait > 0:
            raise TooFast(sender.per_minute, max(1, ceil(wait / 1_000_000)))


def charge(sender: Sender, count: int) -> None:
    """Take ``count`` more alerts out, whatever is in it: of a body that turned out to hold many."""
    if sender.per_minute is not None and count > 0:
        _take(sender, sender.per_minute, count, refuse=False)


class _Local:
    """The buckets of this process, and when Valkey is asked again."""

    lock = threading.Lock()
    full: dict[UUID | None, int] = {}
    away_until = 0.0


def _take(sender: Sender, per_minute: int, count: int, *, refuse: bool) -> int:
    """Microseconds to wait; 0 where they were taken."""
    each = _MINUTE // per_minute
    if time.monotonic() >= _Local.away_until:
        try:
            key = f"opensoar:rate:{sender.token_id}"
            return int(_script()(keys=[key], args=[each, count, int(refuse)]))
        except RedisError as error:
            _Local.away_until = time.monotonic() + _AWAY_FOR
            log.warning("Valkey is away, alerts are counted in this process alone: %s", error)
    now = time.monotonic_ns() // 1000
    with _Local.lock:
        full = max(_Local.full.get(sender.token_id, 0), now)
        wait = full + each - now - _MINUTE
        if refuse and wait > 0:
            return wait
        _Local.full[sender.token_id] = full + each * count
    return 0


@cache
def _script() -> Any:
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
    return client.register_script(_TAKE)


def forget() -> None:
    """Forget the connection and the buckets of this process."""
    _script.cache_clear()
    _Local.full.clear()
    _Local.away_until = 0.0
