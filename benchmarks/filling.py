"""Alerts that are there already: generated months (benchmarks.suggestions_data), stored past ingest, for it takes long.

Rows are those that ingest makes, without deliveries. Both functions take a connection of psycopg that commits by itself.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import psycopg

from benchmarks.suggestions_data import generate

# Ids begin with the milliseconds of the alert's time, as uuid7 makes them.
FILL = """
WITH d AS MATERIALIZED (
  SELECT *, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
             || substr(md5(n::text), 4, 15))::uuid AS id
  FROM json_to_recordset(%s::json) AS r(n bigint, at timestamptz, rule text, host text, "user" text, src inet, dst inet,
    grp text, sev text, obs json)
), a AS (
  INSERT INTO alerts_alert (id, partner_id, source, dedupe_key, title, severity, status, determination, source_ip, dest_ip,
    hostname, username, rule_name, tags, techniques, iocs, normalized, group_key, correlation_id, created_at, updated_at,
    version, timeline_seq)
  SELECT id, '00000000-0000-7000-8000-000000000001', 'bench', decode(md5(id::text), 'hex'), rule, sev, 'new', 'unknown',
    src, dst, host, "user", rule, '{}', '{}', '{}', '{}', grp, id, at, at, 1, 0 FROM d RETURNING id
), counted AS (
  INSERT INTO alerts_alertcounter (alert_id, duplicate_count, first_seen, last_seen, last_delivery_id)
  SELECT id, 1, at, at, id FROM d
), o AS MATERIALIZED (
  SELECT d.id, x->>0 AS type, x->>1 AS value FROM d, json_array_elements(d.obs) AS x
), new AS (
  INSERT INTO alerts_observable (id, partner_id, type, value, value_hash, internal, tags, enrichment_status, created_at)
  SELECT gen_random_uuid(), '00000000-0000-7000-8000-000000000001', type, value, sha256(convert_to(value, 'UTF8')), false,
    '{}', 'pending', now() FROM (SELECT DISTINCT type, value FROM o) AS o
  ON CONFLICT (partner_id, type, value_hash) DO UPDATE SET internal = false RETURNING id, type, value
)
INSERT INTO alerts_alertobservable (alert_id, observable_id, field)
SELECT o.id, new.id, '' FROM o JOIN new USING (type, value) ON CONFLICT DO NOTHING
"""

# Older alerts, of hosts and users as the months have them, that share nothing rare.
BALLAST = """
INSERT INTO alerts_alert (id, partner_id, source, dedupe_key, title, severity, status, determination, hostname, username,
  source_ip, rule_name, tags, techniques, iocs, normalized, correlation_id, created_at, updated_at, version, timeline_seq)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5('b' || n), 1, 3) || '8'
        || substr(md5('b' || n), 4, 15))::uuid,
  '00000000-0000-7000-8000-000000000001', 'bench', decode(md5('b' || n), 'hex'), 'Ballast', 'low', 'new', 'unknown',
  'ws-' || n %% 4000, 'user' || n %% 900, '198.51.100.1', 'rule-' || n %% 400, '{}', '{}', '{}', '{}', gen_random_uuid(),
  at, at, 1, 0
FROM generate_series(%s::bigint, %s::bigint) AS n,
  LATERAL (SELECT now() - interval '29 days' * n / %s::bigint AS at) AS t
"""


def fill(
    connection: psycopg.Connection[Any], alerts: int, *, first: int = 0, seed: int = 1, busy: int = 200_000
) -> None:
    """Store the newest ``alerts`` of generated months of ``busy`` alerts, as ingest would have; the last is of now."""
    done = 0
    while done < alerts:
        signals = generate(seed, alerts=busy)[-(alerts - done) :]
        shift = datetime.now(UTC) - signals[-1].at
        rows = [
            {
                "n": first + done + n, "at": (signal.at + shift).isoformat(), "rule": signal.rule,
                "host": signal.host or None, "user": signal.user or None, "src": signal.source_ip or None,
                "dst": signal.dest_ip or None, "grp": signal.group_key or None, "sev": signal.severity,
                "obs": signal.observables,
            }
            for n, signal in enumerate(signals)
        ]  # fmt: skip
        for start in range(0, len(rows), 5_000):
            connection.execute(FILL, [json.dumps(rows[start : start + 5_000])])
        done, seed = done + len(signals), seed + 1


def ballast(connection: psycopg.Connection[Any], count: int) -> None:
    """``count`` alerts over 29 days that grouping is not asked to look at."""
    for start in range(1, count + 1, 50_000):
        connection.execute(BALLAST, [start, min(count, start + 49_999), count])
    leave_ungrouped(connection)


def leave_ungrouped(connection: psycopg.Connection[Any]) -> None:
    """Take what is stored off the list of what suggestions still have to look at."""
    connection.execute("DELETE FROM incidents_suggestionqueue")
