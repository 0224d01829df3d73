"""The engine (W3, W4, W5 of the targets) on the real product, each beside its limit in the same run.

W3: from an accepted POST to the first line of the playbook, against a commit and a broker round trip. W4: runs of two
actions and a comment, all journalled, against one bare loop that writes the same rows. W5: runs that wait. Idle: what
the whole stack costs while nothing happens.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import redis

from opensoar.ids import uuid7
from tests.product import RunningProduct

TICKS = 100  # of /proc/<pid>/stat in a second
PLAYBOOKS = """
import asyncio, time
from pathlib import Path
from opensoar import action, add_current_alert_comment, playbook, sleep
STARTS = Path({starts!r})

@playbook(trigger="first")
async def first_line(alert):
    with STARTS.open("a") as book:
        book.write(f"{{alert.source_id}} {{time.time()}}\\n")

@action(idempotent=True)
async def look(what):
    return {{"seen": what}}

@playbook(trigger="work")
async def work(alert):
    await look("one")
    await look("two")
    await add_current_alert_comment("Looked twice")

@playbook(trigger="asleep")
async def asleep(alert):
    await asyncio.sleep(3600)

@playbook(trigger="durable")
async def durable(alert):
    await sleep(3600)

@playbook(trigger="due")
async def due(alert):
    await sleep(10)
"""


def run(*, full: bool = False) -> dict[str, Any]:
    """Measure, print a table, return the figures."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        starts = Path(folder) / "starts"
        (Path(folder) / "playbooks").mkdir()
        (Path(folder) / "playbooks" / "bench.py").write_text(PLAYBOOKS.format(starts=str(starts)))
        env = {"OPENSOAR_WORKER_RUNS": "12000", "OPENSOAR_WORKER_MEMORY_MB": "4000"}
        with RunningProduct(playbooks=Path(folder) / "playbooks", env=env) as product:
            bench = Bench(product, starts)
            results = {
                "idle": bench.idle(30 if full else 15),
                "W3": bench.first_line(300 if full else 60),
                "W4": bench.throughput(5000 if full else 1000),
                "W5": bench.waiting(10_000 if full else 2000, 20_000 if full else 2000),
            }
    for name, figures in results.items():
        print(f"{name:5}" + "  ".join(f"{key} {value}" for key, value in figures.items()))
    return results


