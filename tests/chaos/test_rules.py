"""The rules of playing a run again, each broken on purpose by test_planted.py: deterministic, in one process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from opensoar.ids import uuid7
from playbooks_engine import beat, journal
from playbooks_engine.journal import Claim, held_claims
from playbooks_engine.models import Sequence, WorkerBeat
from tests.playbooks_engine.engines import LEDGER_HEAD, eventually, finished, ledger, receive, running, write

pytestmark = pytest.mark.usefixtures("fresh_database")
SOURCE = """
from opensoar import update_current_alert

class Unwilling(Exception): ...

async def gate(name):
    while not (BOOK.parent / name).exists():
        await asyncio.sleep(0.01)

@action(idempotent=True)
async def step(name):
    note(name)
    return name

@action()
async def refuses():
    raise Unwilling("no", 7)

async def there():
    note("asked")
    return "was there"

@action(idempotent=False, verify=there)
async def once():
    note("once")
    await gate("open")
    return "an answer that nobody hears"

@playbook(trigger="webhook")
async def plays(alert):
    first_life = "begin" not in BOOK.read_text()
    note("begin")

    async def branch(name, is_first):
        await asyncio.sleep(0 if is_first else 0.2)
        return await step(name)

    pair = await asyncio.gather(branch("a", first_life), branch("b", not first_life))
    try:
        await refuses()
    except Unwilling as error:
        pair += error.args
    await update_current_alert(status="in_progress")
    try:
        return [alert.status, *pair, await once()]
    finally:
        await step("after")
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    book = tmp_path / "ledger"
    book.touch()
    write(folder, "plays", LEDGER_HEAD.format(path=str(book)) + SOURCE)
    return book


def take_away() -> None:
    """What a rescuer does."""
    Sequence.objects.filter(state="running").update(state="ready", claimed_by=None, fence=7)


def test_a_run_that_another_worker_takes_over_ends_as_if_nothing_had_happened(book: Path) -> None:
    with running(book.parent / "playbooks", lease=15) as engine:
        alert = receive()
        eventually(lambda: "once" in ledger(book))
        take_away()
        engine.loop.call_soon_threadsafe(engine._let_go_of_everything)
        engine.wake()
        eventually(lambda: ledger(book).count("begin") == 2)
        (run,) = finished(alert)
    did = ledger(book)
    assert "after" not in did[: did.index("begin", 1)], "a call after the run was let go"
    assert (did.count("a"), did.count("b")) == (1, 1), "what is done is not done again"
    assert "asked" in did, "the target is asked first"
    assert (did.count("once"), did.count("after")) == (1, 1)
    assert (run.state, run.question) == ("success", None), run.traceback
    result: list[Any] = run.result_value
    assert result[0] == "new", "the input is what it was"
    assert result[1:3] == ["a", "b"], "each branch gets its own result"
    assert result[3:5] == ["no", 7], "the exception is caught by its class, with its arguments"
    assert result[5] == "was there"


def test_what_a_worker_writes_that_lost_its_claim_hits_nothing(book: Path) -> None:
    with running(book.parent / "playbooks", lease=15) as engine:
        alert = receive()
        eventually(lambda: "once" in ledger(book))
        Sequence.objects.filter(state="running").update(fence=7)  # somebody's; this engine is not told
        (book.parent / "open").touch()
        eventually(lambda: not engine.live)
        assert "after" not in ledger(book)
        assert Sequence.objects.get(alert=alert).state == "running"


def test_a_call_waits_until_its_intent_is_stored(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(batch: list[journal.Write]) -> list[journal.Write]:
        time.sleep(0.1)
        lost = original(batch)
        with book.open("a") as lines:
            lines.writelines("stored once\n" for w in batch if "'once'" in repr(w.statements))
        return lost

    original = journal.store_batch
    monkeypatch.setattr(journal, "store_batch", slowly)
    with running(book.parent / "playbooks", lease=15):
        receive()
        eventually(lambda: {"once", "stored once"} <= set(ledger(book)))
        (book.parent / "open").touch()
    assert ledger(book).index("stored once") < ledger(book).index("once")


def test_a_worker_that_others_may_believe_dead_starts_no_call(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(book.parent / "playbooks", lease=15) as engine:
        alert = receive()
        eventually(lambda: "once" in ledger(book))
        monkeypatch.setattr(engine.beat, "is_fresh", lambda: False)
        (book.parent / "open").touch()
        time.sleep(0.5)
        assert "after" not in ledger(book)
        monkeypatch.undo()
        finished(alert)
        assert ledger(book)[-1] == "after"


def test_a_silent_worker_is_believed_alive_for_a_lease() -> None:
    silent = WorkerBeat.objects.create(id=uuid7(), host="h", pid=1, generation=1)
    rescuer = beat.Rescuer(lease=0.5)
    for _ in range(3):
        rescuer.sweep(uuid7())
    assert WorkerBeat.objects.filter(pk=silent.pk).exists()
    time.sleep(0.6)
    rescuer.sweep(uuid7())
    assert not WorkerBeat.objects.filter(pk=silent.pk).exists()


def test_nobody_takes_a_sequence_over_while_its_worker_stores(book: Path, fresh_database: str) -> None:
    with running(book.parent / "playbooks", lease=15) as engine:
        receive()
        eventually(lambda: "once" in ledger(book))
        sequence = Sequence.objects.get()
        claim = Claim(sequence.pk, sequence.fence, engine.beat.worker_id)
        gone = beat.ORPHANS.replace("NOT EXISTS", "true OR NOT EXISTS")  # whoever holds it is dead
        with transaction.atomic():
            assert held_claims([claim]) == {claim}
            with psycopg.connect(fresh_database, autocommit=True) as apart:
                assert apart.execute(gone).fetchall() == []
        connection.close()
        (book.parent / "open").touch()
