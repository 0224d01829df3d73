"""A run from the alert to its end: order, journal, gather, failures, helpers, replay."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.models import AlertEntry
from opensoar.accounts.models import User
from opensoar.actors import Actor
from playbooks_engine.models import ActionAttempt, ActionResult, Playbook, PlaybookFile, Sequence
from playbooks_engine.services import decide_run, set_enabled, start_run
from tests.playbooks_engine.engines import (
    LEDGER_HEAD,
    eventually,
    finished,
    ledger,
    receive,
    running,
    runs_of,
    write,
)

pytestmark = pytest.mark.usefixtures("fresh_database")


def test_playbooks_of_one_alert_run_in_ascending_order_over_all_triggers(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    write(
        tmp_path,
        "ordered",
        LEDGER_HEAD.format(path=str(book))
        + """
@playbook(trigger="edr", order=30)
async def third(alert): note("third")

@playbook(trigger="webhook", order=10)
async def first(alert): note("first")

@playbook(trigger="webhook", order=20, conditions={"severity": ["high"]})
async def second(alert): note("second")

@playbook(trigger="webhook", order=5, conditions={"severity": ["low"]})
async def other(alert): note("other")
""",
    )
    with running(tmp_path):
        alert = receive(source="edr")
        runs = finished(alert)
    assert [run.playbook.name for run in runs] == ["first", "second", "third"]
    assert {run.state for run in runs} == {"success"}
    assert ledger(book) == ["first", "second", "third"]
    assert Sequence.objects.get(alert=alert).state == "done"
    words = list(AlertEntry.objects.filter(subject_id=alert.pk).values_list("action", flat=True))
    assert words == ["playbook_started", "playbook_finished"] * 3


def test_a_playbook_changes_its_alert_and_the_next_one_sees_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        "helpers",
        """
from opensoar import playbook, update_current_alert, add_current_alert_comment, resolve_current_alert

@playbook(trigger="webhook", order=10)
async def escalate(alert):
    changed = await update_current_alert(status="in_progress", determination="suspicious", reason="looks odd")
    comment = await add_current_alert_comment("Enriched")
    return {"changed": changed, "comment": comment["action"]}

@playbook(trigger="webhook", order=20)
async def look(alert):
    before = alert.determination
    await resolve_current_alert(determination="malicious", reason="seen")
    await alert.refresh()
    return [before, alert.status, alert["raw_payload"]["nested"]["deep"]]
""",
    )
    with running(tmp_path):
        alert = receive(nested={"deep": 1})
        escalate, look = finished(alert)
    alert.refresh_from_db()
    assert (alert.status, alert.determination, alert.resolve_reason) == ("resolved", "malicious", "seen")
    assert escalate.result_value["changed"]["determination"] == "suspicious"
    assert escalate.result_value["comment"] == "comment"
    assert look.result_value == ["suspicious", "resolved", 1]
    actors = set(AlertEntry.objects.filter(subject_id=alert.pk).values_list("actor_kind", "actor_name"))
    assert actors == {("playbook", "escalate"), ("playbook", "look")}
    calls = ActionResult.objects.filter(run=escalate).values_list("name", "state")
    assert list(calls) == [("update_current_alert", "success"), ("add_current_alert_comment", "success")]


def test_gather_of_eight_actions_gives_eight_results_and_eight_executions(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    write(
        tmp_path,
        "gathered",
        LEDGER_HEAD.format(path=str(book))
        + """
@action()
async def work(number):
    note(f"work {number}")
    await asyncio.sleep(0.01 * (8 - number))
    return number * number

@playbook(trigger="webhook")
async def gathers(alert):
    return await asyncio.gather(*(work(n) for n in range(8)))
""",
    )
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.result_value == [n * n for n in range(8)]
    assert sorted(ledger(book)) == [f"work {n}" for n in range(8)]
    assert ActionResult.objects.filter(run=run, state="success", attempts=1).count() == 8
    assert ActionAttempt.objects.filter(run_id=run.pk, state="success").count() == 8


def test_a_playbook_that_raises_fails_with_its_traceback_and_the_next_still_runs(tmp_path: Path) -> None:
    write(
        tmp_path,
        "failing",
        """
from opensoar import playbook

@playbook(trigger="webhook", order=10)
async def breaks(alert):
    return {}["nothing"]

@playbook(trigger="webhook", order=20)
async def goes_on(alert):
    return "fine"
""",
    )
    with running(tmp_path):
        breaks, goes_on = finished(receive())
    assert breaks.state == "failed"
    assert "KeyError" in breaks.error
    assert 'return {}["nothing"]' in breaks.traceback
    assert "runner.py" not in breaks.traceback
    assert goes_on.state == "success"


def test_on_failure_stop_skips_the_rest_with_the_reason(tmp_path: Path) -> None:
    write(
        tmp_path,
        "stops",
        """
