"""The statements of the ingest transaction: many alerts, few round trips.

Two committers (of two web processes) may store the same things at one moment. What keeps them from waiting for each
other in a circle is one order of locks: receipts of signed requests, then new alerts by dedupe key, then observables by
their key, then counters of known alerts by id, then resolved alerts by id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg

from alerts.exclusions import ALLOWED
from alerts.sources.base import NormalisedAlert
from opensoar.ids import uuid7

# Rows travel as JSON, one parameter for any number of them: for few rows that is several times cheaper than one array
# for each column, for many it is no dearer. Bodies are bytes and travel beside it.
_ALERT = {
    "id": "uuid",
    "partner_id": "uuid",
    "source": "text",
    "source_id": "text",
    "dedupe_key": "text",
    "title": "text",
    "description": "text",
    "severity": "text",
    "determination": "text",
    "source_ip": "inet",
    "dest_ip": "inet",
    "hostname": "text",
    "username": "text",
    "rule_name": "text",
    "tags": "varchar[]",
    "techniques": "varchar[]",
    "iocs": "jsonb",
    "normalized": "jsonb",
    "content_hash": "text",
    "group_key": "text",
    "vendor_url": "text",
    "correlation_id": "uuid",
    "event_at": "timestamptz",
    "created_at": "timestamptz",
    "suppressed_by_id": "uuid",
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
    "received_at": "timestamptz",
}
_OBSERVABLE = {
    "id": "uuid",
    "partner_id": "uuid",
    "type": "text",
    "value": "text",
    "value_hash": "text",
    "internal": "bool",
    "tags": "varchar[]",
    "source": "text",
    "created_at": "timestamptz",
}
# What a source may tell later than the alert itself; the first word about each stays.
LEARNT = ("hostname", "username", "source_ip", "dest_ip", "rule_name", "group_key", "vendor_url")
_BYTES = frozenset({"dedupe_key", "content_hash", "value_hash"})  # as hexadecimal digits


def _rows(name: str, columns: dict[str, str], *, beside: str = "") -> str:
    """A row source of a JSON parameter; ``beside`` is a further function whose rows stand beside these."""
    typed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    if not beside:
        return f"json_to_recordset(%t::json) AS {name}({typed})"
    names = ", ".join([*columns, "body"])
    return f"ROWS FROM (json_to_recordset(%t::json) AS ({typed}), {beside}) AS {name}({names})"


def _values(name: str, columns: dict[str, str]) -> str:
    return ", ".join(f"decode({name}.{c}, 'hex')" if c in _BYTES else f"{name}.{c}" for c in columns)


def _found(keys: str) -> str:
    """A join to observables by their key. The LIMIT keeps it a look-up for each row: an ordinary join may be planned
    while the tables are empty, as a scan of the whole, and such a plan is kept while they grow."""
    return f"""CROSS JOIN LATERAL (
    SELECT x.id FROM alerts_observable x
    WHERE x.partner_id = {keys}.partner_id AND x.type = {keys}.type AND x.value_hash = {keys}.value_hash LIMIT 1
  ) AS x"""  # noqa: S608


# A delivery's row exists already when it is replayed; otherwise its id is new.
_DELIVERY_AGAIN = """ON CONFLICT (id) DO UPDATE
  SET alert_id = excluded.alert_id, state = excluded.state, reason = excluded.reason"""

INSERT_NEW = f"""
WITH d AS MATERIALIZED (
  SELECT * FROM {_rows("d", _ALERT)}
), new AS (
  INSERT INTO alerts_alert ({", ".join(_ALERT)}, status, updated_at, version, timeline_seq)
  -- What is hidden has one entry already: which suppression hid it (alerts.ingest).
  SELECT {_values("d", _ALERT)}, 'new', d.created_at, 1, (d.suppressed_by_id IS NOT NULL)::int FROM d
  ON CONFLICT (dedupe_key) DO NOTHING RETURNING id
), v AS MATERIALIZED (
  SELECT v.* FROM {_rows("v", _DELIVERY, beside="unnest(%b::bytea[])")} JOIN new ON new.id = v.alert_id
), counted AS (
  INSERT INTO alerts_alertcounter (alert_id, duplicate_count, first_seen, last_seen, last_delivery_id)
  SELECT v.alert_id, 1, v.received_at, v.received_at, v.id FROM v
), delivered AS (
  INSERT INTO alerts_delivery ({", ".join(_DELIVERY)}, body) SELECT * FROM v {_DELIVERY_AGAIN}
), o AS MATERIALIZED (
  SELECT id, partner_id, type, value, decode(value_hash, 'hex') AS value_hash, internal, tags, source, created_at
  FROM {_rows("o", _OBSERVABLE)}
), known AS (
  SELECT o.id AS mine, x.id FROM o {_found("o")}
), added AS (
  INSERT INTO alerts_observable ({", ".join(_OBSERVABLE)}, enrichment_status)
  SELECT o.*, 'pending' FROM o ON CONFLICT (partner_id, type, value_hash) DO NOTHING RETURNING id
), linked AS (
  INSERT INTO alerts_alertobservable (alert_id, observable_id, field)
  SELECT l.alert_id, every.id, l.field
  FROM {_rows("l", {"alert_id": "uuid", "mine": "uuid", "field": "text"})}
  JOIN new ON new.id = l.alert_id
  JOIN (SELECT mine, id FROM known UNION ALL SELECT id, id FROM added) AS every USING (mine)
  RETURNING 1
)
SELECT (SELECT array_agg(id) FROM new), (SELECT count(*) FROM linked), (SELECT count(*) FROM added)
"""  # noqa: S608 - put together from the constants above, all values are parameters

_LINK = {"alert_id": "uuid", "partner_id": "uuid", "type": "text", "value_hash": "text", "field": "text"}
LINK = f"""
WITH l AS MATERIALIZED (
  SELECT alert_id, partner_id, type, decode(value_hash, 'hex') AS value_hash, field FROM {_rows("l", _LINK)}
)
INSERT INTO alerts_alertobservable (alert_id, observable_id, field)
SELECT l.alert_id, x.id, l.field FROM l {_found("l")}
ON CONFLICT DO NOTHING
"""  # noqa: S608

# A statement of its own: only a new snapshot shows what another committer stored a moment ago.
FIND_KNOWN = """
SELECT a.dedupe_key, a.id, a.partner_id, a.status, a.title, a.severity, a.correlation_id, a.content_hash, a.resolved_at,
  c.last_seen, a.suppressed_by_id
