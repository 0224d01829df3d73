"""The statements of the ingest transaction: many alerts, few round trips.

Two committers (of two web processes) may store the same things at one moment. What keeps them from waiting for each
other in a circle is one order of locks: new alerts by dedupe key, then observables by their key, then counters of known
alerts by dedupe key, then resolved alerts by id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg

from alerts.sources.base import NormalisedAlert
from opensoar.ids import uuid7

# Column -> (type of the array that carries it, how one element becomes the column's value).
_ALERT = {
    "id": ("uuid", "d.id"),
    "partner_id": ("uuid", "d.partner_id"),
    "source": ("text", "d.source"),
    "source_id": ("text", "d.source_id"),
    "dedupe_key": ("bytea", "d.dedupe_key"),
    "title": ("text", "d.title"),
    "description": ("text", "d.description"),
    "severity": ("text", "d.severity"),
    "determination": ("text", "d.determination"),
    "source_ip": ("text", "d.source_ip::inet"),
    "dest_ip": ("text", "d.dest_ip::inet"),
    "hostname": ("text", "d.hostname"),
    "username": ("text", "d.username"),
    "rule_name": ("text", "d.rule_name"),
    "tags": ("text", "d.tags::varchar[]"),
    "techniques": ("text", "d.techniques::varchar[]"),
    "iocs": ("text", "d.iocs::jsonb"),
    "normalized": ("text", "d.normalized::jsonb"),
    "group_key": ("text", "d.group_key"),
    "vendor_url": ("text", "d.vendor_url"),
    "correlation_id": ("uuid", "d.correlation_id"),
    "event_at": ("timestamptz", "d.event_at"),
    "created_at": ("timestamptz", "d.created_at"),
}
_DELIVERY = {
    "id": "uuid",
    "partner_id": "uuid",
    "alert_id": "uuid",
    "token_id": "uuid",
    "source": "text",
    "state": "text",
    "reason": "text",
    "content_type": "text",
    "body": "bytea",
    "received_at": "timestamptz",
}
_OBSERVABLE = {"id": "uuid", "partner_id": "uuid", "type": "text", "value": "text", "value_hash": "bytea"} | {
    "internal": "bool",
    "source": "text",
    "created_at": "timestamptz",
}


def _unnest(types: Iterable[str]) -> str:
    """``unnest(…)`` with one binary array parameter for each type."""
    return f"unnest({', '.join(f'%b::{kind}[]' for kind in types)})"


# A delivery's row exists already when it is replayed; otherwise its id is new.
_DELIVERY_AGAIN = """ON CONFLICT (id) DO UPDATE
  SET alert_id = excluded.alert_id, state = excluded.state, reason = excluded.reason"""

INSERT_NEW = f"""
WITH d AS MATERIALIZED (
  SELECT * FROM {_unnest([*(t for t, _ in _ALERT.values()), "uuid", "text", "text", "uuid", "text", "bytea"])}
  AS d({", ".join(_ALERT)}, delivery_id, state, reason, token_id, content_type, body)
), new AS (
  INSERT INTO alerts_alert ({", ".join(_ALERT)}, status, updated_at, version, timeline_seq)
  SELECT {", ".join(value for _, value in _ALERT.values())}, 'new', d.created_at, 1, 0 FROM d
  ON CONFLICT (dedupe_key) DO NOTHING RETURNING id
), counted AS (
  INSERT INTO alerts_alertcounter (alert_id, duplicate_count, first_seen, last_seen, last_delivery_id)
  SELECT d.id, 1, d.created_at, d.created_at, d.delivery_id FROM d JOIN new USING (id)
), delivered AS (
  INSERT INTO alerts_delivery ({", ".join(_DELIVERY)})
  SELECT d.delivery_id, d.partner_id, d.id, d.token_id, d.source, d.state, d.reason, d.content_type, d.body, d.created_at
  FROM d JOIN new USING (id) {_DELIVERY_AGAIN}
), o AS MATERIALIZED (
  SELECT * FROM {_unnest(_OBSERVABLE.values())} AS o({", ".join(_OBSERVABLE)})
), known AS (
  SELECT o.id AS mine, x.id FROM o JOIN alerts_observable x USING (partner_id, type, value_hash)
), added AS (
  INSERT INTO alerts_observable ({", ".join(_OBSERVABLE)}, tags, enrichment_status)
  SELECT o.*, '{{}}', 'pending' FROM o ON CONFLICT (partner_id, type, value_hash) DO NOTHING RETURNING id
), linked AS (
  INSERT INTO alerts_alertobservable (alert_id, observable_id, field)
  SELECT l.alert_id, every.id, l.field
  FROM {_unnest(["uuid", "uuid", "text"])} AS l(alert_id, mine, field)
  JOIN new ON new.id = l.alert_id
  JOIN (SELECT mine, id FROM known UNION ALL SELECT id, id FROM added) AS every USING (mine)
  RETURNING 1
)
SELECT (SELECT array_agg(id) FROM new), (SELECT count(*) FROM linked)
"""  # noqa: S608 - put together from the constants above, all values are parameters

LINK = f"""
INSERT INTO alerts_alertobservable (alert_id, observable_id, field)
SELECT l.alert_id, x.id, l.field
FROM {_unnest(["uuid", "uuid", "text", "bytea", "text"])} AS l(alert_id, partner_id, type, value_hash, field)
JOIN alerts_observable x USING (partner_id, type, value_hash)
ON CONFLICT DO NOTHING
"""  # noqa: S608

# A statement of its own: only a new snapshot shows what another committer stored a moment ago.
LOCK_KNOWN = """
SELECT a.dedupe_key, a.id, a.partner_id, a.status, a.title, a.severity, a.correlation_id
FROM alerts_alert a JOIN alerts_alertcounter c ON c.alert_id = a.id
WHERE a.dedupe_key = ANY(%b::bytea[])
ORDER BY a.dedupe_key FOR NO KEY UPDATE OF c
"""

COUNT_AGAIN = f"""
UPDATE alerts_alertcounter c
SET duplicate_count = c.duplicate_count + t.times, last_seen = greatest(c.last_seen, t.seen), last_delivery_id = t.delivery
FROM {_unnest(["uuid", "int", "timestamptz", "uuid"])} AS t(alert_id, times, seen, delivery)
WHERE c.alert_id = t.alert_id
RETURNING c.alert_id, c.duplicate_count
"""  # noqa: S608

DELIVER = f"""
INSERT INTO alerts_delivery ({", ".join(_DELIVERY)})
SELECT * FROM {_unnest(_DELIVERY.values())} {_DELIVERY_AGAIN}
"""  # noqa: S608


class Link(NamedTuple):
    """An observable of one body, ready to be stored."""

    type: str
    value: str
    value_hash: bytes
    internal: bool
    field: str


class Known(NamedTuple):
    """What the database says of an alert that was there before."""

    id: UUID
    partner_id: UUID
    status: str
    title: str
    severity: str
    correlation_id: UUID


@dataclass(slots=True)
class AlertRow:
    """A body's alert as columns, computed before the transaction by whoever received it."""

    columns: tuple[Any, ...]
    links: list[Link]


