"""The promise about dead workers: no run stays "running" without a living worker for longer than its lease.

Here the time is the assertion. It is measured by the action that is called again, on the machine's monotonic clock.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.ids import uuid7
from playbooks_engine import beat
from playbooks_engine.models import Sequence, WorkerBeat
from playbooks_engine.worker import CLAIM
from tests.playbooks_engine.engines import eventually, ledger
from tests.product import RunningProduct

LEASE = 1.5
MARGIN = 5.0  # seconds beyond the lease within which a run must go on
KILLS = 2

PLAYBOOK = """
import asyncio
import time
from pathlib import Path
from opensoar import action, playbook
BOOK = Path({path!r})

def note(word, name):
    with BOOK.open("a") as book:
        book.write(f"{{word}} {{name}} {{time.monotonic()}}\\n")

@action(idempotent=True)
async def work(name):
    note("start", name)
    if name == "right 2" and BOOK.read_text().count("start right 2 ") <= {kills}:
        await asyncio.sleep(120)
    note("end", name)
    return name

async def branch(side):
    return [await work(f"{{side}} {{n}}") for n in (1, 2)]

@playbook(trigger="webhook")
async def branches(alert):
    return await asyncio.gather(branch("left"), branch("right"))
"""


@pytest.fixture
def product(tmp_path: Path) -> Iterator[tuple[RunningProduct, Path]]:
    folder, book = tmp_path / "playbooks", tmp_path / "ledger"
    folder.mkdir()
    (folder / "branches.py").write_text(PLAYBOOK.format(path=str(book), kills=KILLS))
    with RunningProduct(playbooks=folder, env={"OPENSOAR_LEASE_SECONDS": str(LEASE)}) as running:
        yield running, book


def moments(book: Path, what: str) -> list[float]:
    """When ``what`` was noted, on the machine's monotonic clock."""
    return [float(line.rpartition(" ")[2]) for line in ledger(book) if line.startswith(f"{what} ")]


@pytest.mark.timeout(240)
def test_a_run_goes_on_within_its_lease_and_five_seconds_of_every_kill_of_its_worker(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    with running.client("OPENSOAR_INGEST_TOKEN") as client:
        answer = client.post("/api/v1/webhooks/alerts", json={"title": "Kill", "source_id": "kill"})
    assert answer.json()["playbooks_triggered"] == ["branches"]
    for kill in range(1, KILLS + 1):
        eventually(
            lambda n=kill: len(moments(book, "start right 2")) == n and moments(book, "end left 2"), 60
        )
        for pid in running.pids("dramatiq"):
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda n=kill: len(moments(book, "start right 2")) > n, 60)
        again = moments(book, "start right 2")[kill] - killed
        assert again < LEASE + MARGIN, f"kill {kill}: the run went on only after {again:.2f} s"
    run = eventually(
        lambda: (found := run_of(running, answer.json()["alert_id"])) and found["result"] and found
    )
    assert (run["status"], run["result"]) == ("success", [["left 1", "left 2"], ["right 1", "right 2"]])
    starts = Counter(
        line.split(" ", 1)[1].rpartition(" ")[0] for line in ledger(book) if line.startswith("start ")
    )
    finished = {"left 1": 1, "left 2": 1, "right 1": 1}
    assert starts == finished | {"right 2": KILLS + 1}, "what was finished must not be executed again"
    repeated = {
        call["input_data"]["name"]: call["attempt"] for call in run["action_results"] if call["repeated"]
    }
    assert repeated == {"right 2": KILLS + 1}


def run_of(product: RunningProduct, alert_id: object) -> dict[str, object]:
    with product.client() as client:
        return client.get(f"/api/v1/alerts/{alert_id}/runs").json()["runs"][0]  # type: ignore[no-any-return]


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(beat, "time", clock)
    return clock


def claimed_by(worker: WorkerBeat) -> Sequence:
    return Sequence.objects.create(
        partner_id=DEFAULT_PARTNER_ID, event="manual", correlation_id=uuid7(), state="running", total=1,
        fence=7, claimed_by=worker.pk,
    )  # fmt: skip


def claim_as(worker: WorkerBeat) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, (worker.pk, False, 50))
        return cursor.fetchall()


def test_the_default_lease_is_fifteen_seconds() -> None:
    assert settings.LEASE_SECONDS == 15.0
    assert "OPENSOAR_LEASE_SECONDS" not in os.environ


@pytest.mark.django_db
def test_a_silent_workers_sequence_is_anothers_as_soon_as_the_lease_is_over_and_not_before(
    clock: Clock,
) -> None:
    silent, own = (WorkerBeat.objects.create(host=name, pid=1, counter=41) for name in ("silent", "own"))
    sequence = claimed_by(silent)
    rescuer = beat.Rescuer(lease=settings.LEASE_SECONDS)
    start = clock.now
    for passed in (0, 5, 10, 14.999):
        clock.now = start + passed
        assert (rescuer.sweep(own.pk), claim_as(own)) == (0, []), f"taken over after {passed} s"
    clock.now = start + 15
    assert rescuer.sweep(own.pk) == 1
    assert not WorkerBeat.objects.filter(pk=silent.pk).exists()
    assert claim_as(own) == [(sequence.pk, 9)], (
        "given back and claimed: two fences on, so the old one opens nothing"
    )
    assert claim_as(own) == []


@pytest.mark.django_db
def test_a_worker_that_beats_keeps_what_it_holds_however_long(clock: Clock) -> None:
    alive, own = (WorkerBeat.objects.create(host=name, pid=1) for name in ("alive", "own"))
    claimed_by(alive)
    rescuer = beat.Rescuer(lease=settings.LEASE_SECONDS)
    for counter in range(20):
        WorkerBeat.objects.filter(pk=alive.pk).update(counter=counter)
        assert rescuer.sweep(own.pk) == 0
        clock.now += 14
    assert claim_as(own) == []


@pytest.mark.django_db
def test_a_worker_that_cannot_beat_stops_starting_calls_well_before_others_take_over(clock: Clock) -> None:
    own = beat.Beat(lease=settings.LEASE_SECONDS, on_death=lambda: None)
    own._announce()
    start = clock.now
    clock.now = start + 9.999
    assert own.is_fresh()
    clock.now = start + 10
    assert not own.is_fresh()
