"""Group commit: request threads hand over what they received, one thread per process commits for all of them.

While a transaction is on its way to the disk, the next batch gathers; so one alert alone is stored at once, and under
load a commit is shared by many. The thread is started by the first request after a fork and replaced if it died.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.utils import timezone

from alerts.incoming import Incoming
from alerts.ingest import MAX_BATCH, Unavailable, store
from opensoar.accounts.models import ApiToken

log = logging.getLogger(__name__)

WAIT = 10.0  # seconds a request waits for its commit
MAX_WAITING_ALERTS = 10_000
MAX_WAITING_BYTES = 128 * 1024 * 1024
_NOTE_TOKEN_USE_EVERY = 60.0  # seconds
# A network that swallows packets must not keep the one committer waiting for hours.
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


type Reader = Callable[[], Sequence[Incoming]]
type Told = Callable[[Sequence[Incoming]], object]


class Ticket:
    """What one request hands over, and the lock its sender waits on.

    ``read`` makes the items; the committing thread calls it. The sender's thread could as well, but Python runs one
    thread at a time, and dozens that take turns every few microseconds cost half as much again as one that reads.
    """

    __slots__ = ("abandoned", "done", "items", "read", "size")

    def __init__(self, items: Sequence[Incoming], size: int, read: Reader | None = None) -> None:
        self.items = items
        self.size = size
        self.read = read
        self.abandoned = False
        self.done = threading.Lock()
        self.done.acquire()

    @property
    def count(self) -> int:
        """How many alerts wait; a body that is not read yet counts as one."""
        return len(self.items) or 1

    def wait(self, seconds: float = WAIT) -> Sequence[Incoming]:
        """Wait until the items are stored, and return them; each has its outcome then.

        Raises :class:`Unavailable` when the database is away or ``seconds`` are over. In that case what was not begun
        is dropped; what was begun may still be stored, and a repeat of it is a duplicate.
        """
        if not self.done.acquire(timeout=seconds):
            self.abandoned = True
            raise Unavailable(f"not stored within {seconds:.0f} seconds")
        if not self.items or any(item.outcome is None for item in self.items):
            raise Unavailable("the database is not available")
        return self.items

    @property
    def durable(self) -> Sequence[Incoming]:
        """After :meth:`wait`, also where it raised: which of the items are known to be stored, always the first ones."""
        if self.abandoned:
            return ()
        return list(takewhile(lambda item: item.outcome is not None, self.items))

    def settle(self, told: Told) -> None:
        """Wait, and tell ``told`` what is stored, also where that is not all. Raises :class:`Unavailable`."""
        try:
            self.wait()
        finally:
            if durable := self.durable:
                told(durable)


class _Line:
    """What one token has waiting."""

    __slots__ = ("alerts", "size", "tickets")

    def __init__(self) -> None:
        self.tickets: deque[Ticket] = deque()
        self.alerts = 0
        self.size = 0


class _Lines:
    """The tickets that wait, in a line for each token. The lines take turns, and leave room to each other.

    Behind thousands of alerts of one token another waits for one batch of them, not for all; and as no line may be longer
    than the room that is left, one alone fills half of it, and several never all of it.
    """

    __slots__ = ("_alerts", "_of", "_size", "_turns")

    def __init__(self) -> None:
        self._of: dict[UUID | None, _Line] = {}
        self._turns: deque[_Line] = deque()  # the lines in which somebody waits
        self._alerts = 0
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, token: UUID | None, ticket: Ticket) -> None:
        """Put ``ticket`` at the end of its token's line. Raises :class:`Unavailable` when that is too long."""
        line = self._of.get(token)
        if line is None:
            line = self._of[token] = _Line()
        if line.alerts >= MAX_WAITING_ALERTS - self._alerts or line.size >= MAX_WAITING_BYTES - self._size:
            raise Unavailable("too many alerts are waiting to be stored")
        if not line.tickets:
            self._turns.append(line)
        line.tickets.append(ticket)
        self._count(line, ticket.count, ticket.size)

    def take(self, most: int) -> list[Ticket]:
        """A batch: from each line in turn the ticket in front, as long as there are no more than ``most`` alerts in it.

        A ticket that alone has more is a batch of its own; those that nobody waits for any more are left out.
        """
        batch: list[Ticket] = []
        too_large: list[_Line] = []
        alerts = 0
        while self._turns and alerts < most:
            line = self._turns.popleft()
            ticket = line.tickets[0]
            count = ticket.count
            if batch and alerts + count > most:
                too_large.append(line)
                continue
            del line.tickets[0]
            if line.tickets:
                self._turns.append(line)
            self._count(line, -count, -ticket.size)
            if not ticket.abandoned:
                batch.append(ticket)
                alerts += count
        self._turns.extendleft(reversed(too_large))  # theirs is the next turn
        return batch

    def _count(self, line: _Line, alerts: int, size: int) -> None:
        line.alerts += alerts
        line.size += size
        self._alerts += alerts
        self._size += size