class Bench:
    """The four measurements, on one running product."""

    def __init__(self, product: RunningProduct, starts: Path) -> None:
        self.product = product
        self.starts = starts
        self.servers = json.loads((product.data_dir / "run" / "environment.json").read_text())
        self.database = psycopg.connect(self.servers["DATABASE_URL"], autocommit=True)
        self.broker = redis.Redis.from_url(self.servers["REDIS_URL"])

    def idle(self, seconds: float) -> dict[str, Any]:
        """Processor time of the whole stack while nothing happens."""
        time.sleep(5)
        before = _processor(self.product.pids())
        time.sleep(seconds)
        used = _processor(self.product.pids()) - before
        return {"percent of a core": round(100 * used / seconds, 2)}

    def first_line(self, alerts: int) -> dict[str, Any]:
        """Five alerts a second; the playbook notes when it began."""
        posted, limits = {}, []
        with self.product.client("OPENSOAR_INGEST_TOKEN") as client:
            for number in range(alerts):
                began = time.time()
                client.post("/api/v1/webhooks/alerts/first", json={"title": "First", "id": f"n{number}"})
                posted[f"n{number}"] = time.time()
                limits.append(self._commit_and_round_trip())
                time.sleep(max(0.0, began + 0.2 - time.time()))
        _until(lambda: len(self._lines()) >= alerts, 30)
        delays = sorted(1000 * (at - posted[name]) for name, at in self._lines())
        limits.sort()
        return {
            "p50 ms": round(statistics.median(delays), 1),
            "p99 ms": round(delays[int(len(delays) * 0.99)], 1),
            "limit p50 ms": round(statistics.median(limits), 1),
            "limit p99 ms": round(limits[int(len(limits) * 0.99)], 1),
        }

    def _commit_and_round_trip(self) -> float:
        began = time.perf_counter()
        self.database.execute("UPDATE playbooks_engine_registrygeneration SET generation = generation")
        self.broker.ping()
        return 1000 * (time.perf_counter() - began)

    def _lines(self) -> list[tuple[str, float]]:
        lines = self.starts.read_text().splitlines() if self.starts.exists() else []
        return [(line.split()[0], float(line.split()[1])) for line in lines if len(line.split()) == 2]

    def throughput(self, alerts: int) -> dict[str, Any]:
        """All alerts are stored first, while no worker looks; then the time until every run has ended."""
        self._play("work", enabled=True)
        workers = self.product.pids("dramatiq")
        began = time.perf_counter()
        self._send("work", alerts)
        _until(lambda: self._count("work", "success") >= alerts, 600)
        took = time.perf_counter() - began
        assert workers == self.product.pids("dramatiq"), "a worker was restarted meanwhile"
        bare = self._bare_loop(min(alerts, 1000))
        return {
            "runs/s": round(alerts / took, 1),
            "limit runs/s": round(bare, 1),
            "ratio": round(alerts / took / bare, 2),
        }

    def _bare_loop(self, runs: int) -> float:
        """One connection that writes, run by run, the rows that a run writes: in the commits that it must make."""
        connection = psycopg.connect(self.servers["DATABASE_OWNER_URL"])
        cursor = connection.cursor()
        cursor.execute(
            "CREATE SCHEMA bench; SET search_path = bench;"
            "CREATE TABLE call (id uuid PRIMARY KEY, run uuid, key text, input text, output text, state text);"
            "CREATE TABLE attempt (id uuid PRIMARY KEY, call uuid, state text);"
            "CREATE TABLE run (id uuid PRIMARY KEY, state text, result text);"
            "CREATE TABLE entry (id uuid PRIMARY KEY, text text)"
        )
        connection.commit()
        began = time.perf_counter()
        for _ in range(runs):
            run = uuid7()
            cursor.execute("INSERT INTO run VALUES (%s, 'running', NULL)", (run,))
            cursor.execute("INSERT INTO entry VALUES (%s, 'started')", (uuid7(),))
            connection.commit()
            for step in range(3):
                call, attempt = uuid7(), uuid7()
                cursor.execute(
                    "INSERT INTO call VALUES (%s, %s, %s, '{}', NULL, 'started')", (call, run, str(step))
                )
                cursor.execute("INSERT INTO attempt VALUES (%s, %s, 'started')", (attempt, call))
                if step == 2:
                    cursor.execute("INSERT INTO entry VALUES (%s, 'comment')", (uuid7(),))
                connection.commit()
                cursor.execute("UPDATE attempt SET state = 'success' WHERE id = %s", (attempt,))
                cursor.execute("UPDATE call SET state = 'success', output = '{}' WHERE id = %s", (call,))
            cursor.execute("UPDATE run SET state = 'success', result = 'null' WHERE id = %s", (run,))
            cursor.execute("INSERT INTO entry VALUES (%s, 'finished')", (uuid7(),))
            connection.commit()
        return runs / (time.perf_counter() - began)

    def waiting(self, in_memory: int, durable: int) -> dict[str, Any]:
        """Memory of the worker with so many runs in asyncio.sleep, and after as many went to sleep durably."""
        base = self._worker_mb()
        self._send("durable", durable)
        _until(lambda: self._count("durable", "waiting") >= durable, 600)
        parked = self._worker_mb()
        self._send("asleep", in_memory)
        _until(lambda: self._count("asleep", "running") >= in_memory, 600)
        asleep = self._worker_mb()
        self._send("due", 100)
        _until(lambda: self._count("due", "success") >= 100, 120)
        late = self.database.execute(
            "SELECT max(extract(epoch FROM finished_at - wake_at)) FROM playbooks_engine_actionresult c "
            "WHERE kind = 'sleep' AND state = 'success'"
        ).fetchone()
        return {
            "worker MB": base, f"with {durable} durable": parked, f"with {in_memory} in asyncio.sleep": asleep,
            "latest timer s": round(float(late[0]), 2) if late else None,
        }  # fmt: skip

    def _worker_mb(self) -> int:
        return max(_resident(pid) for pid in self.product.pids("dramatiq")) // 1_000_000

    def _play(self, name: str, *, enabled: bool) -> None:
        with self.product.client() as client:
            found = next(p for p in client.get("/api/v1/playbooks").json() if p["name"] == name)
            client.patch(f"/api/v1/playbooks/{found['id']}", json={"enabled": enabled})

    def _send(self, source: str, alerts: int) -> None:
        with self.product.client("OPENSOAR_INGEST_TOKEN") as client:
            for start in range(0, alerts, 1000):
                lines = (
                    json.dumps({"title": f"{source} {n}", "id": f"{source}-{n}"})
                    for n in range(start, min(start + 1000, alerts))
                )
                answer = client.post(
                    f"/api/v1/webhooks/alerts/{source}", content="\n".join(lines),
                    headers={"Content-Type": "application/x-ndjson"}, timeout=120,
                )  # fmt: skip
                assert answer.json()["accepted"] + answer.json()["duplicates"] > 0, answer.text

    def _count(self, playbook: str, state: str) -> int:
        row = self.database.execute(
            "SELECT count(*) FROM playbooks_engine_playbookrun r JOIN playbooks_engine_playbook p "
            "ON p.id = r.playbook_id WHERE p.name = %s AND r.state = %s",
            (playbook, state),
        ).fetchone()
        return int(row[0]) if row else 0


def _until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("the benchmark did not end in time")
        time.sleep(0.1)


def _processor(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    run()
