"""Both sides of a storm: who sends it, in a process of its own, and somebody who reads pages meanwhile.

Open loops: everything leaves when it is due, whether or not what left before is answered, and its time counts from then.
As a program it is the sender: ``python -m benchmarks.storm_traffic URL TOKEN ALERTS``; it makes the bodies, prints a line,
waits for one, and prints one JSON object at the end.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx

from benchmarks.load import fields

SOURCE = "storm"
PER_SECOND = 100_000 / 60
LINES = 250  # alerts of one body: a shipper that waits for 150 ms
APART = 4_000  # alerts between the first and the second delivery of one, at the most
TRIES = 20


def order(alerts: int) -> list[int]:
    """The number of the alert that each delivery is of. Each is delivered twice, the second time within :data:`APART`."""
    dice, half = random.Random(alerts), alerts // 2
    places = [(2.0 * n, n) for n in range(half)]
    places += [(2 * n + dice.uniform(1, min(APART, alerts)), n) for n in range(half)]
    return [number for _place, number in sorted(places)]


def bodies(alerts: int) -> Iterator[list[bytes]]:
    """The lines of each request, the same at every call. No two are equal: of a repeat the place is another."""
    numbers = order(alerts)
    for start in range(0, len(numbers), LINES):
        yield [_line(start + n, number) for n, number in enumerate(numbers[start : start + LINES])]


def _line(place: int, number: int) -> bytes:
    own = {"source": SOURCE, "source_id": f"{SOURCE}-{number}", "place": place}
    return json.dumps(fields(random.Random(number)) | own).encode()


class Delivered(NamedTuple):
    """What became of a request: seconds since it was due, refusals before, what the answers say was stored of it."""

    answered: bool
    took: float
    refused: int
    stored: int


async def _deliver(client: httpx.AsyncClient, content: bytes, due: float) -> Delivered:
    """As a shipper does it: what is refused for now is sent again after the time that the answer names."""
    stored = 0
    for refused in range(TRIES):
        wait = 1.0
        try:
            answer = await client.post("/api/v1/webhooks/alerts", content=content)
        except httpx.HTTPError:
            await asyncio.sleep(wait)
            continue
        told = answer.json()
        stored += sum(told.get(state, 0) for state in ("accepted", "duplicates", "quarantined"))
        if answer.is_success:
            return Delivered(True, time.perf_counter() - due, refused, stored)
        if answer.status_code not in {429, 503}:
            break
        await asyncio.sleep(float(answer.headers.get("Retry-After", wait)))
    return Delivered(False, time.perf_counter() - due, refused + 1, stored)


async def send(url: str, token: str, contents: list[bytes], alerts: int) -> dict[str, Any]:
    """Send every body when it is due; ``unanswered`` are the numbers of those that were given up."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=60, limits=limits, trust_env=False
    ) as client:
        began, clock = time.perf_counter(), time.time()
        tasks = []
        for number, content in enumerate(contents):
            due = began + number * LINES / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(_deliver(client, content, due)))
        found = await asyncio.gather(*tasks)
        seconds = time.perf_counter() - began
    took = [1000 * one.took for one in found]
    return {
        "began": clock,
        "seconds": seconds,
        "per_second": round(alerts / seconds, 1),
        "p50_ms": at_share(took, 0.5),
        "p99_ms": at_share(took, 0.99),
        "refused": sum(one.refused for one in found),
        "stored": sum(one.stored for one in found),
        "unanswered": [number for number, one in enumerate(found) if not one.answered],
    }


def at_share(times: list[float], share: float) -> float | None:
    """The median, or another share of the times."""
    if not times:
        return None
    found = statistics.median(times) if share == 0.5 else sorted(times)[int(len(times) * share)]
    return round(found, 1)


class Seen(NamedTuple):
    """A page that was fetched: which, when it was due (``perf_counter``), how long it took from then, its status."""

    page: str
    due: float
    milliseconds: float
    status: int


class Reader(threading.Thread):
    """One person who is signed in and fetches the pages by turns, one every so many seconds, until told to stop."""

    def __init__(self, url: str, cookies: httpx.Cookies, pages: Mapping[str, str], every: float) -> None:
        super().__init__(name="reader", daemon=True)
        self.url, self.cookies, self.pages, self.every = url, cookies, list(pages.items()), every
        self.seen: list[Seen] = []
        self.over = threading.Event()

    def run(self) -> None:
        asyncio.run(self._read())

    def stop(self) -> None:
        """No more pages; returns when the last one has come."""
        self.over.set()
        self.join(90)

    async def _read(self) -> None:
        async with httpx.AsyncClient(
            base_url=self.url, cookies=self.cookies, timeout=60, trust_env=False
        ) as client:
            began, tasks, turn = time.perf_counter(), [], 0
            while not self.over.is_set():
                due = began + turn * self.every
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                page, path = self.pages[turn % len(self.pages)]
                tasks.append(asyncio.create_task(self._fetch(client, page, path, due)))
                turn += 1
            await asyncio.gather(*tasks)

    async def _fetch(self, client: httpx.AsyncClient, page: str, path: str, due: float) -> None:
        try:
            status = (await client.get(path)).status_code
        except httpx.HTTPError:
            status = 0
        self.seen.append(Seen(page, due, 1000 * (time.perf_counter() - due), status))


def main() -> None:
    """The sender."""
    url, token, alerts = sys.argv[1], sys.argv[2], int(sys.argv[3])
    contents = [b"\n".join(lines) for lines in bodies(alerts)]
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(send(url, token, contents, alerts))), flush=True)


if __name__ == "__main__":
    main()