class Committer:
    """Stores what requests hand over, in batches of at most 500."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._wake = threading.Condition()
        self._tickets = _Lines()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._token_noted: dict[UUID, float] = {}

    def submit(self, items: Sequence[Incoming]) -> None:
        """Store at most 500 items with whatever else is waiting, and wait for it. Raises :class:`Unavailable`."""
        self.hand_over(items).wait()

    def hand_over_unread(self, read: Reader, size: int, token: UUID | None) -> Ticket:
        """Put a body of ``size`` bytes in the queue; ``read`` makes the items of it. Raises :class:`Unavailable`.

        For bodies that are read in a moment: everybody waits meanwhile.
        """
        return self._queue(token, Ticket((), size, read))

    def hand_over(self, items: Sequence[Incoming]) -> Ticket:
        """Put 1 to 500 items of one token in the queue. Raises :class:`Unavailable` when too much is waiting in it."""
        return self._queue(items[0].token_id, Ticket(items, sum(len(item.body) for item in items)))

    def _queue(self, token: UUID | None, ticket: Ticket) -> Ticket:
        with self._wake:
            if self._thread is None or not self._thread.is_alive():
                self._start()
            self._tickets.add(token, ticket)
            self._wake.notify()
        return ticket

    def close(self) -> None:
        """Store what is waiting, end the thread and its connection. The next submit starts anew."""
        with self._wake:
            thread, self._closing = self._thread, self._thread is not None
            self._wake.notify()
        if thread is not None:
            thread.join(WAIT)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="ingest-committer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            _use_own_connection()
            while tickets := self._take():
                self._commit(tickets)
        finally:
            connections["default"].close()

    def _take(self) -> list[Ticket]:
        """Wait for work and take a batch of it; nothing when closing."""
        taken: list[Ticket] = []
        with self._wake:
            while not taken:
                while not self._tickets:
                    if self._closing:
                        self._closing, self._thread = (
                            False,
                            None,
                        )  # decided under the lock: nobody relies on us now
                        return []
                    self._wake.wait()
                taken = self._tickets.take(MAX_BATCH)
        return taken

    def _commit(self, tickets: list[Ticket]) -> None:
        batch: list[Incoming] = []
        try:
            for ticket in tickets:
                if ticket.read is not None:
                    ticket.items = _read(ticket.read)
            batch = [item for ticket in tickets for item in ticket.items]
            for start in range(0, len(batch), MAX_BATCH):
                store(batch[start : start + MAX_BATCH])
        except Unavailable as error:
            log.error("ingest cannot store: %s", error)
        finally:  # whatever happens, nobody waits for a thread that is gone
            for ticket in tickets:
                ticket.done.release()
        self._note_token_use({item.token_id for item in batch if item.token_id is not None})

    def _note_token_use(self, tokens: set[UUID]) -> None:
        """Keep ``last_used_at`` about a minute fresh, after the senders have their answers."""
        now = time.monotonic()
        due = [token for token in tokens if now - self._token_noted.get(token, -1e9) >= _NOTE_TOKEN_USE_EVERY]
        if not due:
            return
        self._token_noted.update(dict.fromkeys(due, now))
        try:
            ApiToken.objects.filter(pk__in=due).update(last_used_at=timezone.now())
        except Exception as error:
            log.warning("last use of a token is not noted: %s", error)
            connections["default"].close()


def _read(read: Reader) -> Sequence[Incoming]:
    """The items of a body; none when the database was needed for them and is away."""
    try:
        return read()
    except Exception as error:
        log.error("a body cannot be read now: %s", error)
        connections["default"].close()
        return ()


class _OwnConnection(DatabaseWrapper):
    """A connection outside the pool, whose connections may all be in the hands of threads that wait for this one."""

    pool = None

    def get_connection_params(self) -> dict[str, Any]:
        """Prepared statements, unless the settings speak of them: some external poolers cannot do these."""
        params = super().get_connection_params()
        if "prepare_threshold" not in self.settings_dict["OPTIONS"]:
            params["prepare_threshold"] = 2
        return _KEEPALIVE | params

    def init_connection_state(self) -> None:
        """All that is asked here is asked by key, and plans are kept: one made for an empty table must not scan it."""
        super().init_connection_state()
        with self.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")


def _use_own_connection() -> None:
    """Give it to this thread, under the name that every query in it uses."""
    connections["default"] = _OwnConnection(connections.settings["default"], alias="default")


committer = Committer()


def store_stream(chunks: Iterable[list[Incoming]], stored: Told) -> None:
    """Store chunk by chunk, in order; the next one is made while the last one is on its way to the disk.

    ``stored`` is called with each chunk once it is durable, also when ``chunks`` ends with an exception; what it is told
    are always the first of all items. Raises :class:`Unavailable`.
    """
    pending: Ticket | None = None
    try:
        for chunk in chunks:
            pending, previous = committer.hand_over(chunk), pending
            if previous is not None:
                try:
                    previous.settle(stored)
                except Unavailable:
                    # What comes after a gap must not be told: the sender goes on behind what is counted.
                    pending.abandoned, pending = True, None
                    raise
    finally:
        if pending is not None:
            pending.settle(stored)


def store_in_parts(items: Sequence[Incoming], stored: Told) -> None:
    """Store any number of items, 500 after 500. ``stored`` as for :func:`store_stream`. Raises :class:`Unavailable`."""
    for start in range(0, len(items), MAX_BATCH):
        committer.hand_over(items[start : start + MAX_BATCH]).settle(stored)


def chunked(
    items: Iterable[Incoming], count: int = 250, size: int = 4 * 1024 * 1024
) -> Iterator[list[Incoming]]:
    """Items in chunks of at most ``count``, and of about ``size`` bytes."""
    chunk: list[Incoming] = []
    weight = 0
    for item in items:
        chunk.append(item)
        weight += len(item.body)
        if len(chunk) >= count or weight >= size:
            yield chunk
            chunk, weight = [], 0
    if chunk:
        yield chunk