FROM alerts_alert a JOIN alerts_alertcounter c ON c.alert_id = a.id WHERE a.dedupe_key = ANY(%b::bytea[])
"""

# Who comes now under its key is a new alert. Whoever asks second finds none of it left and meets the new one.
RETIRE = """
UPDATE alerts_alert SET dedupe_key = sha256(dedupe_key || uuid_send(id)) WHERE id = %b AND dedupe_key = %b
"""

FIND_ADDED = "SELECT id FROM alerts_observable WHERE id = ANY(%b::uuid[])"

_AGAIN = {"alert_id": "uuid", "times": "int", "seen": "timestamptz", "delivery": "uuid"}
COUNT_AGAIN = f"""
WITH locked AS MATERIALIZED (
  SELECT alert_id FROM alerts_alertcounter WHERE alert_id = ANY(%(ids)b::uuid[]) ORDER BY alert_id FOR NO KEY UPDATE
)
UPDATE alerts_alertcounter c
SET duplicate_count = c.duplicate_count + t.times, last_seen = greatest(c.last_seen, t.seen),
  last_delivery_id = CASE WHEN t.seen < c.last_seen THEN c.last_delivery_id ELSE t.delivery END
FROM locked JOIN {_rows("t", _AGAIN).replace("%t", "%(rows)t")} USING (alert_id)
WHERE c.alert_id = locked.alert_id AND c.alert_id = ANY(%(ids)b::uuid[])
RETURNING c.alert_id, c.duplicate_count
"""  # noqa: S608

DELIVER = f"""
INSERT INTO alerts_delivery ({", ".join(_DELIVERY)}, body)
SELECT * FROM {_rows("v", _DELIVERY, beside="unnest(%b::bytea[])")} {_DELIVERY_AGAIN}
"""  # noqa: S608


CLAIM_RECEIPTS = """
INSERT INTO alerts_webhookreceipt (digest, delivery_id)
SELECT * FROM unnest(%b::bytea[], %b::uuid[]) ON CONFLICT DO NOTHING RETURNING digest
"""

FIND_RECEIPTS = """
SELECT r.digest, r.delivery_id, a.id, a.correlation_id FROM alerts_webhookreceipt r
LEFT JOIN alerts_delivery d ON d.id = r.delivery_id LEFT JOIN alerts_alert a ON a.id = d.alert_id
WHERE r.digest = ANY(%b::bytea[])
"""


class Link(NamedTuple):
    """An observable of one body, ready to be stored."""

    type: str
    value: str
    value_hash: str
    internal: bool
    tags: tuple[str, ...]
    field: str


class Known(NamedTuple):
    """What the database says of an alert that was there before."""

    id: UUID
    partner_id: UUID
    status: str
    title: str
    severity: str
    correlation_id: UUID
    content_hash: bytes | None
    resolved_at: datetime | None
    last_seen: datetime
    suppressed_by_id: UUID | None


class Delivered(NamedTuple):
    """A row of deliveries; the body comes last and travels apart."""

    id: UUID
    partner_id: UUID
    alert_id: UUID | None
    token_id: UUID | None
    source: str
    state: str
    reason: str
    content_type: str
    received_at: datetime
    body: bytes


class Stored(NamedTuple):
    """What :data:`INSERT_NEW` did: the ids of new alerts, how many links and how many new observables it made."""

    alerts: set[UUID]
    links: int
    observables: int


class Observed(NamedTuple):
    """An observable of a batch as it is stored if it is new, and the first alert of the batch that mentions it."""

    id: UUID
    partner_id: UUID
    type: str
    value: str
    value_hash: str
    internal: bool
    tags: tuple[str, ...]
    source: str
    created_at: datetime
    alert_id: UUID


class AlertRow(NamedTuple):
    """A body's alert as JSON, made before the transaction by whoever received it."""

    json: bytes
    links: list[Link]
    content_hash: bytes


