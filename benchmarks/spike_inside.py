"""The process that benchmarks.spike measures: ``python -m benchmarks.spike_inside``, with the environment of a product."""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import django

from benchmarks.load import alert
from benchmarks.probes import Stopwatch

LINES = 1000
WARM = 0.1  # of the requests are sent before anything is measured: statements are prepared by then
SQL = "SQL: "
# Where the product calls it by which name, and as what it is measured. What no line names is in the one around it.
STAGES = (
    ("alerts.webhooks:authenticate", "authenticate"),
    ("alerts.rates:take", "rate of the token"),
    ("alerts.rates:charge", "rate of the token"),
    ("alerts.webhooks:_read", "read the body"),
    ("alerts.intake:parse_body", "parse"),
    ("alerts.webhooks:parse_item", "parse"),
    ("alerts.sources:detect", "detect the source"),
    ("alerts.intake:is_source", "settings of the source"),
    ("alerts.intake:settings_of", "settings of the source"),
    ("alerts.sources.base:walk", "normalise: walk the payload"),
    ("alerts.sources.mapping:extract_walk", "observables"),
    ("alerts.sources.mapping:public_groups", "observables"),
    ("alerts.intake:mark", "exclusions"),
    ("alerts.intake:_fingerprint", "fingerprint and hashes"),
    ("alerts.incoming:dedupe_key", "fingerprint and hashes"),
    ("alerts.ingest_rows:_content_hash", "fingerprint and hashes"),
    ("alerts.ingest_rows:_hash", "fingerprint and hashes"),
    ("alerts.incoming:hiding", "suppressions"),
    ("alerts.ingest_rows:alert_row", "build rows: alerts"),
    ("alerts.ingest_rows:Observables.add", "build rows: observables and links"),
    ("alerts.ingest_rows:Observables.parameters", "build rows: observables and links"),
    ("alerts.ingest:_delivery", "build rows: deliveries"),
    ("alerts.ingest_rows:_delivery_parameters", "build rows: deliveries"),
    ("alerts.webhooks:read_item", "rest of reading an alert"),
    ("alerts.intake:read_item", "rest of reading an alert"),
    ("alerts.ingest:_announce", "match playbooks"),
    ("alerts.ingest:_announce_observables", "match playbooks"),
    ("alerts.ingest:follow", "what a repeat changes"),
    ("psycopg:Connection.commit", "COMMIT"),
    ("alerts.committer:store", "rest of the transaction"),
    ("alerts.webhooks:_result", "answer"),
    ("alerts.webhooks:_summary", "answer"),
    ("alerts.webhooks:_one", "answer"),
    ("alerts.webhooks:_answer", "answer"),
    ("alerts.webhooks:handle", "rest of the request"),
)
_WHAT = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+\"?(\w+)")


class Kind:
    """One kind of request: ``make`` gives its next body, which holds ``alerts`` of them."""

    def __init__(self, requests: int, alerts: int, content_type: str, make: Callable[[], bytes]) -> None:
        self.requests, self.alerts = requests, alerts
        self.content_type, self.make = content_type, make

    def send(self) -> float:
        """Have one answered; the seconds."""
        from alerts import webhooks

        body = self.make()
        environ = {
            "PATH_INFO": "/api/v1/webhooks/alerts", "REQUEST_METHOD": "POST", "CONTENT_TYPE": self.content_type,
            "CONTENT_LENGTH": str(len(body)), "HTTP_AUTHORIZATION": f"Bearer {os.environ['BENCHMARK_TOKEN']}",
            "wsgi.input": io.BytesIO(body),
        }  # fmt: skip
        began = perf_counter()
        answer = webhooks.handle(environ)
        took = perf_counter() - began
        assert answer.status == 200, answer.body
        return took

    def times(self) -> list[float]:
        """Microseconds of so many requests, for each alert."""
        for _ in range(max(2, int(self.requests * WARM))):
            self.send()
        return [1e6 * self.send() / self.alerts for _ in range(self.requests)]

    def stages(self, watch: Stopwatch) -> tuple[dict[str, float], float]:
        """The medians of every stage and of the whole, in microseconds for each alert."""
        seen: list[dict[str, float]] = []
        for number in range(-max(2, int(self.requests * WARM)), self.requests):
            watch.reset()
            self.send()
            if number >= 0:
                seen.append(watch.reset())
        names = dict.fromkeys(name for one in seen for name in one)
        medians = {name: self._median([one.get(name, 0.0) for one in seen]) for name in names}
        return medians, self._median([sum(one.values()) for one in seen])

    def _median(self, seconds: list[float]) -> float:
        return 1e6 * statistics.median(seconds) / self.alerts


