"""The bare limit that ingest is held against: a WSGI function that decodes JSON and stores alert, body and observables.

One thread commits for all requests in one statement, as the product's does. There is no authentication, no
normalising, no duplicate, no playbook, no isolation of faults. Served by granian like the product; the database is
named by ``LIMIT_DATABASE_URL``.
"""

from __future__ import annotations

import os
import queue
import threading
import uuid
from typing import Any

import orjson
import psycopg

TABLES = """
CREATE TABLE alerts (id uuid PRIMARY KEY, origin text, origin_id text, title text, address inet, host text, rest jsonb,
  received timestamptz NOT NULL DEFAULT now(), UNIQUE (origin, origin_id));
CREATE INDEX ON alerts (received DESC);
CREATE INDEX ON alerts (address, received DESC);
CREATE INDEX ON alerts (host);
CREATE TABLE bodies (id uuid PRIMARY KEY, alert uuid NOT NULL, content bytea NOT NULL);
CREATE TABLE observables (id uuid PRIMARY KEY, kind text, value text, UNIQUE (kind, value));
CREATE TABLE seen (alert uuid, observable uuid, PRIMARY KEY (alert, observable));
"""
INSERT = """
WITH a AS (
  SELECT * FROM ROWS FROM (
    json_to_recordset(%t::json) AS (id uuid, origin text, origin_id text, title text, address inet, host text, rest jsonb),
    unnest(%b::uuid[]), unnest(%b::bytea[])
  ) AS a(id, origin, origin_id, title, address, host, rest, body_id, content)
), stored AS (
  INSERT INTO alerts SELECT id, origin, origin_id, title, address, host, rest FROM a
  ON CONFLICT (origin, origin_id) DO NOTHING RETURNING id
), kept AS (
  INSERT INTO bodies SELECT body_id, id, content FROM a
), o AS (
  INSERT INTO observables (id, kind, value)
  SELECT gen_random_uuid(), kind, value FROM json_to_recordset(%t::json) AS o(kind text, value text)
  GROUP BY kind, value ORDER BY kind, value
  ON CONFLICT (kind, value) DO UPDATE SET value = excluded.value RETURNING id, kind, value
)
INSERT INTO seen SELECT l.alert, o.id
FROM json_to_recordset(%t::json) AS l(alert uuid, kind text, value text) JOIN o USING (kind, value)
"""

_waiting: queue.SimpleQueue[tuple[dict[str, Any], bytes, threading.Lock]] = queue.SimpleQueue()
_started = threading.Lock()


def _commit_for_ever() -> None:
    with psycopg.connect(os.environ["LIMIT_DATABASE_URL"], autocommit=True) as connection:
        while True:
            batch = [_waiting.get()]
            while not _waiting.empty() and len(batch) < 500:
                batch.append(_waiting.get())
            alerts, observables = [], []
            for alert, _body, _done in batch:
                row = {"id": uuid.uuid4(), "origin": alert.get("source"), "origin_id": alert.get("source_id")}
                row |= {"title": alert.get("rule_name"), "address": alert.get("source_ip")}
                alerts.append(row | {"host": alert.get("hostname"), "rest": alert})
                found = {
                    ("ip", alert["source_ip"]),
                    ("ip", alert["dest_ip"]),
                    ("sha256", alert["process"]["sha256"]),
                }
                observables += [{"alert": row["id"], "kind": kind, "value": value} for kind, value in found]
            flat = orjson.dumps(observables).decode()
            ids = [uuid.uuid4() for _ in batch]
            bodies = [body for _alert, body, _done in batch]
            connection.execute(INSERT, [orjson.dumps(alerts).decode(), ids, bodies, flat, flat])
            for _alert, _body, done in batch:
                done.release()


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Store one alert and answer."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if body:
        if _started.acquire(blocking=False):
            threading.Thread(target=_commit_for_ever, daemon=True).start()
        done = threading.Lock()
        done.acquire()
        _waiting.put((orjson.loads(body), body, done))
        done.acquire()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]
