"""Polls that are due: claimed by one worker, fetched without a transaction, stored page by page, then remembered.

A claim is a row with a lease and a fence. Each page renews the lease under its fence before it is stored, and moves the
position under it afterwards: a worker that was presumed dead can at most store a page that another stores as well,
which the vendors' ids make one.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import Error as DatabaseFailure
from django.db import connection
from django.utils import timezone

from alerts.incoming import Incoming
from alerts.ingest import MAX_BATCH, Unavailable, store
from alerts.intake import Envelope, read_item
from alerts.payloads import Item
from alerts.senders import Sender
from opensoar.text import clean
from playbooks_engine.failpoints import reached
from playbooks_engine.journal import CONNECTION_ERRORS
from playbooks_engine.models import Connector
from playbooks_engine.pollers import poller
from playbooks_engine.pollers.base import Found, Page, Poller, Session
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.sessions import open_session

logger = logging.getLogger(__name__)

AT_ONCE = 4  # polls of one worker process
LEASE_SECONDS = (
    300.0  # longer than the slowest page (Poller.seconds) and what nothing ends: resolving, connecting
)
MARK_SECONDS = 60.0  # for telling the other side what was stored
TURN_SECONDS = 120.0  # after which others get their turn, however much there is left
MAX_BACK_OFF = 3600.0
STOP_SECONDS = 3.0  # that a stop waits for pages under way

CLAIM = """
UPDATE playbooks_engine_pollstate p
SET leased_until = statement_timestamp() + %s * interval '1 second', leased_by = %s, fence = fence + 1
FROM (SELECT s.connector_id FROM playbooks_engine_pollstate s
      JOIN playbooks_engine_connector c ON c.id = s.connector_id
      WHERE c.enabled AND s.next_at <= statement_timestamp()
        AND (s.leased_until IS NULL OR s.leased_until < statement_timestamp())
        AND s.connector_id <> ALL(%s::uuid[])
      ORDER BY s.next_at LIMIT %s FOR UPDATE OF s SKIP LOCKED) due
WHERE p.connector_id = due.connector_id
RETURNING p.connector_id, p.fence, p.cursor, p.created_at, p.failures"""
RENEW = """
UPDATE playbooks_engine_pollstate SET leased_until = statement_timestamp() + %s * interval '1 second'
WHERE connector_id = %s AND fence = %s"""
MOVE = """
UPDATE playbooks_engine_pollstate
SET cursor = %s::jsonb, accepted = accepted + %s, duplicates = duplicates + %s, quarantined = quarantined + %s
WHERE connector_id = %s AND fence = %s"""
DONE = """
UPDATE playbooks_engine_pollstate
SET leased_until = NULL, leased_by = NULL, last_ok_at = statement_timestamp(), last_error = '', failures = 0,
    next_at = statement_timestamp() + %s * interval '1 second'
WHERE connector_id = %s AND fence = %s"""
FAILED = """
UPDATE playbooks_engine_pollstate
SET leased_until = NULL, leased_by = NULL, last_error = %s, last_error_at = statement_timestamp(),
    failures = failures + 1, next_at = statement_timestamp() + %s * interval '1 second'
WHERE connector_id = %s AND fence = %s"""
LET_GO = """
UPDATE playbooks_engine_pollstate SET leased_until = NULL, leased_by = NULL, fence = fence + 1
WHERE leased_by = %s"""
LET_GO_ONE = """
UPDATE playbooks_engine_pollstate SET leased_until = NULL, leased_by = NULL WHERE connector_id = %s AND fence = %s"""


class LostClaim(Exception):
    """Somebody else polls now: the lease was over, or the connector was edited, which takes a poll from its worker."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A poll that this process holds."""

    connector_id: UUID
    fence: int
    cursor: dict[str, Any]
    created_at: datetime
    failures: int


