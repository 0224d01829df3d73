"""Load and faults at random, seeded times; then silence, and the verdict. ``python -m tests.chaos --help``."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psycopg

from opensoar.embedded.process import wait_until
from tests.chaos.invariants import Record, read_ledger, replays, verdict
from tests.chaos.stack import LEASE, Forked, Stack, works

CALLS_PER_ALERT = 25
QUIET_SECONDS = 90.0  # without anything ending, before all is at rest: something is stuck
MOST_QUIET_SECONDS = 900.0
TEMPO = {
    "kill": 0.75,
    "pause": 1.2,
    "crash": 3.0,
    "flush": 0.2,
}  # seconds of the schedule for one fault of a kind
HELD_SECONDS = max(LEASE, 2.0) + 1.0  # settings.py, and a second for a machine that is busy
# Open transactions: whose, for how long, and whom they wait for.
OLD = """
WITH RECURSIVE waits AS (
    SELECT pid, pid AS behind FROM pg_stat_activity
    UNION SELECT waits.pid, unnest(pg_blocking_pids(waits.behind)) FROM waits
)
SELECT application_name, extract(epoch FROM clock_timestamp() - xact_start)::float,
    (SELECT array_agg(b.application_name) FROM waits JOIN pg_stat_activity b ON b.pid = waits.behind WHERE waits.pid = a.pid),
    state, wait_event, left(query, 80)
