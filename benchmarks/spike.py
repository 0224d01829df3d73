"""Where the time of a webhook goes (W1, W2 of the targets): one alert, its repeat, and NDJSON of 1,000 alerts.

The product's own functions on a durable PostgreSQL, called in one process as its web server calls them. So that stages
neither overlap nor wait for Python's lock, request and commit run in one thread; what the two threads of a real request
cost is the difference of the totals. Medians of many requests: what happens once in seconds (a token read anew) is in
the totals of those requests alone.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.servers import in_process, ingest_token, servers

TOTALS = {
    "probed": "all, in one thread, with probes",
    "unprobed": "all, in one thread, without probes",
    "served": "all, as a web process does it: one thread reads, one commits",
}


def run(*, full: bool = False, standing: int = 0) -> dict[str, Any]:
    """Measure on so many alerts that are there before, print a table, return microseconds for each alert."""
    requests = ("--requests", "2000", "--bulks", "30") if full else ("--requests", "200", "--bulks", "4")
    with servers() as env:
        env["BENCHMARK_TOKEN"] = ingest_token(env)
        sizes = (*requests, "--standing", str(standing))
        results = in_process("benchmarks.spike_inside", *sizes, env=env)
    _print(results, standing)
    return results


def _print(results: dict[str, Any], standing: int) -> None:
    print(f"{f'µs for each alert, {standing} are there':66}" + "".join(f"{name:>22}" for name in results))
    for stage in dict.fromkeys(stage for found in results.values() for stage in found["stages"]):
        cells = (_cell(found["stages"].get(stage), found["probed"]) for found in results.values())
        print(f"{stage:66}" + "".join(cells))
    for key, label in TOTALS.items():
        print(f"{label:66}" + "".join(f"{found[key]:>15.1f}       " for found in results.values()))


def _cell(microseconds: float | None, total: float) -> str:
    if microseconds is None:
        return f"{'-':>15}       "
    return f"{microseconds:>15.1f} {microseconds / total:>5.1%} "


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spike", description=__doc__)
    parser.add_argument("--full", action="store_true", help="ten times as many requests")
    parser.add_argument("--standing", type=int, default=0, help="alerts that are there before")
    options = parser.parse_args()
    run(full=options.full, standing=options.standing)


if __name__ == "__main__":
    main()