def alert_row(
    alert: NormalisedAlert,
    *,
    alert_id: UUID,
    partner_id: UUID,
    source: str,
    key: bytes,
    correlation_id: UUID,
    received_at: datetime,
    suppressed_by_id: UUID | None = None,
) -> AlertRow:
    """The row of :data:`INSERT_NEW`. Raises TypeError for what is not JSON."""
    content_hash = _content_hash(alert)
    row = {
        "id": alert_id,
        "partner_id": partner_id,
        "source": source,
        "source_id": alert.source_id,
        "dedupe_key": key.hex(),
        "title": alert.title,
        "description": alert.description,
        "severity": alert.severity,
        "determination": alert.determination or "unknown",
        "source_ip": alert.source_ip,
        "dest_ip": alert.dest_ip,
        "hostname": alert.hostname,
        "username": alert.username,
        "rule_name": alert.rule_name,
        "tags": alert.tags,
        "techniques": alert.techniques,
        "iocs": alert.iocs,
        "normalized": alert.normalized,
        "content_hash": content_hash.hex(),
        "group_key": alert.group_key,
        "vendor_url": alert.vendor_url,
        "correlation_id": correlation_id,
        "event_at": alert.event_at,
        "created_at": received_at,
        "suppressed_by_id": suppressed_by_id,
    }
    links = {
        (o.type, o.value): Link(
            o.type, o.value, _hash(o.value), o.internal, (ALLOWED,) if o.allowed else (), o.field[:200]
        )
        for o in reversed(alert.observables)  # reversed: of two fields with one value the first one counts
    }
    return AlertRow(orjson.dumps(row), list(links.values()), content_hash)


