"""Durable waits: sleep, approvals and retries outlive their worker, and hold none while they last."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from alerts.models import AlertEntry
from opensoar.actors import Actor
from opensoar.errors import Conflict
from playbooks_engine.models import ActionAttempt, ActionResult, Approval, PlaybookRun, RunLog, Sequence
from playbooks_engine.secrets import set_secret
from playbooks_engine.services import decide_approval
from tests.factories import SYSTEM
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
ADA = Actor(kind="analyst", id=None, name="ada", capabilities=frozenset({"playbooks:execute"}))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def playbook(folder: Path, book: Path, source: str) -> None:
    head = LEDGER_HEAD + "from opensoar import log, request_approval, sleep\n"
    write(folder, "waits", head.format(path=str(book)) + source)


def parked(alert: object) -> PlaybookRun:
    """Its run, once it waits in the database alone."""

    def look() -> PlaybookRun | None:
        (run,) = runs_of(alert)  # type: ignore[arg-type]
        return run if (run.state, run.sequence.state) == ("waiting", "waiting") else None

    return eventually(look)  # type: ignore[no-any-return]


def test_a_sleeping_run_leaves_its_worker_and_goes_on_elsewhere_when_it_is_time(
    tmp_path: Path, book: Path
) -> None:
    playbook(
        tmp_path, book,
        """
@action()
async def step(name):
    note(name)
    return name

@playbook(trigger="webhook")
async def sleepy(alert):
    before = await step("before")
    try:
        await sleep(3600)
    finally:
        await step("after")
    return before
""",
    )  # fmt: skip
    with running(tmp_path) as engine:
        alert = receive()
        run = parked(alert)
        assert not engine.live
        assert run.sequence.claimed_by is None
    due = run.sequence.wake_at - run.started_at  # type: ignore[operator]
    assert timedelta(seconds=3590) < due < timedelta(seconds=3610)
    assert ledger(book) == ["before"], "letting go fires no finally"
    Sequence.objects.update(wake_at=timezone.now())
    ActionResult.objects.filter(kind="sleep").update(wake_at=timezone.now())
    with running(tmp_path):
        (run,) = finished(alert)
    assert (run.state, run.result_value) == ("success", "before")
    assert ledger(book) == ["before", "after"]
    assert list(run.calls.values_list("name", "state")) == [
        ("step", "success"), ("sleep", "success"), ("step", "success"),
    ]  # fmt: skip


def test_short_sleeps_and_those_of_gathered_branches_end_when_they_are_due(
    tmp_path: Path, book: Path
) -> None:
    playbook(
        tmp_path, book,
        """
async def branch(name, seconds):
    await sleep(seconds)
    note(name)

@playbook(trigger="webhook")
async def sleepy(alert):
    await asyncio.gather(branch("long", 1.2), branch("short", 0.1), branch("middle", 0.5))
    await sleep(0)
""",
    )  # fmt: skip
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.state == "success"
    assert ledger(book) == ["short", "middle", "long"]


def test_an_authors_own_time_limit_holds_for_a_durable_wait(tmp_path: Path, book: Path) -> None:
    playbook(
        tmp_path, book,
        """
@playbook(trigger="webhook")
async def impatient(alert):
    try:
        await asyncio.wait_for(sleep(3600), 2)
    except TimeoutError:
        return "gave up"
""",
    )  # fmt: skip
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.result_value == "gave up"


APPROVAL = """
@action()
async def isolate(host):
    note(f"isolated {host}")

@playbook(trigger="webhook")
async def contains(alert):
    answer = await request_approval("Isolate ws-1?", of={"host": "ws-1"}, timeout=TIMEOUT, on_timeout="MEANS")
    if answer:
        await isolate("ws-1")
    return {"state": answer.state, "approved": answer.approved, "by": answer.by, "comment": answer.comment}
"""


@pytest.mark.parametrize("away", [False, True], ids=["while its worker lives", "after a restart"])
@pytest.mark.parametrize("yes", [True, False])
def test_an_approval_waits_for_a_person_and_the_run_goes_on_with_the_answer(
    tmp_path: Path, book: Path, yes: bool, away: bool
) -> None:
    playbook(tmp_path, book, APPROVAL.replace("TIMEOUT", "3600").replace("MEANS", "deny"))
    with running(tmp_path):
        alert = receive()
        parked(alert)
        approval = Approval.objects.get()
        assert (approval.summary, approval.of, approval.state) == (
            "Isolate ws-1?", '{"host":"ws-1"}', "pending",
        )  # fmt: skip
        if not away:
            decide_approval(actor=ADA, approval=approval, approve=yes, comment="seen")
            finished(alert)
    if away:
        decide_approval(actor=ADA, approval=approval, approve=yes, comment="seen")
        with running(tmp_path):
            finished(alert)
    (run,) = runs_of(alert)
    assert run.result_value == {
        "state": "approved" if yes else "denied", "approved": yes, "by": "ada", "comment": "seen",
    }  # fmt: skip
    assert ledger(book) == (["isolated ws-1"] if yes else [])
    words = list(AlertEntry.objects.filter(subject_id=alert.pk).values_list("action", flat=True))
    assert words == ["playbook_started", "approval_requested", "approval_decided", "playbook_finished"]
    with pytest.raises(Conflict, match="decided already"):
        decide_approval(actor=ADA, approval=approval, approve=not yes)


@pytest.mark.parametrize("means", ["deny", "approve"])
def test_what_nobody_answers_in_time_means_what_the_author_said(
    tmp_path: Path, book: Path, means: str
) -> None:
    playbook(tmp_path, book, APPROVAL.replace("TIMEOUT", "0.5").replace("MEANS", means))
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.result_value["state"] == "expired"
    assert run.result_value["approved"] is (means == "approve")
    with pytest.raises(Conflict):
        decide_approval(actor=ADA, approval=Approval.objects.get(), approve=True)


def test_two_questions_at_once_are_answered_one_by_one(tmp_path: Path, book: Path) -> None:
    playbook(
        tmp_path, book,
        """
