"""What open pages cost (W7) and what a browser waits for (W9 of the targets), on the demo's week.

W7 is held against a view that does nothing, asked in turns; the processor's time is that of the web processes. W9 is
the browser's own count of its first visit to the queue, and the bytes of a click.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.desk import DemoProduct, Desk, find_chromium
from tests.e2e.places import Places, find_places
from tests.e2e.weight import client_of, first_view, zipped

PAGES, EVERY = 200, 3.0  # open pages, seconds between two polls of each
TICKS = 100  # of /proc/<pid>/stat in a second
PAINT = """() => new Promise(done => new PerformanceObserver(list => done(list.getEntries().at(-1).startTime))
  .observe({type: "largest-contentful-paint", buffered: true}))"""
SHIFT = """() => new Promise(done => { let sum = 0;
  new PerformanceObserver(list => { for (const entry of list.getEntries()) sum += entry.value; })
    .observe({type: "layout-shift", buffered: true});
  setTimeout(() => done(sum), 100) })"""


def run(*, full: bool = False) -> dict[str, Any]:
    """Measure, print two tables, return the figures."""
    with DemoProduct() as product, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        desk = Desk(product, browser)
        places = find_places(desk)
        with client_of(desk, "priya") as client:
            results = {
                "polls": _polls(product, client, places, 2000 if full else 500),
                "browser": _browser(desk, browser, client, places, 9 if full else 3),
            }
        desk.leave()
        browser.close()
    return results


def _polls(product: DemoProduct, client: httpx.Client, places: Places, times: int) -> dict[str, Any]:
    rows = client.get("/alerts/").text.split('<tr role="row" id="')[1:]
    ids = ",".join(row[: row.index('"')] for row in rows)
    since = client.get("/alerts/").text.split("since=")[1][:36]
    urls = {
        "nothing (/livez)": "/livez",
        "queue": f"/alerts/live/?status=open&since={since}&rows={ids}",
        "alert": f"{places.linked}live/",
        "incident": f"{places.incidents['investigating']}live/",
        "incident list": "/incidents/live/",
    }
    _row("poll that finds nothing", "status", "p50 ms", "p95 ms", "cpu ms", f"{PAGES} pages, % of a core")
    results = {}
    for name, url in urls.items():
        seen = client.get(url, headers={"X-Seen": "-"}).headers.get("X-Seen", "")
        row = _many(
            product,
            lambda url=url, seen=seen: client.get(url, headers={"X-Seen": seen, "HX-Request": "true"}),
            times,
        )  # type: ignore[misc]
        row["core_percent"] = round(PAGES / EVERY * row["cpu_ms"] / 10, 1)
        results[name] = row
        _row(name, *row.values())
    return results


def _row(name: str, *values: object) -> None:
    print(f"{name:24}" + "".join(f" {value!s:>8}" for value in values))


def _many(product: DemoProduct, ask: Callable[[], httpx.Response], times: int) -> dict[str, Any]:
    took = []
    before = _processor(product)
    for _ in range(times):
        began = time.perf_counter()
        answer = ask()
        took.append(1000 * (time.perf_counter() - began))
    used = _processor(product) - before
    took.sort()
    return {
        "status": answer.status_code,
        "p50_ms": round(statistics.median(took), 2),
        "p95_ms": round(took[int(len(took) * 0.95)], 2),
        "cpu_ms": round(1000 * used / times, 2),
    }


def _processor(product: DemoProduct) -> float:
    """Seconds of processor time that the web processes have used."""
    total = 0
    for pid in product.pids("granian"):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _browser(
    desk: Desk, browser: Browser, client: httpx.Client, places: Places, rounds: int
) -> dict[str, Any]:
    paints, shifts = [], []
    for _ in range(rounds):
        page = desk.sit()  # with an empty cache
        page.goto("/alerts/", wait_until="networkidle")
        paints.append(page.evaluate(PAINT))
        shifts.append(page.evaluate(SHIFT))
        page.close()
    sizes = first_view(desk.sit(), client, "/alerts/")
    swap = {"HX-Request": "true", "X-Seen": "-"}
    results = {
        "first view, kB": round(sum(sizes.values()) / 1000, 1),
        **{f"  of it {part}, kB": round(size / 1000, 1) for part, size in sizes.items()},
        "largest paint, ms": round(statistics.median(paints)),
        "layout shift": round(max(shifts), 3),
        "swap of the alert page, kB": round(zipped(client, f"{places.linked}live/", headers=swap) / 1000, 1),
        "swap of the incident page, kB": round(
            zipped(client, f"{places.incidents['investigating']}live/", headers=swap) / 1000, 1
        ),
    }
    print(f"{'browser, queue':32} {'':>8}")
    for name, value in results.items():
        print(f"{name:32} {value:>8}")
    return results


if __name__ == "__main__":
    run()
