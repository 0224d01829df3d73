"""Who goes when: lanes keep sequences about one thing apart, max_concurrent bounds a playbook's runs."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.ids import uuid7
from playbooks_engine import lanes, turns
from playbooks_engine.execution import Execution
from playbooks_engine.models import Approval, LaneTicket, PlaybookRun, Sequence
from playbooks_engine.preparation import Job
from playbooks_engine.services import cancel_run, decide_approval
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

SOURCE = """
from opensoar import sleep

@action()
async def step(host, number):
    note(f"{host} {number} begin")
    await asyncio.sleep(0.05)
    note(f"{host} {number} end")

@playbook(trigger="webhook", order=1, lane="hostname")
async def first(alert):
    await step(alert.hostname, alert.source_id)

@playbook(trigger="webhook", order=2)
async def second(alert):
    await step(alert.hostname, alert.source_id)
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    return tmp_path / "ledger"


def playbooks(book: Path, source: str) -> Path:
    folder = book.parent / "playbooks"
    write(folder, "turns", LEDGER_HEAD.format(path=str(book)) + source)
    return folder


@pytest.mark.usefixtures("fresh_database")
def test_sequences_about_one_host_take_turns_in_the_order_they_came_and_others_need_not_wait(
    book: Path,
) -> None:
    with running(playbooks(book, SOURCE)):
        alerts = [
            receive(hostname=host, source_id=f"{n}")
            for n, host in enumerate(["ws-1", "WS-1", "ws-1", "db-1"])
        ]
        for alert in alerts:
            finished(alert)
        eventually(lambda: set(Sequence.objects.values_list("state", flat=True)) == {"done"})
    lines = [line for line in ledger(book) if not line.startswith("db-1")]
    assert [line.split()[1] for line in lines] == ["0"] * 4 + ["1"] * 4 + ["2"] * 4, "nothing in between"
    others = [n for n, line in enumerate(ledger(book)) if line.startswith("db-1")]
    assert others[0] < 8, "another host's did not wait for all of them"
    assert not LaneTicket.objects.exists()


@pytest.mark.usefixtures("fresh_database")
@pytest.mark.parametrize("hold", [False, True])
def test_a_run_that_waits_gives_its_lane_up_unless_it_holds_it(book: Path, hold: bool) -> None:
    source = f"""
from opensoar import sleep

@playbook(trigger="webhook", lane="hostname", lane_hold={hold})
async def first(alert):
    note(f"{{alert.source_id}} before")
    if alert.source_id == "0":
        await sleep(1.5)
    note(f"{{alert.source_id}} after")
"""
    with running(playbooks(book, source)):
        alerts = [receive(hostname="ws-1", source_id=f"{n}") for n in range(2)]
        for alert in alerts:
            finished(alert)
    lines = [line for n, line in enumerate(ledger(book)) if line not in ledger(book)[:n]]  # of both lives
    apart = ["0 before", "0 after", "1 before", "1 after"]
    between = ["0 before", "1 before", "1 after", "0 after"]
    assert lines == (apart if hold else between)


@pytest.mark.usefixtures("fresh_database")
def test_no_more_runs_of_a_playbook_are_under_way_than_it_allows(book: Path) -> None:
    source = """
@action()
async def work(number):
    note("begin")
    await asyncio.sleep(0.3)
    note("end")

@playbook(trigger="webhook", max_concurrent=2)
async def bounded(alert):
    await work(alert.source_id)
"""
    with running(playbooks(book, source)):
        alerts = [receive(source_id=f"{n}") for n in range(5)]
        for alert in alerts:
            assert [run.state for run in finished(alert)] == ["success"]
    at_once = most = 0
    for line in ledger(book):
        at_once += 1 if line == "begin" else -1
        most = max(most, at_once)
    assert most == 2


