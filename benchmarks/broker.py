"""Ingest while the broker is away: what its senders notice, when the playbooks start, and that none is lost or doubled.

Five alerts a second while the broker is up, while it is killed (``--full``: for ten minutes), and when it is back.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from opensoar.embedded import Embedded
from tests.product import RunningProduct

PERIOD = 0.2  # seconds between two alerts
PLAYBOOK = """
import time
from pathlib import Path
from opensoar import playbook

@playbook(trigger="webhook")
async def first_line(alert):
    with Path({starts!r}).open("a") as book:
        book.write(f"{{alert.source_id}} {{time.time()}}\\n")
"""


def run(*, full: bool = False) -> dict[str, Any]:
    """Measure, print a table, return the figures by phase."""
    phases = {"up": 60.0, "down": 600.0, "back": 60.0} if full else {"up": 10.0, "down": 20.0, "back": 10.0}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        root = Path(folder)
        starts = root / "starts"
        (root / "playbooks").mkdir()
        (root / "playbooks" / "first.py").write_text(PLAYBOOK.format(starts=str(starts)))
        broker = Embedded(root / "broker", postgres=False)
        try:
            env = {"REDIS_URL": broker.start().redis_url}
            with RunningProduct(playbooks=root / "playbooks", env=env) as product:
                results = _measure(product, broker, starts, phases)
        finally:
            broker.destroy()
    for name, figures in results.items():
        print(f"{name:5}" + "  ".join(f"{key} {value}" for key, value in figures.items()))
    return results


def _measure(
    product: RunningProduct, broker: Embedded, starts: Path, phases: dict[str, float]
) -> dict[str, Any]:
    answered: dict[str, list[float]] = {}
    posted: dict[str, tuple[str, float]] = {}
    failed: Counter[str] = Counter()
    with product.client("OPENSOAR_INGEST_TOKEN") as client:
        for number in range(20):  # the first requests of a process are no measure
            client.post("/api/v1/webhooks/alerts", json={"title": "Warm", "id": f"warm-{number}"})
        for phase, seconds in phases.items():
            if phase == "down":
                broker.children.pop("valkey").stop()
            elif phase == "back":
                assert broker.valkey is not None
                broker.spawn(broker.valkey)
            for number in range(int(seconds / PERIOD)):
                name, began = f"{phase}-{number}", time.perf_counter()
                answer = client.post("/api/v1/webhooks/alerts", json={"title": "Alert", "id": name})
                took = time.perf_counter() - began
                failed[phase] += not answer.is_success
                answered.setdefault(phase, []).append(1000 * took)
                posted[name] = (phase, time.time())
                time.sleep(max(0.0, PERIOD - took))
        deadline = time.monotonic() + 30
        while len(_started(starts)) < len(posted) + 20 and time.monotonic() < deadline:
            time.sleep(0.2)
    lines = _started(starts)
    times = Counter(name for name, _ in lines)
    delays: dict[str, list[float]] = {}
    for name, at in lines:
        if name in posted:
            delays.setdefault(posted[name][0], []).append(at - posted[name][1])
    return {
        phase: {
            "alerts": len(answered[phase]),
            "failed": failed[phase],
            "answered p50 ms": round(statistics.median(answered[phase]), 2),
            "p99 ms": round(_at(answered[phase], 0.99), 1),
            "started p50 ms": round(1000 * statistics.median(delays[phase])),
            "latest ms": round(1000 * max(delays[phase])),
            "lost": sum(whose == phase and not times[name] for name, (whose, _) in posted.items()),
            "doubled": sum(whose == phase and times[name] > 1 for name, (whose, _) in posted.items()),
        }
        for phase in phases
    }


def _at(figures: list[float], share: float) -> float:
    return sorted(figures)[int(len(figures) * share)]


def _started(starts: Path) -> list[tuple[str, float]]:
    lines = starts.read_text().splitlines() if starts.exists() else []
    return [(line.split()[0], float(line.split()[1])) for line in lines if len(line.split()) == 2]


if __name__ == "__main__":
    run(full="--full" in sys.argv)
