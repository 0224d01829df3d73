"""Processes of their own: started one after the other, and no crowd of them where workers die again and again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from playbooks_engine import isolation
from playbooks_engine.models import PlaybookRun, Sequence
from playbooks_engine.sync import sync_playbooks
from tests.playbooks_engine.engines import LEDGER_HEAD, eventually, ledger, receive, write

SOURCE = """
@action()
async def step(name):
    note(f"begin {name}")
    while not (BOOK.parent / "gate").exists():
        await asyncio.sleep(0.02)
    note(f"end {name}")

@playbook(trigger="webhook")
async def alone(alert):
    await step(alert.source_id)
"""
# A worker that starts one, and is killed.
WORKER = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-m", "playbooks_engine.isolated"]).pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def book(tmp_path: Path, fresh_database: str) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    write(folder, "alone", LEDGER_HEAD.format(path=str(tmp_path / "ledger")) + SOURCE)
    sync_playbooks([str(folder)])
    for number in range(2):
        receive(source_id=str(number))
    Sequence.objects.update(isolated=True)
    return tmp_path / "ledger"


def test_the_second_is_started_only_when_the_first_has_had_its_time(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "START_SECONDS", 3600)
    own = isolation.Isolation()
    try:
        for _ in range(3):
            own.look()
        assert len(own._children) == 1
        monkeypatch.setattr(isolation, "START_SECONDS", 0)
        for _ in range(3):
            own.look()
        assert len(own._children) == isolation.PROCESSES
    finally:
        own.terminate()
        own.wait(20)


def test_whose_worker_is_gone_ends_what_it_has_and_takes_nothing_new(book: Path, fresh_database: str) -> None:
    env = os.environ | {"DATABASE_URL": fresh_database, "PLAYBOOK_DIRS": str(book.parent / "playbooks")}
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env=env, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    with worker, worker.stdout:
        process = Path(f"/proc/{int(worker.stdout.readline())}")
        eventually(lambda: ledger(book) == ["begin 0"])
        worker.kill()
    time.sleep(1)  # it looks ten times a second
    (book.parent / "gate").touch()
    eventually(lambda: not process.exists())
    assert ledger(book) == ["begin 0", "end 0"]
    states = PlaybookRun.objects.order_by("sequence_id").values_list("state", flat=True)
    assert list(states) == ["success", "pending"]