def claim(worker_id: UUID, limit: int, but: Collection[UUID] = ()) -> list[Claim]:
    """Take at most ``limit`` polls that are due, longest due first; none of the connectors of ``but``."""
    if limit <= 0:
        return []
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, (LEASE_SECONDS, worker_id, list(but), limit))
        rows = cursor.fetchall()
    return [
        Claim(row[0], row[1], row[2] if isinstance(row[2], dict) else orjson.loads(row[2]), row[3], row[4])
        for row in rows
    ]


def run(claim: Claim, is_stopping: Callable[[], bool] = lambda: False) -> Counter[str]:
    """Do the poll: page by page until there is no more; the states of what was stored.

    Never raises for what the other side does: that is written to the poll's state. Raises :class:`Unavailable` and
    database errors; the lease then runs out.
    """
    states: Counter[str] = Counter()
    connector = (
        Connector.objects.select_related("partner").filter(pk=claim.connector_id, enabled=True).first()
    )
    if connector is None:
        return states
    session: Session | None = None
    try:
        session = open_session(connector, created=claim.created_at, failures=claim.failures)
        _turn_pages(connector, claim, session, states, is_stopping)
    except LostClaim:
        logger.info("poll of %s: it was edited, or somebody else goes on", connector)
    except VendorError as error:
        _failed(connector, claim, session, error)
    except (Unavailable, *CONNECTION_ERRORS):
        raise
    except Exception as error:
        # A fault of ours, or an answer nobody thought of: said by its type alone, for its text may hold anything.
        places = "".join(traceback.format_tb(error.__traceback__))
        logger.error("poll of %s failed: %s\n%s", connector, type(error).__name__, places)
        _failed(
            connector, claim, session, VendorError(f"The poll failed: {type(error).__name__}; see the log")
        )
    finally:
        if session is not None:
            session.close()
    return states


def _turn_pages(
    connector: Connector,
    claim: Claim,
    session: Session,
    states: Counter[str],
    is_stopping: Callable[[], bool],
) -> None:
    kind, cursor = poller(connector.kind), claim.cursor
    end = time.monotonic() + TURN_SECONDS
    while True:
        connection.close()  # back to the pool: nobody needs it while the network takes its time
        session.deadline.renew(kind.seconds)
        page = kind.fetch(session, cursor)
        if not _execute(RENEW, LEASE_SECONDS, claim.connector_id, claim.fence):
            raise LostClaim
        stored = _store(connector, kind, page)
        reached("poll.stored", str(connector.pk))
        session.deadline.renew(MARK_SECONDS)
        kind.stored(session, page)
        if not _execute(
            MOVE, orjson.dumps(page.cursor).decode(), stored["accepted"], stored["duplicate"], stored["quarantined"],
            claim.connector_id, claim.fence,
        ):  # fmt: skip
            raise LostClaim
        reached("poll.moved", str(connector.pk))
        states.update(stored)
        cursor = page.cursor
        if not page.more or time.monotonic() > end or is_stopping():
            break
    pause = 0.0 if page.more else session.settings.interval * random.uniform(0.95, 1.05)
    _execute(DONE, pause, claim.connector_id, claim.fence)
    _note_health(connector, healthy=True)


def _store(connector: Connector, kind: Poller, page: Page) -> Counter[str]:
    """Every alert of the page, as a sender bound to the connector's partner and the kind's source would have sent it."""
    partner = connector.partner
    sender = Sender(
        None, f"poll of {connector.name}", partner_id=None if partner is None else partner.pk,
        partner=None if partner is None else partner.public_slug, source=kind.source,
    )  # fmt: skip
    batch: list[Incoming] = []
    for found in page.items:
        # The id counts where the normaliser finds none, so that a page which comes again stays what it was.
        key = f"{connector.pk}:{found.id}" if found.id else ""
        envelope = Envelope(sender, kind.content_type, slug=kind.source, idempotency_key=key)
        batch.append(_read(kind, found, envelope))
    for start in range(0, len(batch), MAX_BATCH):
        store(batch[start : start + MAX_BATCH])
    return Counter(item.outcome.state for item in batch if item.outcome is not None)