@playbook(trigger="webhook")
async def asks(alert):
    answers = await asyncio.gather(request_approval("first"), request_approval("second"))
    return [answer.approved for answer in answers]
""",
    )  # fmt: skip
    with running(tmp_path):
        alert = receive()
        parked(alert)
        decide_approval(actor=ADA, approval=Approval.objects.get(summary="second"), approve=False)
        eventually(lambda: ActionResult.objects.filter(kind="approval", state="success").count() == 1)
        decide_approval(actor=ADA, approval=Approval.objects.get(summary="first"), approve=True)
        (run,) = finished(alert)
    assert run.result_value == [True, False]


def test_a_long_wait_before_a_retry_is_durable_and_counts_the_attempts_before_it(
    tmp_path: Path, book: Path
) -> None:
    playbook(
        tmp_path, book,
        """
@action(retries=2, retry_backoff=60)
async def flaky():
    note("try")
    if BOOK.read_text().count("try") < 3:
        raise ConnectionError("away")
    return "back"

@playbook(trigger="webhook")
async def stubborn(alert):
    return await flaky()
""",
    )  # fmt: skip
    with running(tmp_path):
        alert = receive()
        for attempts in (1, 2):
            parked(alert)
            assert ledger(book) == ["try"] * attempts
            ActionResult.objects.update(wake_at=timezone.now())
            Sequence.objects.update(wake_at=timezone.now())
            eventually(lambda n=attempts: len(ledger(book)) > n)
        (run,) = finished(alert)
    assert run.result_value == "back"
    assert list(ActionAttempt.objects.order_by("number").values_list("state", flat=True)) == [
        "failed", "failed", "success",
    ]  # fmt: skip
    assert not run.calls.get().repeated


def test_lines_are_logged_once_however_often_the_run_is_replayed(tmp_path: Path, book: Path) -> None:
    playbook(
        tmp_path, book,
        """
@playbook(trigger="webhook")
async def talks(alert):
    log.info("begins with %s", alert.title)
    await sleep(1.5)
    log.warning("goes on")
""",
    )  # fmt: skip
    with running(tmp_path):
        (run,) = finished(receive())
    assert list(RunLog.objects.filter(run=run).values_list("level", "text")) == [
        ("info", "begins with Test"), ("warning", "goes on"),
    ]  # fmt: skip


def test_a_playbooks_timeout_ends_its_run_wherever_it_is(tmp_path: Path, book: Path) -> None:
    playbook(
        tmp_path, book,
        """
@action()
async def hangs():
    note("hangs")
    await asyncio.sleep(60)

@playbook(trigger="webhook", order=1, timeout=1)
async def slow(alert):
    try:
        await hangs()
    finally:
        note("cleanup")
        await hangs()

@playbook(trigger="webhook", order=2, timeout=2)
async def sleeper(alert):
    await sleep(3600)

@playbook(trigger="webhook", order=3)
async def last(alert): note("last")
""",
    )  # fmt: skip
    with running(tmp_path):
        slow, sleeper, last = finished(receive())
    assert (slow.state, slow.error) == ("failed", "The run took longer than its timeout of 1 s.")
    assert (sleeper.state, sleeper.error) == ("failed", "The run took longer than its timeout of 2 s.")
    assert last.state == "success"
    assert ledger(book) == ["hangs", "cleanup", "last"]
    assert set(slow.calls.values_list("state", flat=True)) == {"unknown"}


def test_what_is_logged_is_masked_in_the_workers_own_log_too(
    tmp_path: Path, book: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_secret(actor=SYSTEM, name="key", value="the-value-itself")
    playbook(
        tmp_path, book,
        """
from opensoar import secret

@playbook(trigger="webhook")
async def careless(alert):
    log.warning("used %s", secret("key"))
    try:
        raise ValueError(secret("key"))
    except ValueError:
        log.exception("failed")
""",
    )  # fmt: skip
    caplog.set_level("INFO")
    with running(tmp_path):
        finished(receive())
    said = caplog.text + "".join(RunLog.objects.values_list("text", flat=True))
    assert "used ••••(key)" in said
    assert "the-value-itself" not in said


def test_a_policy_that_does_not_exist_is_refused(tmp_path: Path, book: Path) -> None:
    playbook(
        tmp_path, book,
        """
@playbook(trigger="webhook")
async def asks(alert):
    await request_approval("May I?", policy="two-leads")
""",
    )  # fmt: skip
    with running(tmp_path):
        (run,) = finished(receive())
    assert (run.state, "no approval policies yet" in run.error) == ("failed", True)
