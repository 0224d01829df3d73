"""The product under ``kill -9``: what was accepted is processed, what was done is not done again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.playbooks_engine.engines import LEDGER_HEAD, eventually, ledger
from tests.product import RunningProduct

LEASE = 1.5
KILLS = 2  # as often does the playbook "branches" wait for one
pytestmark = pytest.mark.timeout(240)

PLAYBOOKS = """
@action()
async def finished_before(name):
    note(f"done {name}")
    return name

@action(idempotent=True)
async def interrupted(name):
    note(f"start {name}")
    if BOOK.read_text().count(f"start {name}\\n") == 1:
        await asyncio.sleep(120)
    note(f"end {name}")
    return name

async def branch(name):
    await finished_before("same")
    return await interrupted(name)

@playbook(trigger="webhook", order=10, conditions={"tags": ["crash"]})
async def crashes(alert):
    return await asyncio.gather(branch("a"), branch("b"))

@playbook(trigger="webhook", order=20, conditions={"source_id": ["one", "two", "same"]})
async def afterwards(alert):
    note("afterwards")

@action(idempotent=True)
async def work(name):
    note(f"start {name}")
    if name == "right 2" and BOOK.read_text().count("start right 2\\n") <= 2:
        await asyncio.sleep(120)
    note(f"end {name}")
    return name

async def steps(side):
    return [await work(f"{side} {n}") for n in (1, 2)]

@playbook(trigger="webhook", conditions={"tags": ["branches"]})
async def branches(alert):
    return await asyncio.gather(steps("left"), steps("right"))
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningProduct, Path]]:
    root = tmp_path_factory.mktemp("crash")
    folder, book = root / "playbooks", root / "ledger"
    folder.mkdir()
    (folder / "crash.py").write_text(LEDGER_HEAD.format(path=str(book)) + PLAYBOOKS)
    with RunningProduct(playbooks=folder, env={"OPENSOAR_LEASE_SECONDS": str(LEASE)}) as running:
        yield running, book


@pytest.fixture
def product(started: tuple[RunningProduct, Path]) -> tuple[RunningProduct, Path]:
    """One product for all, as nothing is under way any more when a test ends; the book is empty."""
    started[1].write_text("")
    return started


def post(product: RunningProduct, **payload: object) -> dict[str, object]:
    with product.client("OPENSOAR_INGEST_TOKEN") as client:
        answer = client.post("/api/v1/webhooks/alerts", json={"title": "Crash", **payload})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def runs(product: RunningProduct, alert_id: object) -> list[dict[str, object]]:
    with product.client() as client:
        return client.get(f"/api/v1/alerts/{alert_id}/runs").json()["runs"]  # type: ignore[no-any-return]


def test_a_killed_worker_loses_nothing_and_repeats_nothing_that_was_finished(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    alert = post(running, tags=["crash"], source_id="one")
    assert alert["playbooks_triggered"] == ["crashes", "afterwards"]
    eventually(lambda: {"start a", "start b"} <= set(ledger(book)))
    for pid in running.pids("dramatiq"):
        os.kill(pid, signal.SIGKILL)
    done = eventually(
        lambda: (r := runs(running, alert["alert_id"])) and {x["status"] for x in r} == {"success"} and r, 60
    )
    assert [run["sequence_position"] for run in sorted(done, key=lambda r: r["sequence_position"])] == [1, 2]
    lines = ledger(book)
    assert lines.count("done same") == 2, "each branch's finished action, once"
    assert lines.count("end a") == lines.count("end b") == 1
    assert lines[-1] == "afterwards"


def test_everything_killed_at_once_starts_clean_and_finishes_what_was_accepted(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    alert = post(running, tags=["crash"], source_id="two")
    eventually(lambda: {"start a", "start b"} <= set(ledger(book)))
    assert running.process is not None
    children = running.pids()
    running.process.kill()  # the supervisor first, so that it restarts nothing
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.process.wait(20)
    running.start()
    done = eventually(
        lambda: (r := runs(running, alert["alert_id"])) and {x["status"] for x in r} == {"success"} and r, 60
    )
    assert len(done) == 2
    assert ledger(book).count("done same") == 2
    again = post(running, tags=["crash"], source_id="two")
    assert (again["duplicate"], again["alert_id"]) == (True, alert["alert_id"])


def test_fifty_posts_of_one_alert_at_once_are_one_alert_and_its_playbooks_run_once(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(running, source_id="same"), range(50)))
    assert len({answer["alert_id"] for answer in answers}) == 1
    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 49
    done = eventually(
        lambda: (r := runs(running, answers[0]["alert_id"])) and r[0]["status"] == "success" and r
    )
    assert len(done) == 1
    assert ledger(book) == ["afterwards"]


def test_a_run_goes_on_after_every_kill_of_its_worker(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    alert = post(running, source_id="kill", tags=["branches"])
    assert alert["playbooks_triggered"] == ["branches"]
    for kill in range(1, KILLS + 1):
        eventually(
            lambda n=kill: ledger(book).count("start right 2") == n and "end left 2" in ledger(book), 60
        )
        for pid in running.pids("dramatiq"):
            os.kill(pid, signal.SIGKILL)
        # How soon others take over is the chaos harness's to judge: here the only worker starts anew.
        eventually(lambda n=kill: ledger(book).count("start right 2") > n, 60)
    (run,) = eventually(lambda: (r := runs(running, alert["alert_id"])) and r[0]["result"] and r)
    assert (run["status"], run["result"]) == ("success", [["left 1", "left 2"], ["right 1", "right 2"]])
    starts = Counter(line for line in ledger(book) if line.startswith("start "))
    finished = {"start left 1": 1, "start left 2": 1, "start right 1": 1}
    assert starts == finished | {"start right 2": KILLS + 1}, "what was finished must not be executed again"
    repeated = {
        call["input_data"]["name"]: call["attempt"] for call in run["action_results"] if call["repeated"]
    }
    assert repeated == {"right 2": KILLS + 1}