def alert_row(
    alert: NormalisedAlert,
    *,
    alert_id: UUID,
    partner_id: UUID,
    source: str,
    key: bytes,
    correlation_id: UUID,
    received_at: datetime,
) -> AlertRow:
    """The columns of :data:`INSERT_NEW`, in their order. Raises what a value that is not JSON or text raises."""
    columns = (
        alert_id, partner_id, source, alert.source_id, key, alert.title, alert.description, alert.severity,
        alert.determination or "unknown", alert.source_ip, alert.dest_ip, alert.hostname, alert.username,
        alert.rule_name, _array(alert.tags), _array(alert.techniques), orjson.dumps(alert.iocs).decode(),
        orjson.dumps(alert.normalized).decode(), alert.group_key, alert.vendor_url, correlation_id, alert.event_at,
        received_at,
    )  # fmt: skip
    links = {
        (o.type, o.value): Link(
            o.type, o.value, hashlib.sha256(o.value.encode()).digest(), o.internal, o.field[:200]
        )
        for o in reversed(alert.observables)  # reversed: of two fields with one value the first one counts
    }
    return AlertRow(columns, list(links.values()))


def _array(words: Sequence[str]) -> str:
    """A PostgreSQL array literal: rows of different lengths do not fit into one array parameter."""
    if not words:
        return "{}"
    quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
    return '{"' + '","'.join(quoted) + '"}'


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