from opensoar import playbook

@playbook(trigger="webhook", order=10, on_failure="stop")
async def breaks(alert):
    raise ValueError("no")

@playbook(trigger="webhook", order=20)
async def never(alert): ...
""",
    )
    with running(tmp_path):
        breaks, never = finished(receive())
    assert (breaks.state, never.state) == ("failed", "skipped")
    assert "breaks" in never.error


def test_retries_are_attempts_of_one_call(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    write(
        tmp_path,
        "retrying",
        LEDGER_HEAD.format(path=str(book))
        + """
@action(retries=2, retry_backoff=0.01)
async def flaky():
    note("try")
    if len(BOOK.read_text().splitlines()) < 3:
        raise ConnectionError("not yet")
    return "there"

@playbook(trigger="webhook")
async def retries(alert):
    return await flaky()
""",
    )
    with running(tmp_path):
        (run,) = finished(receive())
    assert (run.state, run.result_value) == ("success", "there")
    call = ActionResult.objects.get(run=run)
    assert (call.attempts, call.state, call.repeated) == (3, "success", False)
    states = ActionAttempt.objects.filter(call_id=call.pk).order_by("number").values_list("state", flat=True)
    assert list(states) == ["failed", "failed", "success"]


def test_an_action_beyond_its_timeout_fails_and_can_be_caught(tmp_path: Path) -> None:
    write(
        tmp_path,
        "slow",
        """
import asyncio
from opensoar import action, playbook

@action(timeout=0.05)
async def slow():
    await asyncio.sleep(30)

@action()
def blocking(value):
    return value + 1

@playbook(trigger="webhook")
async def catches(alert):
    try:
        await slow()
    except TimeoutError as error:
        return [str(error), await blocking(1)]
""",
    )
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.result_value == ["action 'slow' took longer than its 0.05 s", 2]
    assert ActionResult.objects.get(run=run, name="slow").state == "failed"


def test_what_is_not_json_is_an_error_that_names_action_and_type(tmp_path: Path) -> None:
    write(
        tmp_path,
        "objects",
        """
from opensoar import action, playbook

@action()
async def gives_object():
    return object()

@playbook(trigger="webhook")
async def returns_object(alert):
    return await gives_object()
""",
    )
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.state == "failed"
    assert "gives_object" in run.error
    assert "object" in run.error


def test_a_system_exit_in_a_task_fails_its_run_and_nothing_else(tmp_path: Path) -> None:
    write(
        tmp_path,
        "exits",
        """
import asyncio, sys
from opensoar import playbook

async def leave():
    sys.exit(3)

@playbook(trigger="webhook", order=10)
async def exits(alert):
    await asyncio.gather(leave(), asyncio.sleep(0))

@playbook(trigger="webhook", order=20)
async def survives(alert):
    return "alive"
""",
    )
    with running(tmp_path):
        exits, survives = finished(receive())
    assert (exits.state, survives.state) == ("failed", "success")
    assert "SystemExit" in exits.error


def test_a_disabled_playbook_does_not_run_and_a_false_when_is_skipped(tmp_path: Path) -> None:
    write(
        tmp_path,
        "switched",
        """
from opensoar import playbook

@playbook(trigger="webhook", order=1)
async def off(alert): ...

@playbook(trigger="webhook", order=2, enabled=False)
async def born_off(alert): ...

@playbook(trigger="webhook", order=3, when=lambda alert: alert.severity == "low")
async def choosy(alert): ...
""",
    )
    with running(tmp_path):
        set_enabled(actor=Actor.system(), playbook=Playbook.objects.get(name="off"), enabled=False)
        (choosy,) = finished(receive())
        assert (choosy.playbook.name, choosy.state) == ("choosy", "skipped")
        set_enabled(actor=Actor.system(), playbook=Playbook.objects.get(name="off"), enabled=True)
        assert [run.playbook.name for run in finished(receive())] == ["off", "choosy"]


def test_a_manual_run_gets_its_input(tmp_path: Path) -> None:
    write(
        tmp_path,
        "manual",
        """
from opensoar import playbook

@playbook()
async def by_hand(input):
    return {"got": input}
""",
    )
    with running(tmp_path):
        playbook = Playbook.objects.get(name="by_hand")
        run = start_run(actor=Actor.system("me"), playbook=playbook, input={"host": "ws-1"})
        eventually(lambda: run.refresh_from_db() or run.is_final)
    assert run.result_value == {"got": {"host": "ws-1"}}
    assert run.requested_name == "me"


def test_files_that_fail_are_shown_and_their_last_good_version_keeps_running(tmp_path: Path) -> None:
    good = """
from opensoar import playbook

