"""Ingest (W1, W2 of the targets): the product beside the bare limit, interleaved in one run, on one durable PostgreSQL.

A figure on a shared machine means little; the ratio of two that were measured in turns means more. Medians of the
rounds are shown.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import limit
from benchmarks.servers import ROOT, ingest_token, servers

WEBHOOK = "/api/v1/webhooks/alerts"
CLIENTS = (1, 16, 64)
LINES = 1000


def run(*, full: bool = False) -> dict[str, Any]:
    """Measure, print a table, return the figures."""
    rounds, seconds = (3, 10.0) if full else (1, 5.0)
    with servers() as env:
        _make_limit_database(env)
        token = ingest_token(env)
        ports = {"product": _free_port(), "limit": _free_port()}
        with _web("opensoar.wsgi", ports["product"], env), _web("benchmarks.limit", ports["limit"], env):
            return _measure(ports, token, rounds, seconds)


def _make_limit_database(env: dict[str, str]) -> None:
    with psycopg.connect(env["ADMIN_DATABASE_URL"], autocommit=True) as connection:
        connection.execute('CREATE DATABASE "limit"')
    with psycopg.connect(env["LIMIT_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(limit.TABLES)


@contextmanager
def _web(module: str, port: int, env: dict[str, str]) -> Iterator[None]:
    granian = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", f"{module}:application"]
    options = ["--port", str(port), "--workers", "2", "--blocking-threads", "64", "--log-level", "error"]
    process = subprocess.Popen([*granian, *options], env=env, cwd=ROOT)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        time.sleep(2)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _measure(ports: dict[str, int], token: str, rounds: int, seconds: float) -> dict[str, Any]:
    results: dict[str, Any] = {}
    print(f"{'ingest':24} {'product/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'limit/s':>9} {'ratio':>6}")
    for clients in CLIENTS:
        runs = [
            {name: _load(ports[name], token, clients, seconds) for name in ("product", "limit")}
            for _ in range(rounds)
        ]
        name = f"{clients} client{'s' if clients > 1 else ''}"
        results[name] = _summary(runs)
        r = results[name]
        print(
            f"{name:24} {r['product']:>10} {r['p50_ms']:>8} {r['p99_ms']:>8} {r['limit']:>9} {r['ratio']:>6}"
            + (f"  {r['failed']} failed" if r["failed"] else "")
        )
    for clients in (1, 4):
        name = f"NDJSON x {LINES}, {clients} client{'s' if clients > 1 else ''}"
        streams = [_load(ports["product"], token, clients, seconds, LINES) for _ in range(rounds)]
        results[name] = {"product": statistics.median(s["alerts_per_second"] for s in streams)}
        print(f"{name:24} {results[name]['product']:>10}")
    return results


def _summary(runs: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    def middle(name: str, key: str) -> float:
        return float(statistics.median(run[name][key] for run in runs))

    ratios = [run["product"]["alerts_per_second"] / run["limit"]["alerts_per_second"] for run in runs]
    return {
        "product": middle("product", "alerts_per_second"),
        "p50_ms": middle("product", "p50_ms"),
        "p99_ms": middle("product", "p99_ms"),
        "limit": middle("limit", "alerts_per_second"),
        "ratio": round(statistics.median(ratios), 2),
        "failed": sum(run[name]["failed"] for run in runs for name in run),
    }


def _load(port: int, token: str, clients: int, seconds: float, lines: int = 0) -> dict[str, Any]:
    arguments = [str(port), WEBHOOK, token, str(clients), str(seconds), *([str(lines)] if lines else [])]
    command = [sys.executable, "-m", "benchmarks.load", *arguments]
    return dict(json.loads(subprocess.check_output(command, cwd=ROOT)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