@pytest.mark.usefixtures("fresh_database")
def test_a_free_slot_goes_to_who_waits_longest_at_once(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbooks_engine.execution.SLOT_SECONDS", 3600)  # nobody looks by himself
    monkeypatch.setattr("playbooks_engine.execution.MAX_SLOT_SECONDS", 3600)
    source = """
@playbook(trigger="webhook", max_concurrent=1)
async def bounded(alert):
    note(alert.source_id)
    while not (BOOK.parent / f"gate{alert.source_id}").exists():
        await asyncio.sleep(0.02)
"""
    with running(playbooks(book, source)):
        alerts = []
        for n in range(3):
            alerts.append(receive(source_id=str(n)))
            # Parked, not merely claimed: the order in which they wait is what is judged.
            eventually(lambda waiting=n: Sequence.objects.filter(state="waiting").count() == waiting)
            eventually(lambda: Sequence.objects.filter(state="ready").count() == 0)
        assert ledger(book) == ["0"]
        for n, alert in enumerate(alerts):
            (book.parent / f"gate{n}").touch()
            finished(alert)
    assert ledger(book) == ["0", "1", "2"]


@pytest.mark.usefixtures("fresh_database")
def test_a_slot_freed_while_a_run_is_about_to_wait_is_not_overlooked(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playbooks_engine.execution.SLOT_SECONDS", 3600)  # nobody looks by himself
    monkeypatch.setattr("playbooks_engine.execution.MAX_SLOT_SECONDS", 3600)
    park = Execution._park
    found_none: list[str] = []

    async def park_once_the_slot_is_free(execution: Execution, job: Job, *args: Any, **named: Any) -> None:
        found_none.append(job.name)
        (book.parent / "gate").touch()
        while await execution.engine.in_helper_thread(PlaybookRun.objects.filter(state="running").exists):
            await asyncio.sleep(0.02)
        await park(execution, job, *args, **named)

    monkeypatch.setattr(Execution, "_park", park_once_the_slot_is_free)
    source = """
@playbook(trigger="webhook", max_concurrent=1)
async def bounded(alert):
    while not (BOOK.parent / "gate").exists():
        await asyncio.sleep(0.02)
"""
    with running(playbooks(book, source)):
        for alert in [receive(source_id=str(n)) for n in range(2)]:
            finished(alert)
    assert found_none == ["bounded"]


@pytest.mark.django_db
def test_a_cancelled_sequence_gives_its_turn_on(book: Path) -> None:
    from playbooks_engine.sync import sync_playbooks

    sync_playbooks([str(playbooks(book, SOURCE))])
    first, second = (receive(hostname="ws-1", source_id=f"{n}") for n in range(2))
    states = dict(Sequence.objects.values_list("alert_id", "state"))
    assert (states[first.pk], states[second.pk]) == ("ready", "waiting")
    waits = Sequence.objects.get(alert=second).waits_for
    assert "hostname=ws-1" in waits
    cancel_run(actor=SYSTEM, run=runs_of(first)[0], whole_sequence=True)
    assert Sequence.objects.get(alert=second).state == "ready"


def queue(*names: str) -> Sequence:
    sequence = Sequence(
        partner_id=DEFAULT_PARTNER_ID, event="manual", correlation_id=uuid7(), total=1, lanes=sorted(names)
    )
    lanes.issue([sequence])
    sequence.save(force_insert=True)
    return sequence


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_whatever_ends_first_no_lane_has_two_turns_and_everybody_gets_theirs(wanted, order) -> None:
    Sequence.objects.all().delete()
    queued = [queue(*names) for names in wanted]
    left = {sequence.pk: set(sequence.lanes) for sequence in queued}
    while left:
        ready = list(Sequence.objects.filter(state="ready").values_list("pk", flat=True))
        assert ready, "somebody always has the turn"
        holders = defaultdict(list)
        for pk in ready:
            for lane in left[pk]:
                holders[lane].append(pk)
        assert all(len(pks) == 1 for pks in holders.values()), "one at a time in each lane"
        ended = order.choice(sorted(ready))
        Sequence.objects.filter(pk=ended).update(state="done")
        if order.random() < 0.8:
            lanes.leave([(ended, left.pop(ended))])
        else:  # whoever should have given the turn on died
            left.pop(ended)
            LaneTicket.objects.filter(sequence_id=ended).delete()
            turns.rescue_turns()


@pytest.mark.usefixtures("fresh_database")
def test_who_waits_for_its_turn_again_does_not_jump_it_by_a_second_answer(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    source = """
from opensoar import request_approval

@playbook(trigger="webhook", lane="hostname")
async def asks(alert):
    if alert.title == "asks":
        await asyncio.gather(request_approval("One?"), request_approval("Two?"))
        note("answered")
        return
    note("begin")
    while not (BOOK.parent / "gate").exists():
        await asyncio.sleep(0.02)
    note("end")
"""
    write(tmp_path, "asks", LEDGER_HEAD.format(path=str(book)) + source)
    with running(tmp_path):
        first = receive(title="asks", hostname="ws-1")
        eventually(lambda: Sequence.objects.get(alert=first).state == "waiting")
        second = receive(title="works", hostname="ws-1")
        eventually(lambda: ledger(book) == ["begin"])
        for approval in Approval.objects.order_by("id"):
            decide_approval(actor=SYSTEM, approval=approval, approve=True)
            waiting = Sequence.objects.get(alert=first)
            assert (waiting.state, waiting.wake_at) == ("waiting", None)
            assert waiting.waits_for.startswith("Waits for its turn")
        (tmp_path / "gate").touch()
        finished(second)
        finished(first)
    assert ledger(book) == ["begin", "end", "answered"]
