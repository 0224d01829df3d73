"""An alert storm (W10 of the targets) on the real product: 100,000 alerts of one rule within a minute.

They come as NDJSON, half of them repeats, and one playbook matches. Meanwhile somebody who is signed in fetches the queue
and an incident; the limit is the same pages before the storm in the same run. When the last playbook has run, everything
is counted: what was answered is there byte for byte, and each alert, not each delivery, had its run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg

from benchmarks.filling import fill, leave_ungrouped
from benchmarks.servers import ROOT
from benchmarks.storm_traffic import PER_SECOND, SOURCE, Reader, Seen, at_share, bodies
from tests.product import RunningProduct

LIMIT = 2.0  # times as slow as before the storm
EVERY = 0.25  # seconds between two pages of the reader: two of each in a second
PHASES = ("before", "during", "after")  # after: until the last playbook has run
PLAYBOOK = f"""
from opensoar import action, playbook

@action(idempotent=True)
async def look(what):
    return {{"seen": what}}

@playbook(trigger="{SOURCE}")
async def look_once(alert):
    return await look(alert.get("source_ip"))
"""


class Size(NamedTuple):
    """How large it is."""

    standing: int  # alerts that are there before
    alerts: int  # of the storm, repeats among them
    calm: float  # seconds of reading before it
    comments: int  # on the incident's timeline


FULL = Size(200_000, 100_000, 60.0, 2_000)
QUICK = Size(5_000, 2_000, 10.0, 100)


def run(*, full: bool = False, standing: int | None = None, alerts: int | None = None) -> dict[str, Any]:
    """Measure, count, print the tables, return the figures."""
    size = FULL if full else QUICK
    size = size._replace(standing=standing or size.standing, alerts=(alerts or size.alerts) // 2 * 2)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder, "storm.py").write_text(PLAYBOOK)
        with RunningProduct(playbooks=Path(folder)) as product:
            results = Storm(product, size).measure()
    _print(results)
    return results


class Storm:
    """One storm on one running product."""

    def __init__(self, product: RunningProduct, size: Size) -> None:
        self.product, self.size = product, size
        servers = json.loads((product.data_dir / "run" / "environment.json").read_text())
        self.database = psycopg.connect(servers["DATABASE_URL"], autocommit=True)
        self.owner_url = servers["DATABASE_OWNER_URL"]

    def measure(self) -> dict[str, Any]:
        """Furnish the desk, read in the calm, let it storm, wait for the playbooks, count."""
        self._fill()
        pages = {"queue": "/alerts/", "incident": f"/incidents/{self._incident()}/"}
        cookies = self._signed_in()
        with self._sender() as sender:
            reader = Reader(self.product.url, cookies, pages, EVERY)
            reader.start()
            try:
                calm = time.perf_counter()
                time.sleep(self.size.calm)
                began = time.perf_counter()
                sent = _ask(sender, "go")
                ended, clock = time.perf_counter(), time.time()
                self._wait_for_runs()
                over = time.perf_counter()
            finally:
                reader.stop()
        return {
            "size": self.size._asdict(),
            "pages": _pages(reader.seen, (calm, began, ended, over)),
            "sent": {key: value for key, value in sent.items() if key != "began"},
            "last run ended, s after the storm": self._last_run_ended(clock),
            "counts": self._counts(sent),
            "pages that failed": sum(one.status != 200 for one in reader.seen),
        }

    def _fill(self) -> None:
        fill(self.database, self.size.standing, busy=max(self.size.standing, 20_000))
        # Grouping them would keep a worker busy for long and make the calm no calm.
        leave_ungrouped(self.database)
        with psycopg.connect(self.owner_url, autocommit=True) as owner:
            owner.execute("VACUUM ANALYZE")  # as on an installation that runs for longer than a minute

    def _incident(self) -> int:
        """The number of an incident with 50 alerts and a long timeline."""
        found = self.database.execute("SELECT id FROM alerts_alert ORDER BY id DESC LIMIT 50").fetchall()
        with self.product.client() as client:
            body = {"title": "Before the storm", "alert_ids": [str(pk) for (pk,) in found]}
            answer = client.post("/api/v1/incidents", json=body)
            assert answer.status_code == 201, answer.text
            incident = answer.json()
            for number in range(self.size.comments):
                path = f"/api/v1/incidents/{incident['id']}/comments"
                answer = client.post(path, json={"text": f"Looked at host {number}: nothing unusual"})
                assert answer.is_success, answer.text
        return int(incident["number"])

    def _signed_in(self) -> httpx.Cookies:
        """By the page, as everybody does."""
        with self.product.client("") as client:
            client.get("/accounts/login/")
            form = {
                "login": "admin",
                "password": self.product.credentials["OPENSOAR_ADMIN_PASSWORD"],
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
            }
            client.post("/accounts/login/", data=form)
            assert client.get("/alerts/").status_code == 200, "nobody is signed in"
            return client.cookies

    @contextmanager
    def _sender(self) -> Iterator[subprocess.Popen[str]]:
        """A process of its own that has made its bodies and waits for a word."""
        arguments = [
            self.product.url,
            self.product.credentials["OPENSOAR_INGEST_TOKEN"],
            str(self.size.alerts),
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.storm_traffic", *arguments],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the sender did not start"
            yield process
        finally:
            process.kill()
            process.wait()

    def _wait_for_runs(self) -> None:
        """Until no run of the storm is left to do; what never ends is counted as such."""
        deadline = time.monotonic() + 120 + self.size.alerts / 20
        while self._one(LEFT) and time.monotonic() < deadline:
            time.sleep(1)

    def _last_run_ended(self, clock: float) -> float | None:
        latest = self._one(LATEST)
        return None if latest is None else round(max(0.0, float(latest) - clock), 1)

    def _counts(self, sent: dict[str, Any]) -> dict[str, tuple[int, int]]:
        """What was found, and what had to be found."""
        half, unanswered = self.size.alerts // 2, set(sent["unanswered"])
        promised = {
            hashlib.md5(line).hexdigest()
            for number, lines in enumerate(bodies(self.size.alerts))
            if number not in unanswered
            for line in lines
        }
        kept = {digest for (digest,) in self.database.execute(BODIES, {"source": SOURCE}).fetchall()}
        return {
            "alerts": (self._one(ALERTS), half),
            "repeats counted": (self._one(REPEATS), sent["stored"] - half),
            "counters that differ from their deliveries": (self._one(MISCOUNTED), 0),
            "deliveries": (self._one(DELIVERIES), sent["stored"]),
            "lines answered, but not kept byte for byte": (len(promised - kept), 0),
            "requests never answered": (len(unanswered), 0),
            "deliveries in quarantine": (self._one(QUARANTINED), 0),
            "runs": (self._one(RUNS), half),
            "alerts without exactly one run": (self._one(NOT_ONE), 0),
            "runs without success": (self._one(FAILED), 0),
            "actions executed": (self._one(ACTIONS), half),
        }

    def _one(self, query: str) -> Any:
        row = self.database.execute(query, {"source": SOURCE}).fetchone()
        assert row is not None
        return row[0]


_OURS = "alerts_alert a WHERE a.source = %(source)s"
_OUR_RUNS = """playbooks_engine_playbookrun r JOIN playbooks_engine_sequence s ON s.id = r.sequence_id
JOIN alerts_alert a ON a.id = s.alert_id AND a.source = %(source)s"""
ALERTS = f"SELECT count(*) FROM {_OURS}"
REPEATS = f"""
SELECT coalesce(sum(duplicate_count - 1), 0)::bigint FROM alerts_alertcounter
WHERE alert_id IN (SELECT id FROM {_OURS})"""
MISCOUNTED = f"""
SELECT count(*) FROM alerts_alertcounter c WHERE alert_id IN (SELECT id FROM {_OURS})
  AND duplicate_count <> (SELECT count(*) FROM alerts_delivery d WHERE d.alert_id = c.alert_id)"""
DELIVERIES = "SELECT count(*) FROM alerts_delivery WHERE source = %(source)s"
QUARANTINED = f"{DELIVERIES} AND state = 'quarantined'"
BODIES = "SELECT md5(body) FROM alerts_delivery WHERE source = %(source)s"
RUNS = f"SELECT count(*) FROM {_OUR_RUNS}"
FAILED = f"{RUNS} WHERE r.state <> 'success'"
LATEST = f"SELECT extract(epoch FROM max(r.finished_at)) FROM {_OUR_RUNS}"
NOT_ONE = f"""
SELECT count(*) FROM {_OURS} AND 1 <> (
  SELECT count(*) FROM playbooks_engine_playbookrun r JOIN playbooks_engine_sequence s ON s.id = r.sequence_id
  WHERE s.alert_id = a.id)"""
ACTIONS = f"""
SELECT coalesce(sum(attempts), 0)::bigint FROM playbooks_engine_actionresult c
WHERE c.name = 'look' AND c.state = 'success' AND c.run_id IN (SELECT r.id FROM {_OUR_RUNS})"""
LEFT = "SELECT count(*) FROM playbooks_engine_sequence WHERE state IN ('ready', 'running', 'waiting')"


def _ask(process: subprocess.Popen[str], word: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return dict(json.loads(process.stdout.readline()))


def _pages(seen: list[Seen], moments: tuple[float, float, float, float]) -> dict[str, Any]:
    """Times of each page in each phase, and how many times as long it took during the storm as before it."""
    spans = dict(zip(PHASES, pairwise(moments), strict=True))
    found: dict[str, Any] = {}
    for page in sorted({one.page for one in seen}, reverse=True):
        row: dict[str, Any] = {}
        for phase, (start, end) in spans.items():
            times = [one.milliseconds for one in seen if one.page == page and start <= one.due < end]
            row[phase] = {"n": len(times), "p50_ms": at_share(times, 0.5), "p99_ms": at_share(times, 0.99)}
        for share in ("p50", "p99"):
            before, during = row["before"][f"{share}_ms"], row["during"][f"{share}_ms"]
            row[f"ratio_{share}"] = round(during / before, 2) if before and during else None
        found[page] = row
    return found


def _print(results: dict[str, Any]) -> None:
    size, sent = results["size"], results["sent"]
    print(
        f"storm of {size['alerts']} alerts, {PER_SECOND:.0f} a second, on {size['standing']} that are there"
    )
    print(f"{'page, ms':12}" + "".join(f"{phase:>8} p50 {'p99':>8} {'n':>5}" for phase in PHASES))
    for page, row in results["pages"].items():
        cells = "".join(f"{row[p]['p50_ms']!s:>12} {row[p]['p99_ms']!s:>8} {row[p]['n']:>5}" for p in PHASES)
        print(f"{page:12}{cells}")
    for page, row in results["pages"].items():
        told = f"{row['ratio_p50']} (p50), {row['ratio_p99']} (p99)"
        print(f"{page}: during the storm {told} times as long as before; limit {LIMIT}")
    if results["pages that failed"]:
        print(f"{results['pages that failed']} pages failed")
    print(
        f"sent {sent['per_second']} a second, asked for {PER_SECOND:.0f}; requests p50 {sent['p50_ms']} ms, "
        f"p99 {sent['p99_ms']} ms, {sent['refused']} sent again"
    )
    print(f"last run ended {results['last run ended, s after the storm']} s after the storm")
    print(f"{'counted':44} {'found':>9} {'must be':>9}")
    for name, (found, wanted) in results["counts"].items():
        print(f"{name:44} {found:>9} {wanted:>9}" + ("" if found == wanted else "  wrong"))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL.alerts} alerts instead of {QUICK.alerts}")
    parser.add_argument("--standing", type=int, help="alerts that are there before")
    parser.add_argument("--alerts", type=int, help="of the storm, repeats among them")
    options = parser.parse_args()
    run(full=options.full, standing=options.standing, alerts=options.alerts)


if __name__ == "__main__":
    main()
