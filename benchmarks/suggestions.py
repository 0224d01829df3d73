"""How well suggestions find known attacks, and what they cost.

``python -m benchmarks.suggestions quality`` groups generated months (benchmarks.suggestions_data) with the pure core and
compares pairs of alerts; no database. ``python -m benchmarks.suggestions speed`` fills the database that Django is set
up for with alerts of such months, lets grouping follow, and measures the panel and what a portion of new alerts costs.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from benchmarks.suggestions_data import Signal, generate

SEEDS = (101, 102, 103, 104, 105)  # never tuned on


def pairs(count: int) -> int:
    """Pairs among ``count`` alerts."""
    return count * (count - 1) // 2


def entities(signal: Signal) -> Iterator[tuple[str, str]]:
    """A signal's entities, as incidents.entities has them of an alert."""
    from incidents.grouping import OBSERVED, ip_entities

    if signal.host:
        yield "host", signal.host
    if signal.user:
        yield "user", signal.user.lower()
    for address in {signal.source_ip, signal.dest_ip} - {""}:
        yield from ip_entities(address)
    if signal.group_key:
        yield "group_key", signal.group_key
    for kind, value in signal.observables:
        yield OBSERVED[kind], value
    yield "rule", signal.rule
    yield "habit", f"{signal.rule}\0{signal.host}"


def facts_of(signals: Sequence[Signal]) -> list[Any]:
    """What grouping knows of each signal, whose number is its place."""
    from incidents.grouping import Fact, key_for

    key_of = functools.cache(functools.partial(key_for, b""))
    return [
        Fact(number, signal.at.timestamp(), tuple(sorted({key_of(*one) for one in entities(signal)})))
        for number, signal in enumerate(signals)
    ]


def judge(signals: Sequence[Signal], groups: Collection[Collection[int]]) -> dict[str, Any]:
    """Pairwise precision and recall: of pairs suggested how many are of one attack, and of an attack's how many are."""
    attacks = Counter(signal.campaign for signal in signals if signal.campaign is not None)
    wanted, said, right = sum(map(pairs, attacks.values())), 0, 0
    for group in groups:
        said += pairs(len(group))
        inside = Counter(signals[number].campaign for number in group)
        right += sum(pairs(count) for attack, count in inside.items() if attack is not None)
    return {
        "precision": round(right / max(1, said), 4), "recall": round(right / wanted, 4), "groups": len(groups),
        "largest": max(map(len, groups), default=0), "attacks": len(attacks),
    }  # fmt: skip


def quality(seeds: Sequence[int], alerts: int) -> list[dict[str, Any]]:
    """Each seed's month, judged."""
    from incidents.grouping import Memory

    found = []
    for seed in seeds:
        signals = generate(seed, alerts=alerts)
        began = time.process_time()
        result = judge(signals, Memory(facts_of(signals)).groups())
        found.append({"seed": seed, **result, "cpu_seconds": round(time.process_time() - began, 1)})
        print(json.dumps(found[-1]), flush=True)
    return found


def fill(alerts: int, *, first: int = 0, seed: int = 1, busy: int = 200_000) -> None:
    """Store the newest ``alerts`` of generated months of ``busy`` alerts, as ingest would have; the last is of now."""
    from django.db import connection
    from django.utils import timezone

    done = 0
    while done < alerts:
        signals = generate(seed, alerts=busy)[-(alerts - done) :]
        shift = timezone.now() - signals[-1].at
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
            with connection.cursor() as cursor:
                cursor.execute(FILL, [json.dumps(rows[start : start + 5_000])])
        done, seed = done + len(signals), seed + 1


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
FROM generate_series(%s::bigint, %s::bigint) AS n, LATERAL (SELECT now() - interval '29 days' * n / %s AS at) AS t
"""


def ballast(count: int) -> None:
    """``count`` alerts over 29 days that grouping is not asked to look at."""
    from django.db import connection

    for start in range(1, count + 1, 50_000):
        with connection.cursor() as cursor:
            cursor.execute(BALLAST, [start, min(count, start + 49_999), count])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM incidents_suggestionqueue")


def speed(alerts: int, grouped: int, portion: int) -> dict[str, Any]:
    """The panel's time and a portion's cost at ``alerts`` alerts, of which ``grouped`` are grouped."""
    from incidents.suggestion_store import advance
    from incidents.suggestions import suggestions
    from opensoar.actors import Actor

    actor, began = Actor.system("benchmark"), time.monotonic()
    ballast(alerts - grouped)
    fill(grouped, busy=min(200_000, max(grouped, 20_000)))
    filled = time.monotonic()
    while advance():
        pass
    done = time.monotonic()
    times: list[float] = []
    for _ in range(30):
        start = time.perf_counter()
        shown = suggestions(actor)
        times.append((time.perf_counter() - start) * 1_000)
    fill_one(portion)
    start = time.perf_counter()
    while advance():
        pass
    cost = (time.perf_counter() - start) * 1_000 / portion
    return {
        "alerts": alerts, "grouped": grouped, "fill_seconds": round(filled - began), "group_seconds": round(done - filled),
        "shown": len(shown), "panel_ms_median": round(statistics.median(times), 1), "panel_ms_max": round(max(times), 1),
        "ms_per_new_alert": round(cost, 2),
    }  # fmt: skip


def fill_one(count: int) -> None:
    """``count`` new alerts, of an hour just before now."""
    fill(count, first=10**9, seed=9, busy=20_000)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suggestions", description=__doc__)
    parser.add_argument("what", choices=["quality", "speed"])
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--alerts", type=int, default=None)
    parser.add_argument(
        "--grouped", type=int, help="how many of the alerts are grouped; the others are ballast"
    )
    parser.add_argument("--portion", type=int, default=1_000)
    chosen = parser.parse_args(argv)
    if chosen.what == "quality":
        quality(chosen.seeds, chosen.alerts or 200_000)
    else:
        alerts = chosen.alerts or 1_000_000
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opensoar.settings")
        django.setup()
        print(json.dumps(speed(alerts, chosen.grouped or alerts, chosen.portion), indent=2))


if __name__ == "__main__":
    main()
