"""What the author's own time limit or TaskGroup ends has ended so for good, wherever the call was at that moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.models import AlertEntry
from opensoar.errors import Conflict
from playbooks_engine.models import Approval, Sequence
from playbooks_engine.services import decide_approval
from tests.factories import SYSTEM
from tests.playbooks_engine.engines import (
    LEDGER_HEAD,
    eventually,
    finished,
    ledger,
    make_due,
    receive,
    running,
    runs_of,
    write,
)

pytestmark = pytest.mark.usefixtures("fresh_database")
HEAD = LEDGER_HEAD + "from opensoar import add_current_alert_comment, request_approval, sleep\n"
CALLS = {
    "waiting for its next attempt": "flaky()",
    "under way": "slow()",
    "a helper": 'add_current_alert_comment("said")',
}
SOURCE = """
@action(retries=3, retry_backoff=30)
async def flaky():
    note("tried")
    raise ValueError("not now")

@action()
async def slow():
    note("tried")
    await asyncio.sleep(30)

@action()
async def instead():
    note("instead")

@playbook(trigger="webhook")
async def impatient(alert):
    task = asyncio.ensure_future(CALL)
    await asyncio.sleep(PATIENCE)
    task.cancel()
    try:
        await task
        got = "came"
    except asyncio.CancelledError:
        got = "gave up"
        await instead()
    await sleep(3600)
    return got
"""


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_replay_gives_up_what_was_given_up(tmp_path: Path, call: str) -> None:
    book = tmp_path / "book"
    patience = "0" if "comment" in call else "0.6"
    source = SOURCE.replace("CALL", call).replace("PATIENCE", patience)
    write(tmp_path, "impatient", HEAD.format(path=str(book)) + source)
    with running(tmp_path):
        alert = receive()
        eventually(lambda: Sequence.objects.get(alert=alert).state == "waiting")
        first_life = ledger(book)
        make_due(alert)
        (run,) = finished(alert)
    assert (run.state, run.result_value) == ("success", "gave up"), run.question
    assert ledger(book) == first_life, "nothing is called again"
    assert first_life[-1:] == ["instead"]
    assert AlertEntry.objects.filter(subject_id=alert.pk, action="comment").count() <= 1


def test_a_question_that_was_given_up_is_open_no_more(tmp_path: Path) -> None:
    source = """
@playbook(trigger="webhook")
async def impatient(alert):
    try:
        await asyncio.wait_for(request_approval("Isolate it?"), 0.5)
    except TimeoutError:
        return "gave up"
"""
    write(tmp_path, "impatient", HEAD.format(path=str(tmp_path / "book")) + source)
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.result_value == "gave up"
    approval = Approval.objects.get()
    assert approval.state == "cancelled"
    with pytest.raises(Conflict):
        decide_approval(actor=SYSTEM, approval=approval, approve=True)


def test_an_action_that_awaits_what_was_cancelled_fails_in_both_lives(tmp_path: Path) -> None:
    source = """
@action()
async def careless():
    task = asyncio.ensure_future(asyncio.sleep(30))
    task.cancel()
    await task

@playbook(trigger="webhook")
async def goes_on(alert):
    (outcome,) = await asyncio.gather(careless(), return_exceptions=True)
    await sleep(3600)
    return str(outcome)
"""
    write(tmp_path, "goes_on", HEAD.format(path=str(tmp_path / "book")) + source)
    with running(tmp_path):
        alert = receive()
        eventually(lambda: [run.state for run in runs_of(alert)] == ["waiting"])
        make_due(alert)
        (run,) = finished(alert)
    assert run.result_value == "action 'careless' awaited something that was cancelled"
