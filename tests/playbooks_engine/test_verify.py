"""``verify=``: the target is asked whether a call of unknown outcome happened, each time anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.playbooks_engine.engines import (
    LEDGER_HEAD,
    eventually,
    finished,
    ledger,
    lose,
    receive,
    running,
    write,
)

pytestmark = pytest.mark.usefixtures("fresh_database")
SOURCE = """
from opensoar import idempotency_key

def times(word):
    return BOOK.read_text().split().count(word) if BOOK.exists() else 0

@action(idempotent=True)
async def look():
    note("look")
    return times("done") > 0

KIND found():
    note(f"key {idempotency_key()}")
    HAPPENED

@action(idempotent=False, verify=found)
async def once():
    note(f"key {idempotency_key()}")
    note("begin")
    if times("begin") == 1:
        await asyncio.sleep(60)  # lost before it did anything
    note("done")
    if times("begin") == 2:
        await asyncio.sleep(60)  # lost before it was recorded
    return True

@playbook(trigger="webhook")
async def verified(alert):
    return await once()
"""
KINDS = {
    "asks by an action": ("async def", "return True if await look() else None"),
    "blocks": ("def", "return True if times('done') else None"),
}


@pytest.mark.parametrize(("kind", "happened"), KINDS.values(), ids=KINDS)
def test_a_call_that_happened_at_its_second_attempt_is_not_made_a_third_time(
    tmp_path: Path, kind: str, happened: str
) -> None:
    book = tmp_path / "book"
    source = SOURCE.replace("KIND", kind).replace("HAPPENED", happened)
    write(tmp_path, "verified", LEDGER_HEAD.format(path=str(book)) + source)
    with running(tmp_path) as engine:
        alert = receive()
        eventually(lambda: "begin" in ledger(book))
        lose(engine)
    with running(tmp_path) as engine:
        eventually(lambda: "done" in ledger(book))
        lose(engine)
    with running(tmp_path):
        (run,) = finished(alert)
    assert (run.state, run.result_value) == ("success", True), run.question
    assert [ledger(book).count(word) for word in ("begin", "done")] == [2, 1]
    assert len({line for line in ledger(book) if line.startswith("key")}) == 1, "one key in all of them"