FROM pg_stat_activity a WHERE backend_type = 'client backend' AND application_name <> 'chaos' AND datname = 'opensoar'
AND xact_start < clock_timestamp() - interval '1 s'"""


class Chaos:
    """One run."""

    def __init__(self, options: argparse.Namespace, stack: Stack) -> None:
        self.options, self.stack = options, stack
        self.dice = random.Random(options.seed)
        self.workers: list[Forked] = []
        self.sender: Forked | None = None
        self.paused: dict[Forked, float] = {}  # since when
        self.resumed: dict[Forked, float] = {}  # when
        self.record = Record(stack.root, [], faults=not options.no_faults)
        self.done: dict[str, int] = defaultdict(int)
        self.outages: list[tuple[float, float]] = []
        self.over = threading.Event()
        self.poller = Poller(self)

    # --- what happens ------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        began = time.time()
        self.workers = [self.stack.spawn("worker") for _ in range(self.options.workers)]
        self.stack.wait_for_workers(self.options.workers)
        self.stack.spawn("person")
        poller = threading.Thread(target=self.poller.run, daemon=True)
        poller.start()
        counts = {"kill": self.options.kills, "pause": self.options.pauses, "crash": self.options.pg_crashes}
        counts["flush"] = self.options.flushes
        if self.options.no_faults:
            counts = {}
        seconds = max(5.0, sum(TEMPO[kind] * count for kind, count in counts.items())) * self.options.pace
        alerts = -(-self.options.calls // CALLS_PER_ALERT)
        load = ("sender", alerts, seconds, time.time())
        self.sender = self.stack.spawn(*load)
        schedule = sorted(
            (self.dice.uniform(0.3, seconds), kind) for kind, n in counts.items() for _ in range(n)
        )
        start = time.monotonic()
        for moment, kind in schedule:
            while (left := start + moment - time.monotonic()) > 0:
                self._resume_due()
                time.sleep(min(left, 0.05))
            getattr(self, f"_{kind}")(load)
        quiet = self._quiet(alerts, start + seconds)
        self.over.set()
        poller.join(10)
        return self._report(quiet, alerts, time.time() - began)

    def _kill(self, load: tuple[Any, ...]) -> None:
        """A worker, now and then a process of its own or the sender: ``kill -9``; what ended is started anew."""
        self.done["kill"] += 1
        die = self.dice.random()
        if die < 0.1 and self.sender is not None:
            self.sender.signal(signal.SIGKILL)
            self.sender.wait(5)
            self.sender = self.stack.spawn(*load)
        elif die < 0.3 and (isolated := self._isolated()):
            self._end(self.dice.choice(isolated))
        else:
            number = self.dice.randrange(len(self.workers))
            self._end(self.workers[number])
            self.workers[number] = self.stack.spawn("worker")

    def _end(self, victim: Forked) -> None:
        victim.signal(signal.SIGKILL)
        self._wake(victim)

    def _wake(self, victim: Forked) -> None:
        if victim in self.paused:
            self.resumed[victim] = time.time()
            self.record.pauses.append((victim.pid, self.paused.pop(victim), time.time()))
            victim.signal(signal.SIGCONT)

    def _isolated(self) -> list[Forked]:
        """What workers started themselves, for runs under which a process had died twice."""
        return [victim for victim in self.stack.isolated() if victim not in self.paused]

    def _pause(self, _: object) -> None:
        """SIGSTOP beyond the lease; ``_resume_due`` ends it."""
        awake = [worker for worker in self.workers if worker not in self.paused]
        if self.dice.random() < 0.2:
            awake = self._isolated() or awake
        if awake:
            victim = self.dice.choice(awake)
            self.paused[victim] = time.time()
            victim.signal(signal.SIGSTOP)
            self.done["pause"] += 1

    def _crash(self, _: object) -> None:
        since = time.time()
        self.stack.crash_postgres()
        time.sleep(self.dice.uniform(0.0, 1.0))
        self.stack.restart_postgres()
        self.outages.append((since, time.time()))
        self.done["crash"] += 1

    def _flush(self, _: object) -> None:
        self.stack.flush_broker()
        self.done["flush"] += 1

    def _resume_due(self) -> None:
        for victim, since in list(self.paused.items()):
            if time.time() - since > LEASE * 1.7:
                self._wake(victim)

    def _quiet(self, alerts: int, load_until: float) -> bool:
        """Wait until nothing is left to do; False when nothing moves any more before that."""
        while time.monotonic() < load_until or self.paused:
            self._resume_due()
            time.sleep(0.05)
        began = moved = time.monotonic()
        last: tuple[int, ...] = ()
        with self.stack.connect() as connection:
            while time.monotonic() < min(moved + QUIET_SECONDS, began + MOST_QUIET_SECONDS):
                stored = len(self.record.lines("acknowledged"))
                row = connection.execute(
                    "SELECT count(*) FILTER (WHERE state <> 'done'), count(*) FILTER (WHERE state = 'done') "
                    "FROM playbooks_engine_sequence"
                ).fetchone()
                assert row is not None
                if stored == alerts and row[0] == 0:
                    return True
                if (now := (stored, *row)) != last:
                    last, moved = now, time.monotonic()
                time.sleep(0.2)
        return False

    # --- what is said ------------------------------------------------------------------------------------------

    def _report(self, quiet: bool, alerts: int, seconds: float) -> dict[str, Any]:
        self.record.ledger = read_ledger(self.stack.ledger)
        with self.stack.connect() as connection:
            found = verdict(connection, self.record)
            marked = connection.execute(
                "SELECT count(*) FILTER (WHERE repeated), count(*) FROM playbooks_engine_actionresult"
            ).fetchone()
        assert marked is not None
        again = replays(self.record)
        found["isolated processes that do not end"] = (
            [] if wait_until(lambda: not self.stack.isolated(), 10) else ["not within 10 s"]
        )
        found["everything at rest in time"] = [] if quiet else [f"nothing moved for {QUIET_SECONDS:g} s"]
        found["replays only, and surely, under faults"] = (
            [] if (again > 0) == bool(self.done["kill"] or self.done["pause"]) else [f"{again} replays"]
        )
        return {
            "seed": self.options.seed, "seconds": round(seconds, 1), "alerts": alerts, "calls": marked[1],
            "effects": len(self.record.effects), "replays": again, "repeats marked": marked[0],
            "questions answered": len(self.record.lines("answers")),
            "isolated processes": len(set(self.poller.pids.values()) - self.stack.forked), "faults": dict(self.done),
            "stale sends after a pause (documented)": sum(map(self.record.is_stale, self.record.effects)),
            "violations": found,
        }  # fmt: skip


class Poller:
    """Looks at the running engine from outside, for what only shows while it lasts."""

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        self.seen = chaos.record.polled
        self.pids: dict[str, int] = {}
        self.orphaned: dict[tuple[str, int], float] = {}
        for name in (
            "two live runs of a sequence",
            "running beyond lease + 5 s",
            "transactions older than 1 s",
        ):
            self.seen[name] = []

    def run(self) -> None:
        while not self.chaos.over.is_set():
            with contextlib.suppress(psycopg.Error), self.chaos.stack.connect() as connection:
                while not self.chaos.over.wait(0.25):
                    self._look(connection)
            time.sleep(0.1)

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        def rows(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]

        self.pids |= dict(rows("SELECT id::text, pid FROM playbooks_engine_workerbeat"))
        self.seen["two live runs of a sequence"] += [
            str(row)
            for row in rows(
                "SELECT sequence_id FROM playbooks_engine_playbookrun "
                "WHERE state IN ('running', 'waiting', 'needs_attention') GROUP BY 1 HAVING count(*) > 1"
            )
        ]
        self.seen["transactions older than 1 s"] += [str(row) for row in self._old_transactions(rows(OLD))]
        self._orphans(
            rows(
                "SELECT id::text, fence, claimed_by::text FROM playbooks_engine_sequence WHERE state = 'running'"
            )
        )

    def _old_transactions(self, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Who is held keeps its transaction open, and others may wait for it: PostgreSQL ends that after a lease.

        Who has not announced itself yet, and loads its playbooks, runs no call.
        """
        announced = {f"worker-{pid}" for pid in self.pids.values()}
        found = [row for row in found if not row[0].startswith("worker-") or row[0] in announced]
        ended = [victim for victim, until in list(self.chaos.resumed.items()) if until > time.time() - 1]
        held = {victim.application for victim in [*self.chaos.paused, *ended]}
        return [
            row
            for row in found
            if row[1] > (HELD_SECONDS if row[0] in held or held.intersection(row[2]) else 1)
        ]

    def _orphans(self, claimed: list[tuple[str, int, str]]) -> None:
        """Sequences that are "running" while their worker is dead or held; time without a database does not count."""
        now, before = time.time(), self.orphaned
        self.orphaned = {}
        for sequence, fence, worker in claimed:
            if works(self.pids.get(worker, 0)):
                continue
            since = self.orphaned[sequence, fence] = before.get((sequence, fence), now)
            outage = sum(until - began for began, until in self.chaos.outages if began > since - 5)
            if now - since > LEASE + 5 + outage:
                self.seen["running beyond lease + 5 s"].append(f"{sequence} {worker} {now - since:.1f} s")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", default=str(random.randrange(1_000_000)))
    numbers = {"calls": 2000, "kills": 30, "pauses": 10, "pg-crashes": 2, "flushes": 5, "workers": 3}
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument(
        "--pace", type=float, default=1.0, help="spread load and faults over so many times the time"
    )
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--mishaps", type=float, default=0.06, help="share of calls the simulator spoils")
    parser.add_argument("--playbooks", type=Path, default=Path(__file__).parent / "playbooks")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--keep", type=Path, help="copy ledger and logs here")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {options.seed}", flush=True)
    mishaps = 0.0 if options.no_faults else options.mishaps
    with Stack(options.playbooks, seed=options.seed, mishaps=mishaps) as stack:
        try:
            report = Chaos(options, stack).run()
        finally:
            if options.keep:
                _keep(stack.root, options.keep)
    for name, value in report.items():
        if name != "violations":
            print(f"{name:40} {value}")
    for name, found in report["violations"].items():
        print(f"{'VIOLATED' if found else 'held':8} {name:45} {len(found)}")
        for line in found[:5]:
            print(f"         {line[:300]}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    return int(any(report["violations"].values()))


def _keep(root: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in [*root.glob("*.log"), root / "ledger", root / "acknowledged", root / "answers"]:
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
