"""Cancelling a run or a whole sequence: by service, page and API, in whatever state it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from alerts.models import AlertEntry
from opensoar.errors import Conflict
from playbooks_engine.models import ActionAttempt, Approval, PlaybookRun, Sequence
from playbooks_engine.services import cancel_run
from playbooks_engine.sync import sync_playbooks
from tests.factories import SYSTEM, make_token, make_user
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
from opensoar import request_approval, sleep

@action()
async def long(name):
    note(f"begin {name}")
    try:
        await asyncio.sleep(60)
    finally:
        note(f"unwound {name}")

@action()
async def undo(name):
    note(f"undo {name}")

@playbook(trigger="webhook", order=1, conditions={"tags": ["long"]})
async def works(alert):
    try:
        await asyncio.gather(long("a"), long("b"))
    finally:
        await undo("a")

@playbook(trigger="webhook", order=2, conditions={"tags": ["asks"]})
async def asks(alert):
    await request_approval("May I?")

@playbook(trigger="webhook", order=3)
async def last(alert): note("last")
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    book = tmp_path / "ledger"
    write(folder, "cancelled", LEDGER_HEAD.format(path=str(book)) + SOURCE)
    return book


@pytest.mark.usefixtures("fresh_database")
def test_a_call_that_is_awaited_is_interrupted_at_once_and_never_made_again(book: Path) -> None:
    with running(book.parent / "playbooks"):
        alert = receive(tags=["long"])
        eventually(lambda: {"begin a", "begin b"} <= set(ledger(book)))
        cancelled = cancel_run(actor=SYSTEM, run=runs_of(alert)[0])
        assert cancelled.cancel_requested_at is not None
        works, last = finished(alert)
    assert (works.state, works.error) == ("cancelled", "Cancelled by tests.")
    assert last.state == "success", "the next in order goes on"
    assert sorted(ledger(book)) == ["begin a", "begin b", "last", "unwound a", "unwound b"]
    assert "undo a" not in ledger(book), "a finally of the playbook has no effect any more"
    assert set(works.calls.values_list("state", flat=True)) == {"unknown"}
    assert set(ActionAttempt.objects.values_list("state", flat=True)) == {"unknown"}
    words = list(AlertEntry.objects.filter(subject_id=alert.pk).values_list("action", flat=True))
    assert words.count("run_cancelled") == 1
    with pytest.raises(Conflict, match="ended"):
        cancel_run(actor=SYSTEM, run=works)


@pytest.mark.usefixtures("fresh_database")
def test_a_whole_sequence_ends_with_the_run_that_is_under_way(book: Path) -> None:
    with running(book.parent / "playbooks"):
        alert = receive(tags=["long"])
        eventually(lambda: len(ledger(book)) == 2)
        cancel_run(actor=SYSTEM, run=runs_of(alert)[0], whole_sequence=True)
        runs = finished(alert)
        eventually(lambda: Sequence.objects.get().state in {"cancelled", "done"})
    assert {run.state for run in runs} == {"cancelled"}
    assert "last" not in ledger(book)


@pytest.mark.usefixtures("fresh_database")
def test_a_run_that_waits_ends_at_once_without_any_worker(book: Path) -> None:
    with running(book.parent / "playbooks"):
        alert = receive(tags=["asks"])
        eventually(lambda: runs_of(alert)[0].state == "waiting")
    asks = cancel_run(actor=SYSTEM, run=runs_of(alert)[0])
    assert asks.state == "cancelled"
    assert Approval.objects.get().state == "cancelled"
    assert Sequence.objects.get().state == "ready"
    with running(book.parent / "playbooks"):
        assert [run.state for run in finished(alert)] == ["cancelled", "success"]


@pytest.mark.django_db
def test_what_was_not_begun_is_cancelled_where_it_stands(book: Path) -> None:
    sync_playbooks([str(book.parent / "playbooks")])
    alert = receive(tags=["asks"])
    first, last = runs_of(alert)
    assert cancel_run(actor=SYSTEM, run=last).state == "cancelled"
    assert Sequence.objects.get().state == "ready"
    assert cancel_run(actor=SYSTEM, run=first).state == "cancelled"
    assert Sequence.objects.get().state == "cancelled"


@pytest.mark.django_db
def test_people_cancel_on_the_page_and_machines_by_rest(book: Path, client: Client) -> None:
    sync_playbooks([str(book.parent / "playbooks")])
    client.force_login(make_user("ada", role="admin"))
    run = runs_of(receive(tags=["asks"], source_id="1"))[0]
    page = client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    url = reverse("runs:cancel", args=[run.pk])
    assert url in page
    assert "rest of its sequence" in client.get(url).content.decode()
    assert client.post(url, {"whole_sequence": "on"}).status_code == 302
    assert set(PlaybookRun.objects.values_list("state", "cancelled_by")) == {("cancelled", "ada")}
    assert "Cancelled by ada" in client.get(reverse("runs:detail", args=[run.pk])).content.decode()

    run = runs_of(receive(tags=["asks"], source_id="2"))[0]
    headers = {"Authorization": f"Bearer {make_token(['admin'])[1]}"}
    url = f"/api/v1/runs/{run.pk}/cancel"
    answer = client.post(url, {"sequence": True}, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    again = client.post(url, {}, content_type="application/json", headers=headers)
    assert (again.status_code, again.json()["detail"]) == (409, "This run has ended.")
    client.force_login(make_user("vic", role="viewer"))
    assert client.post(reverse("runs:cancel", args=[run.pk])).status_code == 403