@playbook(trigger="webhook")
async def stays(alert): return 1
"""
    write(tmp_path, "file", good)
    with running(tmp_path):
        write(tmp_path, "file", "import nothing_of_that_name\n" + good)
        eventually(lambda: PlaybookFile.objects.exclude(error="").exists())
        (run,) = finished(receive())
        assert (run.state, run.result_value) == ("success", 1)
        write(tmp_path, "file", good.replace("return 1", "return 2"))
        eventually(lambda: not PlaybookFile.objects.exclude(error="").exists())
        (run,) = finished(receive())
        assert run.result_value == 2
    assert PlaybookFile.objects.get().error == ""


INTERRUPTED = """
@action()
async def before():
    note("before")
    return {{"at": "first life"}}

@action(idempotent={idempotent})
async def during(name):
    note(f"during {{name}}")
    if len([line for line in BOOK.read_text().splitlines() if line == f"during {{name}}"]) == 1:
        await asyncio.sleep(60)
    return name

@action()
async def after(): note("after")

@playbook(trigger="webhook", order=10)
async def interrupted(alert):
    first = await before()
    both = await asyncio.gather(during("a"), during("b"))
    try:
        return [first["at"], *both]
    finally:
        await after()

@playbook(trigger="webhook", order=20)
async def follower(alert): note("follower")
"""


def test_a_stopped_worker_hands_back_and_finished_actions_are_not_executed_again(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    write(tmp_path, "resumed", LEDGER_HEAD.format(path=str(book)) + INTERRUPTED.format(idempotent=True))
    with running(tmp_path) as engine:
        alert = receive()
        eventually(lambda: "during a" in ledger(book) and "during b" in ledger(book))
        # What a killed process leaves behind, without its claims being handed back: the lease must end first.
        engine.loop.call_soon_threadsafe(engine._let_go_of_everything)
        engine._draining.set()
        engine.beat.stop()
    Sequence.objects.filter(alert=alert).exclude(state="ready").update(state="ready", claimed_by=None)
    assert "after" not in ledger(book), "finally of a run that was let go must fire nothing"
    with running(tmp_path):
        interrupted, follower = finished(alert)
    assert interrupted.result_value == ["first life", "a", "b"]
    assert ledger(book).count("before") == 1
    assert ledger(book).count("during a") == 2
    assert ledger(book)[-2:] == ["after", "follower"]
    assert follower.state == "success"
    repeated = ActionResult.objects.filter(run=interrupted, repeated=True).values_list("name", flat=True)
    assert list(repeated) == ["during", "during"]


@pytest.mark.parametrize(
    ("decision", "value", "state", "executions", "result"),
    [
        ("again", None, "success", 2, ["first life", "a", "b"]),
        ("not_done", None, "success", 2, ["first life", "a", "b"]),
        ("cancel", None, "cancelled", 1, None),
    ],
)
def test_an_unknown_outcome_of_a_call_that_must_not_repeat_asks_a_person(
    tmp_path: Path, decision: str, value: object, state: str, executions: int, result: object
) -> None:
    book = tmp_path / "ledger"
    write(tmp_path, "held", LEDGER_HEAD.format(path=str(book)) + INTERRUPTED.format(idempotent=False))
    with running(tmp_path) as engine:
        alert = receive()
        eventually(lambda: "during a" in ledger(book) and "during b" in ledger(book))
        engine.loop.call_soon_threadsafe(engine._let_go_of_everything)
        engine._draining.set()
    with running(tmp_path):
        run = eventually(lambda: next((r for r in runs_of(alert) if r.state == "needs_attention"), None))
        assert Sequence.objects.get(alert=alert).state == "held"
        assert run.question["reason"] == "unknown_outcome"
        actor = Actor(kind="analyst", id=User(username="x").id, name="ada")
        while run.state == "needs_attention":
            decide_run(actor=actor, run=run, decision=decision, value=value)
            run = eventually(
                lambda: next((r for r in runs_of(alert) if r.is_final or r.state == "needs_attention"), None)
            )
        interrupted, follower = finished(alert)
    assert (interrupted.state, follower.state) == (state, "success")
    assert ledger(book).count("during a") == executions
    if result is not None:
        assert interrupted.result_value == result
    decided = AlertEntry.objects.filter(subject_id=alert.pk, action="run_decided")
    assert {entry.actor_name for entry in decided} == {"ada"}


def test_a_blocking_action_that_took_too_long_is_not_retried_beside_itself(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    source = """
import time

@action(timeout=0.3, retries=1, retry_backoff=0)
def slow():
    note("begin")
    time.sleep(1)
    note("end")

@playbook(trigger="webhook")
async def patient(alert): await slow()
"""
    write(tmp_path, "patient", LEDGER_HEAD.format(path=str(book)) + source)
    with running(tmp_path):
        (run,) = finished(receive())
        eventually(lambda: len(ledger(book)) == 4)
    assert (run.state, run.error) == ("failed", "TimeoutError: action 'slow' took longer than its 0.3 s")
    assert ledger(book) == ["begin", "end", "begin", "end"]
