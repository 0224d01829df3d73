"""``kill -9`` while alerts pour in: every body that was answered with 2xx is there, byte for byte.

``STORM_KILLS=20`` for the long run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.product import RunningProduct

KILLS = int(os.environ.get("STORM_KILLS", "6"))
SENDERS = 6
pytestmark = pytest.mark.timeout(900 if KILLS > 6 else 240)


@pytest.fixture
def product() -> Iterator[RunningProduct]:
    with RunningProduct(env={"OPENSOAR_LEASE_SECONDS": "1.5"}) as running:
        yield running


class Sender(threading.Thread):
    """Posts one alert after another and remembers what was promised to it."""

    def __init__(self, product: RunningProduct, number: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.product, self.number, self.over = product, number, over
        self.promised: dict[str, bytes] = {}
        self.refused = 0

    def run(self) -> None:
        dice, count = random.Random(self.number), 0
        with self.product.client("OPENSOAR_INGEST_TOKEN") as client:
            while not self.over.is_set():
                count += 1
                alert = {
                    "id": f"{self.number}-{count}",
                    "title": "Storm",
                    "src_ip": f"203.0.113.{count % 250}",
                }
                body = json.dumps(alert | {"filler": dice.randbytes(dice.randrange(200)).hex()}).encode()
                try:
                    answer = client.post("/api/v1/webhooks/alerts", content=body)
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                if answer.status_code == 200:
                    self.promised[answer.json()["delivery_id"]] = body
                else:
                    assert answer.status_code == 503, answer.text
                    self.refused += 1
                    time.sleep(0.05)


def database(product: RunningProduct) -> str:
    """Where the web process stores, as it was told."""
    environ = Path(f"/proc/{product.record('web')}/environ").read_bytes().split(b"\0")
    return next(line for line in environ if line.startswith(b"DATABASE_URL=")).decode().partition("=")[2]


def test_what_was_answered_is_there_whoever_is_killed(product: RunningProduct) -> None:
    over, dice = threading.Event(), random.Random(7)
    senders = [Sender(product, number, over) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    for number in range(KILLS):
        time.sleep(dice.uniform(1.0, 2.0))
        victim = ("web", "worker", "postgres")[number % 3]
        before = sum(len(sender.promised) for sender in senders)
        with contextlib.suppress(ProcessLookupError):
            os.kill(product.record(victim), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while sum(len(sender.promised) for sender in senders) < before + 20:
            assert time.monotonic() < deadline, (
                f"nothing is accepted after {victim} was killed:\n{product.logs()}"
            )
            time.sleep(0.1)
    over.set()
    for sender in senders:
        sender.join(40)
        assert not sender.is_alive()
    promised = {delivery: body for sender in senders for delivery, body in sender.promised.items()}
    assert len(promised) > 20 * KILLS
    with psycopg.connect(database(product)) as connection:
        rows = connection.execute(
            "SELECT id::text, body, alert_id FROM alerts_delivery WHERE id = ANY(%s::uuid[])",
            [list(promised)],
        ).fetchall()
        stored = {delivery: (bytes(body), alert) for delivery, body, alert in rows}
        lost = [delivery for delivery in promised if delivery not in stored]
        assert lost == []
        assert [delivery for delivery, body in promised.items() if stored[delivery][0] != body] == []
        ids = len({alert for _body, alert in stored.values()})
        assert ids == len(promised), "each body is an alert of its own"
        [doubled] = connection.execute(
            "SELECT count(*) FROM (SELECT source_id FROM alerts_alert GROUP BY source_id HAVING count(*) > 1) AS d"
        ).fetchone()  # type: ignore[misc]
        assert doubled == 0