class Observables:
    """The observables of one batch: each once, in one order, with the links that want them."""

    def __init__(self) -> None:
        self._rows: dict[tuple[UUID, str, bytes], tuple[Any, ...]] = {}
        self.links: list[tuple[UUID, UUID, str, bytes, str]] = []

    def add(
        self, row: AlertRow, alert_id: UUID, partner_id: UUID, source: str, received_at: datetime
    ) -> None:
        """Note the observables of one body that belongs to ``alert_id``."""
        for link in row.links:
            key = (partner_id, link.type, link.value_hash)
            if key not in self._rows:
                self._rows[key] = (
                    uuid7(), partner_id, link.type, link.value, link.value_hash, link.internal, source, received_at,
                )  # fmt: skip
            self.links.append((alert_id, *key, link.field))

    def parameters(self) -> list[list[Any]]:
        """Arrays of observables, then of links that name their observable by the id it gets if it is new."""
        rows = [self._rows[key] for key in sorted(self._rows)]
        links = [(alert_id, self._rows[(p, t, h)][0], field) for alert_id, p, t, h, field in self.links]
        return _columns(rows, len(_OBSERVABLE)) + _columns(links, 3)


def insert_new(
    cursor: psycopg.Cursor[Any], rows: list[tuple[Any, ...]], observables: Observables
) -> tuple[set[UUID], int]:
    """Insert alerts nobody knows yet with counter, delivery, observables and links.

    ``rows`` are :attr:`AlertRow.columns` plus delivery id, state, reason, token id, content type and body, sorted by dedupe
    key. Returns the ids that were new and the number of links made for them: fewer than wanted when another committer
    stored an observable at the same moment (:func:`link` makes the rest).
    """
    cursor.execute(INSERT_NEW, _columns(rows, len(_ALERT) + 6) + observables.parameters())
    found = cursor.fetchone()
    assert found is not None
    return set(found[0] or ()), found[1]


def link(cursor: psycopg.Cursor[Any], links: list[tuple[UUID, UUID, str, bytes, str]]) -> None:
    """Link alerts with observables that exist; links that exist stay as they are."""
    if links:
        cursor.execute(LINK, _columns(links, 5))


def lock_known(cursor: psycopg.Cursor[Any], keys: list[bytes]) -> dict[bytes, Known]:
    """The alerts of these dedupe keys, their counters locked in one order."""
    cursor.execute(LOCK_KNOWN, [keys])
    return {bytes(row[0]): Known(*row[1:]) for row in cursor.fetchall()}


def count_again(cursor: psycopg.Cursor[Any], rows: list[tuple[UUID, int, datetime, UUID]]) -> dict[UUID, int]:
    """Add to the counters; rows are alert, times, last seen, last delivery. Returns the new counts."""
    cursor.execute(COUNT_AGAIN, _columns(rows, 4))
    return dict(cursor.fetchall())


def deliver(cursor: psycopg.Cursor[Any], rows: list[tuple[Any, ...]]) -> None:
    """Store deliveries, columns in the order of the model's fields."""
    if rows:
        cursor.execute(DELIVER, _columns(rows, len(_DELIVERY)))
