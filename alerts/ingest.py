"""Bodies that came in become alerts: many in one transaction, each kept whatever happens.

:func:`store` takes a batch, from one thread that commits for many requests (``alerts.committer``) or from a command
that reads a file. What is promised: when it returns, every item is durable, as an alert, as a duplicate of one, or as a
quarantined delivery that says why; only the item that is at fault pays for a fault.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils.translation import gettext as _

from alerts import ingest_rows as rows
from alerts.events import (
    CreatedAlert,
    CreatedObservable,
    CreatedObservables,
    alert_created,
    observables_created,
)
from alerts.incoming import Incoming, Outcome
from alerts.models import AlertSource, Delivery
from alerts.suppressions import record_hidden
from alerts.updates import Repeat, follow, happened_again
from opensoar.actors import Actor
from opensoar.events import DomainEvent

log = logging.getLogger(__name__)

MAX_BATCH = 500
PATIENCE = 5.0  # seconds a batch is tried again while the database is away
_ATTEMPTS = 8  # tries against deadlocks and serialisation failures
# SQLSTATE classes: connection, resources, operator, system, authentication, catalogue, failover to a read-only server.
_AWAY = ("08", "53", "57P", "58", "28", "3D", "25006")
_COLLISION = ("40001", "40P01", "55P03", "57014")


class Unavailable(Exception):
    """Nothing can be stored just now; the sender should repeat."""


class SubscriberFailed(Exception):
    """What reacts to new alerts raised; the cause is attached."""


class _Vanished(Exception):
    """An alert was deleted between two statements."""


def store(batch: Sequence[Incoming], *, patience: float = PATIENCE) -> None:
    """Make every item durable and set its outcome.

    Collisions with other writers are tried again, a database that is away is waited for (``patience`` seconds in all),
    any other fault is isolated by halving the batch until one item is left, which is quarantined with the reason.
    Raises :class:`Unavailable`; items without an outcome are then not known to be stored.
    """
    _store(list(batch), time.monotonic() + patience)


def _store(batch: list[Incoming], deadline: float) -> None:
    collisions, unsure = 0, False
    while batch:
        failure = _attempt(batch, unsure)
        if failure is None:
            return
        fault = _fault(failure)
        if fault == "away" and time.monotonic() < deadline:
            # The connection may have died with the answer to a commit on its way.
            unsure = unsure or batch[0].outcome is not None
            log.warning("ingest waits for the database: %s", sentence_of(failure))
            connection.close()
            time.sleep(0.1)
        elif fault == "collision" and collisions < _ATTEMPTS:
            collisions += 1
            time.sleep(random.uniform(0, 0.01 * collisions))
        elif fault == "data":
            _isolate(batch, failure, deadline)
            return
        else:
            _forget(batch)
            raise Unavailable(sentence_of(failure)) from failure


def _attempt(batch: list[Incoming], unsure: bool) -> Exception | None:
    try:
        if not (unsure and _was_committed(batch)):
            write(batch)
    except Exception as error:
        return error
    return None


def _isolate(batch: list[Incoming], error: Exception, deadline: float) -> None:
    """Halve the batch; what is left alone with its fault is quarantined."""
    _forget(batch)  # outcomes of an attempt that failed at its commit
    if len(batch) > 1:
        middle = len(batch) // 2
        _store(batch[:middle], deadline)
        _store(batch[middle:], deadline)
        return
    item = batch[0]
    if item.row is None or item.reason:  # even the quarantine fails: this is not the body's fault
        _forget(batch)
        raise Unavailable(sentence_of(error)) from error
    if isinstance(error, SubscriberFailed):
        # The alert is in the queue for people to see; the delivery asks for the replay that starts its playbooks.
        item.reason = _("The alert is stored, but its playbooks were not started: %s") % sentence_of(error)
        log.error("delivery %s: %s", item.delivery_id, item.reason, exc_info=error)
    else:
        item.row = None
        item.reason = _("The alert could not be stored: %s") % sentence_of(error)
        log.error("delivery %s is quarantined: %s", item.delivery_id, item.reason)
    _store(batch, deadline)


def write(batch: Sequence[Incoming]) -> None:
    """One attempt, one transaction (or a savepoint of the caller's). Raises whatever went wrong."""
    with transaction.atomic():
        # The driver's own cursor: binary arrays bound by the server, which Django's cursor does not offer.
        cursor = psycopg.Cursor(connection.connection)
        everything = batch
        if any(item.receipt for item in everything):
            batch = _first_time(cursor, everything)
        if careful := [item for item in batch if item.row is not None and item.depends_on_what_is_known]:
            _decide(cursor, batch, careful)
        firsts: dict[bytes, Incoming] = {}
        observables = rows.Observables()
        # An observable is announced with the first that mentions it: let that be one that somebody sees.
        for item in sorted(batch, key=lambda item: item.hidden_by is not None):
            if item.row is not None:
                firsts.setdefault(item.key, item)
                observables.add(item.row, item.alert_id, item.partner_id, item.source, item.received_at)
        new, added = _write_new(cursor, firsts, observables)
        again = [item for item in batch if item.row is not None and item.alert_id not in new]
        known = _write_again(cursor, again) if again else {}
        rows.deliver(cursor, [_delivery(item, None, "quarantined") for item in batch if item.row is None])
        fresh = [item for item in batch if item.alert_id in new]
        record_hidden({item.alert_id: item.hidden_by for item in fresh if item.hidden_by is not None})
        created = _announce([item for item in fresh if item.hidden_by is None and not item.reason])
        if added:
            _announce_observables(cursor, observables, batch, list(created.values()))
        _finish(batch, known, created)
        if len(batch) < len(everything):
            _answer_repeats(cursor, [item for item in everything if item.repeated])


def _first_time(cursor: psycopg.Cursor[Any], batch: Sequence[Incoming]) -> list[Incoming]:
    """What of the batch is not the repeat of a signed request."""
    receipts: dict[bytes, UUID] = {}
    for item in batch:
        if item.receipt:
            receipts.setdefault(item.receipt, item.delivery_id)
    claimed = rows.claim_receipts(cursor, receipts)
    for item in batch:
        mine = item.receipt in claimed and receipts[item.receipt] == item.delivery_id
        item.repeated = bool(item.receipt) and not mine
    return [item for item in batch if not item.repeated]


def _answer_repeats(cursor: psycopg.Cursor[Any], repeats: list[Incoming]) -> None:
    """Say what became of it the first time."""
    found = rows.find_receipts(cursor, [item.receipt for item in repeats])
    for item in repeats:
        item.delivery_id, alert_id, correlation_id = found[item.receipt]
        item.notes = (_("this signed request was received before; nothing new is stored"),)
        title, severity = (item.alert.title, item.alert.severity) if item.alert else ("", "")
        item.outcome = Outcome("duplicate", "", alert_id, correlation_id, title, severity)


def _write_new(
    cursor: psycopg.Cursor[Any], firsts: dict[bytes, Incoming], observables: rows.Observables
) -> tuple[set[UUID], int]:
    """Store the first body of every key that nobody knows yet; the new alerts' ids, and how many observables are new."""
    if not firsts:
        return set(), 0
    ordered = [firsts[key] for key in sorted(firsts)]
    stored = rows.insert_new(
        cursor,
        [item.row for item in ordered if item.row is not None],
        [_delivery(item, item.alert_id, "accepted") for item in ordered],
        observables,
    )
    links = [link for link in observables.links if link[0] in stored.alerts]
    if stored.links < len(links):
        rows.link(cursor, links)
    return stored.alerts, stored.observables


def _decide(cursor: psycopg.Cursor[Any], batch: Sequence[Incoming], careful: list[Incoming]) -> None:
    """By policy: who ends an alert that never came is no alert; who comes too late for its alert, or after it was
    resolved, is a new one."""
    known = rows.find_known(cursor, sorted({item.key for item in careful}))
    retired: dict[bytes, rows.Known] = {}
    coming: set[bytes] = set()  # alerts that begin and end in one batch
    for item in batch:
        policy, alert, before = item.settings, item.alert, known.get(item.key)
        if item.row is None or alert is None:
            continue
        if not alert.only_closes:
            coming.add(item.key)
        if before is None:
            if alert.only_closes and item.key not in coming:
                item.row, item.reason = None, _("It says that an alert is over which never came")
        elif policy is not None and (
            # The end of an alert belongs to it however late it comes.
            (
                policy.window is not None
                and item.received_at - before.last_seen > policy.window
                and not (alert.resolved or alert.only_closes)
            )
            or (policy.on_recurrence == AlertSource.OnRecurrence.NEW and happened_again(before, alert))
        ):
            retired[item.key] = before
    rows.retire(cursor, retired)


def _write_again(cursor: psycopg.Cursor[Any], again: list[Incoming]) -> dict[bytes, rows.Known]:
    """Count the bodies of alerts that are known, keep each, link what they mention."""
    known = rows.find_known(cursor, sorted({item.key for item in again}))
    if len(known) < len({item.key for item in again}):
        raise _Vanished
    totals: dict[bytes, tuple[UUID, int, datetime, UUID]] = {}
    repeats: dict[UUID, Repeat] = {}
    deliveries, links = [], []
    for item in again:
        alert = known[item.key]
        times = totals[item.key][1] if item.key in totals else 0
        totals[item.key] = (alert.id, times + 1, item.received_at, item.delivery_id)
        deliveries.append(_delivery(item, alert.id, "duplicate"))
        # Of an alert that was moved to another partner since, its first sender only counts.
        if item.row is not None and item.alert is not None and alert.partner_id == item.partner_id:
            links += [(alert.id, item.partner_id, o.type, o.value_hash, o.field) for o in item.row.links]
            # What comes from quarantine is counted; its source has said something newer since.
            if item.received_at < alert.last_seen:
                continue
            repeats[alert.id] = Repeat(
                alert, item.alert, item.settings, content_hash=item.row.content_hash, delivery_id=item.delivery_id,
                received_at=item.received_at, hidden=item.hidden_by is not None,
            )  # fmt: skip
    counts = rows.count_again(cursor, list(totals.values()))
    rows.deliver(cursor, deliveries)
    rows.link(cursor, sorted(set(links)))
    follow(repeats, counts)
    return known


def _announce(new: list[Incoming]) -> dict[UUID, CreatedAlert]:
    created = [
        CreatedAlert(
            alert_id=item.alert_id,
            partner_id=item.partner_id,
            source=item.source,
            correlation_id=item.correlation_id,
            severity=item.alert.severity,
            delivery_id=item.delivery_id,
            subject=item.subject(),
        )
        for item in new
        if item.alert is not None
    ]
    if created:
        announce(created)
    return {one.alert_id: one for one in created}


def _announce_observables(
    cursor: psycopg.Cursor[Any],
    observables: rows.Observables,
    batch: Sequence[Incoming],
    alerts: list[CreatedAlert],
) -> None:
    items = {
        item.alert_id: item
        for item in batch
        if item.row is not None and item.hidden_by is None and not item.reason
    }
    if not items:  # they are hidden; or they were announced before, and a subscriber failed
        return

    def found() -> list[CreatedObservable]:
        added = observables.added(cursor)
        return [_created(row, items[row.alert_id]) for row in added if row.alert_id in items]

    _tell(observables_created, CreatedObservables(Actor.system("ingest"), found, alerts))


def _created(row: rows.Observed, item: Incoming) -> CreatedObservable:
    subject = {
        "id": str(row.id),
        "type": row.type,
        "value": row.value,
        "internal": row.internal,
        "source": row.source,
        "tags": list(row.tags),
        "partner": item.partner,
        "first_seen": row.created_at,
    }
    return CreatedObservable(row.id, row.partner_id, item.correlation_id, subject)


def announce(created: list[CreatedAlert]) -> None:
    """Tell the subscribers, who create runs in this transaction. What they raise comes as :class:`SubscriberFailed`."""
    _tell(alert_created, created)


def _tell[T](event: DomainEvent[T], what: T) -> None:
    try:
        event.emit(what)
    except Exception as error:
        if _fault(error) in {"away", "collision"}:
            raise
        raise SubscriberFailed(sentence_of(error)) from error


def _finish(
    batch: Sequence[Incoming], known: dict[bytes, rows.Known], created: dict[UUID, CreatedAlert]
) -> None:
    """Set the outcomes. Before the commit: when its answer is lost they are still right."""
    for item in batch:
        alert, one = item.alert, known.get(item.key)
        if item.row is None or alert is None:
            item.outcome = Outcome("quarantined", item.reason)
        elif one is None or one.id == item.alert_id:
            started = tuple(created[item.alert_id].playbooks) if item.alert_id in created else ()
            item.outcome = Outcome(
                _state(item, "accepted"), item.reason, item.alert_id, item.correlation_id, alert.title, alert.severity,
                started,
            )  # fmt: skip
        else:
            # Of an alert that was moved to another partner since, its first sender hears only what it sent.
            told = one if one.partner_id == item.partner_id else alert
            item.outcome = Outcome(
                _state(item, "duplicate"), item.reason, one.id, one.correlation_id, told.title, told.severity
            )


def _state(item: Incoming, otherwise: str) -> str:
    return "quarantined" if item.reason else "replayed" if item.replayed else otherwise


def _delivery(item: Incoming, alert_id: UUID | None, state: str) -> rows.Delivered:
    return rows.Delivered(
        id=item.delivery_id,
        partner_id=item.partner_id,
        alert_id=alert_id,
        token_id=item.token_id,
        source=item.source,
        state=_state(item, state),
        reason=item.reason,
        content_type=item.content_type,
        received_at=item.received_at,
        body=item.body,
    )


def _fault(error: Exception) -> str:
    """``away`` (wait for the database), ``collision`` (try again), ``broken`` (give up), ``data`` (isolate it)."""
    if isinstance(error, _Vanished):
        return "collision"
    if isinstance(error, InterfaceError):
        return "away"
    cause = error.__cause__ if isinstance(error, DatabaseError) else error
    if not isinstance(cause, psycopg.Error):
        return "data"
    state = cause.sqlstate or ""
    if state.startswith(_COLLISION):
        return "collision"
    if state.startswith(_AWAY) or (
        not state and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    ):
        return "away"
    return "broken" if state.startswith("42") else "data"


def _was_committed(batch: Sequence[Incoming]) -> bool:
    """Whether a commit whose answer was lost did happen; the outcomes it set are then right."""
    stored = next((item for item in batch if not item.repeated), batch[0])
    return Delivery.objects.filter(pk=stored.delivery_id).exists()


def _forget(batch: Sequence[Incoming]) -> None:
    for item in batch:
        item.outcome = None


def sentence_of(error: Exception) -> str:
    """The first line of what went wrong, fit for a text column."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:500]