def kinds(requests: int, bulks: int) -> dict[str, Kind]:
    """The three that are measured."""
    known = alert()
    return {
        "one alert": Kind(requests, 1, "application/json", alert),
        "a repeat": Kind(requests, 1, "application/json", lambda: known),
        f"NDJSON x {LINES}": Kind(
            bulks, LINES, "application/x-ndjson", lambda: b"\n".join(alert() for _ in range(LINES))
        ),
    }


def in_one_thread() -> None:
    """From now on who hands alerts over stores them as well, on the committer's own connection."""
    from alerts import committer, senders, webhooks

    def store_at_once(self: committer.Committer, ticket: committer.Ticket) -> committer.Ticket:
        self._commit([ticket])
        return ticket

    committer.committer.close()
    committer._use_own_connection()
    committer.Committer._queue = store_at_once  # type: ignore[method-assign]
    # There is but one connection now, and it stays open as the committer's does.
    webhooks.release_connection = senders.release_connection = lambda: None


def probe(watch: Stopwatch) -> None:
    """Put the probes into the product."""
    from alerts import sources

    for slug in sources.SLUGS:
        watch.put(f"alerts.sources.{slug}:normalise", "normalise")
    sources.get.cache_clear()  # it keeps the functions as they were
    watch.put("alerts.bodies:lines", "read the body", steps=True)
    watch.put("psycopg:Cursor.execute", statement)
    for place, stage in STAGES:
        watch.put(place, stage)


def statement(_cursor: Any, query: Any, *_parameters: Any) -> str:
    """What a statement is called: as ingest calls it, or by its first words. The first of a transaction brings BEGIN."""
    from alerts import ingest_rows as rows

    named = {
        rows.INSERT_NEW: "insert alerts, counters, deliveries, observables, links",
        rows.LINK: "link with observables that others stored",
        rows.FIND_KNOWN: "find alerts by their keys",
        rows.FIND_ADDED: "find which observables are new",
        rows.COUNT_AGAIN: "count repeats",
        rows.DELIVER: "insert deliveries",
    }
    text = query if isinstance(query, str) else str(query)
    if text in named:
        return SQL + named[text]
    text = text.lstrip()
    table = _WHAT.search(text)
    return f"{SQL}{text.split(None, 1)[0]} {table[1] if table else ''}".rstrip()


def ordered(stages: dict[str, float]) -> Iterator[tuple[str, float]]:
    """As a request meets them, statements before the commit; without what most requests have nothing of."""
    place = {stage: float(number) for number, (_place, stage) in enumerate(reversed(STAGES))}
    place["normalise"] = place["normalise: walk the payload"] + 0.5

    def key(name: str) -> float:
        return -(place["COMMIT"] + 0.5 if name.startswith(SQL) else place[name])

    yield from ((name, round(stages[name], 1)) for name in sorted(stages, key=key) if stages[name] > 0)


def main() -> None:
    """Measure, and write the figures into a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spike_inside", description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--bulks", type=int, default=4)
    parser.add_argument("--standing", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    django.setup()
    _fill(options.standing)
    gc.freeze()  # as the web process does once everything is loaded
    every = kinds(options.requests, options.bulks)
    served = {name: statistics.median(kind.times()) for name, kind in every.items()}
    in_one_thread()
    unprobed = {name: statistics.median(kind.times()) for name, kind in every.items()}
    watch = Stopwatch()
    probe(watch)
    results = {}
    for name, kind in every.items():
        stages, probed = kind.stages(watch)
        totals = {"probed": probed, "unprobed": unprobed[name], "served": served[name]}
        results[name] = {"stages": dict(ordered(stages))} | {
            key: round(value, 1) for key, value in totals.items()
        }
    options.json.write_text(json.dumps(results, indent=2) + "\n")


def _fill(standing: int) -> None:
    from django.db import connection

    from benchmarks.filling import fill, leave_ungrouped

    if standing:
        connection.ensure_connection()
        fill(connection.connection, standing, busy=max(20_000, min(standing, 200_000)))
        leave_ungrouped(connection.connection)
        connection.close()


if __name__ == "__main__":
    main()