def _content_hash(alert: NormalisedAlert) -> bytes:
    """Of what an update may change; the time of the event and the words around it differ with every repeat."""
    known = [bool(getattr(alert, name)) for name in LEARNT]
    said = (
        alert.severity, alert.tags, alert.techniques, alert.determination, alert.resolved, alert.iocs, known,
    )  # fmt: skip
    return hashlib.sha256(orjson.dumps(said)).digest()


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _json(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> str:
    names = tuple(columns)
    return orjson.dumps([dict(zip(names, row, strict=False)) for row in rows]).decode()


class Observables:
    """The observables of one batch: each once, in one order, with the links that want them."""

    def __init__(self) -> None:
        self._rows: dict[tuple[UUID, str, str], Observed] = {}
        self.links: list[tuple[UUID, UUID, str, str, str]] = []

    def add(
        self, row: AlertRow, alert_id: UUID, partner_id: UUID, source: str, received_at: datetime
    ) -> None:
        """Note the observables of one body that belongs to ``alert_id``."""
        for link in row.links:
            key = (partner_id, link.type, link.value_hash)
            if key not in self._rows:
                self._rows[key] = Observed(uuid7(), partner_id, *link[:5], source, received_at, alert_id)
            self.links.append((alert_id, *key, link.field))

    def parameters(self) -> list[str]:
        """Observables, then links that name their observable by the id it gets if it is new."""
        rows = [self._rows[key] for key in sorted(self._rows)]
        links = [(alert_id, self._rows[(p, t, h)][0], field) for alert_id, p, t, h, field in self.links]
        return [_json(_OBSERVABLE, rows), _json(("alert_id", "mine", "field"), links)]

    def added(self, cursor: psycopg.Cursor[Any]) -> list[Observed]:
        """Those that were new: they bear the id that was made for them here."""
        by_id = {row.id: row for row in self._rows.values()}
        cursor.execute(FIND_ADDED, [list(by_id)])
        found = {pk for (pk,) in cursor.fetchall()}
        return [row for pk, row in by_id.items() if pk in found]


def insert_new(
    cursor: psycopg.Cursor[Any], rows: list[AlertRow], deliveries: list[Delivered], observables: Observables
) -> Stored:
    """Insert alerts nobody knows yet with counter, delivery, observables and links. ``rows`` are sorted by dedupe key.

    It makes fewer links than wanted when another committer stored an observable at the same moment (:func:`link` makes
    the rest).
    """
    alerts = b"[" + b",".join([row.json for row in rows]) + b"]"
    cursor.execute(
        INSERT_NEW, [alerts.decode(), *_delivery_parameters(deliveries), *observables.parameters()]
    )
    found = cursor.fetchone()
    assert found is not None
    return Stored(set(found[0] or ()), found[1], found[2])


def link(cursor: psycopg.Cursor[Any], links: list[tuple[UUID, UUID, str, str, str]]) -> None:
    """Link alerts with observables that exist; links that exist stay as they are."""
    if links:
        cursor.execute(LINK, [_json(_LINK, links)])


def claim_receipts(cursor: psycopg.Cursor[Any], receipts: dict[bytes, UUID]) -> set[bytes]:
    """Remember receipts with their deliveries; returns those that nobody had before."""
    ordered = sorted(receipts)
    cursor.execute(CLAIM_RECEIPTS, [ordered, [receipts[digest] for digest in ordered]])
    return {bytes(digest) for (digest,) in cursor.fetchall()}


def find_receipts(
    cursor: psycopg.Cursor[Any], digests: list[bytes]
) -> dict[bytes, tuple[UUID, UUID | None, UUID | None]]:
    """Delivery, alert and correlation id of receipts."""
    cursor.execute(FIND_RECEIPTS, [digests])
    return {bytes(digest): found for digest, *found in cursor.fetchall()}


def find_known(cursor: psycopg.Cursor[Any], keys: list[bytes]) -> dict[bytes, Known]:
    """The alerts of these dedupe keys."""
    cursor.execute(FIND_KNOWN, [keys])
    return {bytes(row[0]): Known(*row[1:]) for row in cursor.fetchall()}


def retire(cursor: psycopg.Cursor[Any], known: dict[bytes, Known]) -> None:
    """Take the dedupe keys from these alerts, in the keys' order."""
    for key in sorted(known):
        cursor.execute(RETIRE, [known[key].id, key])


def count_again(cursor: psycopg.Cursor[Any], rows: list[tuple[UUID, int, datetime, UUID]]) -> dict[UUID, int]:
    """Add to the counters; rows are alert, times, last seen, last delivery. Returns the new counts."""
    cursor.execute(COUNT_AGAIN, {"ids": [row[0] for row in rows], "rows": _json(_AGAIN, rows)})
    return dict(cursor.fetchall())


def deliver(cursor: psycopg.Cursor[Any], deliveries: list[Delivered]) -> None:
    """Store deliveries."""
    if deliveries:
        cursor.execute(DELIVER, _delivery_parameters(deliveries))


def _delivery_parameters(deliveries: list[Delivered]) -> list[Any]:
    return [_json(_DELIVERY, deliveries), [delivery.body for delivery in deliveries]]
