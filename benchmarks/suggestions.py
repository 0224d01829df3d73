"""How well suggestions find known attacks, and what they cost.

``python -m benchmarks.suggestions quality`` groups generated months (benchmarks.suggestions_data) with the pure core and
compares pairs of alerts; no database. ``python -m benchmarks.suggestions speed`` fills the database that Django is set
up for with alerts of such months, lets grouping follow, and measures the panel and what a portion of new alerts costs;
``python -m benchmarks suggestions`` does that with a database of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.filling import ballast, fill
from benchmarks.servers import in_process, servers
from benchmarks.suggestions_data import Signal, generate

# Nobody has tuned on these or looked at them. 1 to 3 were tuned on, 101 to 105 chose a constant, 201 to 205 are in the
# report (docs/suggestions.md).
SEEDS = (301, 302, 303, 304, 305)


def run(*, full: bool = False) -> dict[str, Any]:
    """The speed, on a database of its own; prints and returns the figures."""
    alerts, grouped = (1_000_000, 200_000) if full else (20_000, 5_000)
    with servers() as env:
        sizes = ("--alerts", str(alerts), "--grouped", str(grouped))
        results = in_process("benchmarks.suggestions", "speed", *sizes, env=env)
    for name, value in results.items():
        print(f"{name:20} {value:>10}")
    return results


def pairs(count: int) -> int:
    """Pairs among ``count`` alerts."""
    return count * (count - 1) // 2


def facts_of(signals: Sequence[Signal]) -> list[Any]:
    """What grouping knows of each signal, whose number is its place: by the code that knows alerts of the database."""
    from incidents.entities import know

    _exclude_nothing()
    return [know(alert_of(number, signal), signal.observables).fact for number, signal in enumerate(signals)]


def alert_of(number: int, signal: Signal) -> Any:
    """The alert that a signal becomes, stored nowhere; its id is ``number``."""
    from alerts.models import Alert

    return Alert(
        id=UUID(int=number), partner_id=UUID(int=0), created_at=signal.at, rule_name=signal.rule or None,
        hostname=signal.host or None, username=signal.user or None, group_key=signal.group_key or None,
        source_ip=signal.source_ip or None, dest_ip=signal.dest_ip or None,
    )  # fmt: skip


def _exclude_nothing() -> None:
    """What an admin excluded is asked for every two seconds; here is no database, and nothing is excluded."""
    from alerts import exclusions

    exclusions.current = exclusions.Exclusions  # type: ignore[assignment, misc]


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
    """Each seed's month, judged; the seconds are those of grouping."""
    from incidents.grouping import Memory

    found = []
    for seed in seeds:
        signals = generate(seed, alerts=alerts)
        facts = facts_of(signals)
        began = time.process_time()
        groups = Memory(facts).groups()
        spent = time.process_time() - began
        found.append({"seed": seed, **judge(signals, groups), "cpu_seconds": round(spent, 1)})
        print(json.dumps(found[-1]), flush=True)
    return found


def speed(alerts: int, grouped: int, portion: int) -> dict[str, Any]:
    """The panel's time and a portion's cost at ``alerts`` alerts, of which ``grouped`` are grouped."""
    from django.db import connection

    from incidents.suggestion_store import advance
    from incidents.suggestions import suggestions
    from opensoar.actors import Actor

    connection.ensure_connection()
    database = connection.connection
    actor, began = Actor.system("benchmark"), time.monotonic()
    ballast(database, alerts - grouped)
    fill(database, grouped, busy=min(200_000, max(grouped, 20_000)))
    filled = time.monotonic()
    while advance():
        pass
    done = time.monotonic()
    times: list[float] = []
    for _ in range(30):
        start = time.perf_counter()
        shown = suggestions(actor)
        times.append((time.perf_counter() - start) * 1_000)
    fill(database, portion, first=10**9, seed=9, busy=20_000)  # of an hour just before now
    start = time.perf_counter()
    while advance():
        pass
    cost = (time.perf_counter() - start) * 1_000 / portion
    return {
        "alerts": alerts, "grouped": grouped, "fill_seconds": round(filled - began), "group_seconds": round(done - filled),
        "shown": len(shown), "panel_ms_median": round(statistics.median(times), 1), "panel_ms_max": round(max(times), 1),
        "ms_per_new_alert": round(cost, 2),
    }  # fmt: skip


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
    parser.add_argument("--json", type=Path, help="where the figures go besides")
    chosen = parser.parse_args(argv)
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opensoar.settings")
    django.setup()
    found: Any
    if chosen.what == "quality":
        found = quality(chosen.seeds, chosen.alerts or 200_000)
    else:
        alerts = chosen.alerts or 1_000_000
        found = speed(alerts, chosen.grouped or alerts, chosen.portion)
        if not chosen.json:
            print(json.dumps(found, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
