"""One bad playbook cannot hurt the others for long: the product with one that blocks, one that eats memory, one that
tries to end the process."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks_engine.engines import LEDGER_HEAD, eventually, ledger
from tests.product import RunningProduct

pytestmark = pytest.mark.timeout(240)
PLAYBOOKS = """
import os, time

@action(idempotent=True)
async def step(name, number):
    note(f"{name} {number} {time.monotonic()} {os.getpid()}")
    await asyncio.sleep(0.1)

@playbook(trigger="beside")
async def beside(alert):
    for number in range(60):
        await step("beside", number)

@playbook(trigger="blocks")
async def blocks(alert):
    await step("blocks", os.getpid() and 1)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        sum(range(1000))
    await step("blocks", 2)

@playbook(trigger="eats")
async def eats(alert):
    await step("eats", 1)
    eaten = []
    while True:
        eaten.append(bytearray(10_000_000))
        await asyncio.sleep(0)

@playbook(trigger="hangs")
async def hangs(alert):
    await step("hangs", 1)
    while True:
        pass

@playbook(trigger="exits")
async def exits(alert):
    await asyncio.gather(leave(), step("exits", 1))

async def leave():
    raise SystemExit(3)
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningProduct, Path]]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "playbooks").mkdir()
    book = folder / "ledger"
    (folder / "playbooks" / "bad.py").write_text(LEDGER_HEAD.format(path=str(book)) + PLAYBOOKS)
    env = {"LEASE_SECONDS": "1.5", "WORKER_MEMORY_MB": "400", "WORKER_BLOCK_SECONDS": "4"}
    env = {f"OPENSOAR_{name}": value for name, value in env.items()}
    with RunningProduct(playbooks=folder / "playbooks", env=env) as running:
        yield running, book


def post(product: RunningProduct, source: str, number: int = 0) -> str:
    with product.client("OPENSOAR_INGEST_TOKEN") as client:
        body = {"title": source, "source_id": f"{source}-{number}"}
        answer = client.post(f"/api/v1/webhooks/alerts/{source}", json=body)
    return str(answer.json()["alert_id"])


def run_of(product: RunningProduct, alert: str) -> dict[str, Any]:
    with product.client() as client:
        return client.get(f"/api/v1/alerts/{alert}/runs").json()["runs"][0]  # type: ignore[no-any-return]


def ended(product: RunningProduct, alert: str, *states: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run = run_of(product, alert)
        return run if run["status"] in states else None

    return eventually(look, 60)  # type: ignore[no-any-return]


def steps(book: Path, name: str) -> list[tuple[int, float, int]]:
    rows = [line.split() for line in ledger(book) if line.startswith(f"{name} ")]
    return [(int(number), float(at), int(pid)) for _name, number, at, pid in rows]


def test_who_blocks_the_loop_is_told_where_and_runs_alone_from_then_on(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    beside = post(running, "beside")
    eventually(lambda: steps(book, "beside"))
    blocking = post(running, "blocks")
    assert ended(running, blocking, "success", "failed")["status"] == "success"
    assert ended(running, beside, "success", "failed")["status"] == "success"
    numbers = Counter(number for number, _at, _pid in steps(book, "beside"))
    assert numbers == dict.fromkeys(range(60), 1), "beside it nothing is lost and nothing is done twice"
    moments = [at for _number, at, _pid in steps(book, "beside")]
    block_end = steps(book, "blocks")[1][1]
    resumed = min(at for at in moments if at >= block_end - 0.5)
    assert resumed - block_end < 1, "what runs beside it goes on as soon as the block ends"
    log = (running.data_dir / "logs" / "worker.log").read_text()
    assert re.search(r"playbook blocks \(run .*\) blocks the event loop at bad\.py:\d+", log)
    with running.client() as client:
        logs = client.get(f"/api/v1/runs/{run_of(running, blocking)['id']}/logs").json()["logs"]
        isolated = {p["name"]: p["isolated"] for p in client.get("/api/v1/playbooks").json()}
    assert "in a process of its own" in logs[0]["text"]
    assert isolated == {"beside": False, "blocks": True, "eats": False, "exits": False, "hangs": False}
    worker = steps(book, "beside")[0][2]
    again = post(running, "blocks", 1)
    ended(running, again, "success")
    pids = {pid for _number, _at, pid in steps(book, "blocks")[2:]}
    assert len(pids) == 1
    assert worker not in pids, "the next run of it has a process of its own"


def test_who_eats_the_memory_ends_its_process_and_is_not_tried_for_ever(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    before = len(steps(book, "beside"))
    beside = post(running, "beside", 1)
    eventually(lambda: len(steps(book, "beside")) > before)
    eating = post(running, "eats")
    stopped = ended(running, eating, "needs_attention", "success", "failed")
    assert stopped["status"] == "needs_attention"
    assert stopped["question"]["reason"] == "worker_died"
    assert len(steps(book, "eats")) == 1, "its finished step was not done again"
    assert ended(running, beside, "success", "failed")["status"] == "success"
    numbers = Counter(number for number, _at, _pid in steps(book, "beside")[before:])
    assert set(numbers) == set(range(60))
    with running.client() as client:
        url = f"/api/v1/runs/{stopped['id']}/decide"
        assert client.post(url, json={"decision": "cancel"}).json()["status"] == "cancelled"


def test_who_raises_system_exit_in_a_gathered_task_fails_alone(product: tuple[RunningProduct, Path]) -> None:
    running, _book = product
    workers = running.pids("dramatiq")
    leaving = post(running, "exits")
    failed = ended(running, leaving, "failed", "success")
    assert (failed["status"], "SystemExit: 3" in failed["error"]) == ("failed", True)
    time.sleep(0.5)
    assert running.pids("dramatiq") == workers, "the worker lives"


def test_who_never_gives_the_loop_back_is_ended_and_not_tried_for_ever(
    product: tuple[RunningProduct, Path],
) -> None:
    running, book = product
    before = len(steps(book, "beside"))
    hanging = post(running, "hangs")
    beside = post(running, "beside", 2)
    stopped = ended(running, hanging, "needs_attention", "success", "failed")
    assert (stopped["status"], stopped["question"]["reason"]) == ("needs_attention", "worker_died")
    assert len(steps(book, "hangs")) == 1, "its finished step was not done again"
    assert ended(running, beside, "success", "failed")["status"] == "success"
    assert {number for number, _at, _pid in steps(book, "beside")[before:]} == set(range(60))
    log = (running.data_dir / "logs" / "worker.log").read_text()
    assert re.search(r"playbook hangs blocked its worker for 4 s at bad\.py:\d+: ending", log)