def _read(kind: Poller, found: Found, envelope: Envelope) -> Incoming:
    """One alert. What cannot be read is quarantined: it would come again with its page, and hold up all behind it."""
    try:
        return read_item(kind.item(found), envelope)
    except DatabaseFailure:
        raise  # the alert is not to blame
    except Exception as error:
        logger.exception("%d bytes from %s cannot be read", len(found.body), kind.kind)
        return read_item(Item(found.body, None, f"{type(error).__name__}: {error}"[:500]), envelope)


def _failed(connector: Connector, claim: Claim, session: Session | None, error: VendorError) -> None:
    text = clean(session.mask.text(str(error)) if session is not None else str(error))[:500]
    interval = session.settings.interval if session is not None else 60
    pause = back_off(interval, claim.failures, error.retry_after)
    logger.warning("poll of %s: %s; again in %.0f s", connector, text, pause)
    if _execute(FAILED, text, pause, claim.connector_id, claim.fence):
        _note_health(connector, healthy=False)


def back_off(interval: float, failures: int, retry_after: float | None) -> float:
    """Seconds until the next try: doubled with every failure, to an hour; never earlier than the other side asks."""
    pause = min(interval * 2.0 ** min(failures, 16), MAX_BACK_OFF) * random.uniform(0.8, 1.2)
    return max(pause, retry_after * random.uniform(1.0, 1.1) + 1.0) if retry_after is not None else pause


def _note_health(connector: Connector, *, healthy: bool) -> None:
    Connector.objects.filter(pk=connector.pk).update(
        health_status="healthy" if healthy else "unhealthy", last_health_check=timezone.now()
    )


def _execute(sql: str, *parameters: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount > 0


class Polls:
    """The polls of one worker process, each in a thread of its own that nothing waits for."""

    def __init__(self) -> None:
        self._threads: dict[threading.Thread, UUID] = {}  # and whose poll it does
        self._stopping = threading.Event()

    def begin_due(self, worker_id: UUID) -> int:
        """Claim what is due and begin it; returns how many."""
        self._threads = {thread: whose for thread, whose in self._threads.items() if thread.is_alive()}
        if self._stopping.is_set():
            return 0
        # One whose lease is over while its thread lives hangs where nothing ends it: another thread would hang as well.
        claims = claim(worker_id, AT_ONCE - len(self._threads), but=self._threads.values())
        for one in claims:
            # A daemon: a server that hangs must not keep the process from ending; what dies then is polled again.
            thread = threading.Thread(target=self._run, args=(one,), name="poll", daemon=True)
            self._threads[thread] = one.connector_id
            thread.start()
        return 0  # nothing became ready that a claim of sequences would find

    def stop(self, worker_id: UUID) -> None:
        """Begin no page more, wait a moment for those under way, let go of the rest: others go on at once."""
        self._stopping.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        try:
            _execute(LET_GO, worker_id)
        except CONNECTION_ERRORS:
            logger.warning("could not let go of polls; others go on when the lease is over")

    def _run(self, claim: Claim) -> None:
        try:
            run(claim, self._stopping.is_set)
        except (Unavailable, *CONNECTION_ERRORS) as error:
            logger.warning("poll: the database is away: %s", error)
            self._give_back(claim)
        except Exception:
            logger.exception("poll failed")
        finally:
            connection.close()

    def _give_back(self, claim: Claim) -> None:
        """Once the database is there again, rather than when the lease is over."""
        end = time.monotonic() + LEASE_SECONDS
        while time.monotonic() < end and not self._stopping.wait(1.0):
            connection.close()
            try:
                _execute(LET_GO_ONE, claim.connector_id, claim.fence)
                return
            except CONNECTION_ERRORS:
                continue
