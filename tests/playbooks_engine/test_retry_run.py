"""Retrying a failed run: from the step that failed, with what had finished not done again."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from alerts.models import AlertEntry
from opensoar.errors import Conflict
from playbooks_engine.models import PlaybookRun
from playbooks_engine.services import cancel_run, decide_run, retry_run, set_enabled
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
from opensoar import add_current_alert_comment

@action()
async def collect():
    note("collect")
    return "x" * 40_000

@action()
async def probe():
    note("probe")
    raise LookupError("caught by the author")

@action()
async def isolate(host):
    note(f"isolate {host}")
    await add_current_alert_comment("isolating")
    if not WORKS.exists():
        raise ConnectionError("the EDR is away")
    return host

@playbook(trigger="webhook")
async def contain(alert):
    size = len(await collect())
    try:
        await probe()
    except LookupError as error:
        found = str(error)
    await add_current_alert_comment("collected")
    hosts = await asyncio.gather(isolate("ws-1"), collect())
    return [size, found, hosts[0]]
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    book = tmp_path / "ledger"
    head = LEDGER_HEAD.format(path=str(book)) + f"WORKS = Path({str(tmp_path / 'works')!r})\n"
    write(folder, "contain", head + SOURCE)
    return book


def again_of(run: PlaybookRun) -> PlaybookRun:
    def look() -> PlaybookRun | None:
        found = PlaybookRun.objects.select_related("sequence").get(pk=run.pk)
        return found if found.is_final else None

    return eventually(look)  # type: ignore[no-any-return]


@pytest.mark.usefixtures("fresh_database")
def test_a_retry_goes_on_from_the_step_that_failed(book: Path) -> None:
    with running(book.parent / "playbooks"):
        alert = receive()
        (failed,) = finished(alert)
        assert failed.error == "ConnectionError: the EDR is away"
        assert list(failed.calls.filter(ended_run=True).values_list("name", flat=True)) == ["isolate"]
        (book.parent / "works").touch()
        again = again_of(retry_run(actor=SYSTEM, run=failed))
    assert (again.state, again.result_value) == ("success", [40_000, "caught by the author", "ws-1"])
    assert (again.retry_of, again.sequence.event, again.source_id) == (failed, "retry", failed.source_id)
    assert ledger(book).count("probe") == 1, "a failure that the author caught is finished, too"
    assert ledger(book).count("isolate ws-1") == 2
    assert ledger(book).count("collect") == 2, "of the first life, both"
    texts = AlertEntry.objects.filter(subject_id=alert.pk, action="comment").count()
    assert texts == 3, "collected once; what the failed call had said, it says again"
    failed.refresh_from_db()
    assert failed.state == "failed", "final states never change"


@pytest.mark.usefixtures("fresh_database")
def test_a_retry_with_the_mended_file_runs_the_mended_file(book: Path) -> None:
    with running(book.parent / "playbooks"):
        alert = receive()
        (failed,) = finished(alert)
        path = book.parent / "playbooks" / "contain.py"
        path.write_text(path.read_text().replace("if not WORKS.exists():", "if False:"))
        sync_playbooks([str(path.parent)])
        stale = again_of(retry_run(actor=SYSTEM, run=failed))
        mended = again_of(retry_run(actor=SYSTEM, run=failed, current_source=True))
    assert (stale.state, mended.state) == ("failed", "success")


@pytest.mark.django_db
def test_only_what_failed_and_can_run_is_retried(book: Path, client: Client) -> None:
    sync_playbooks([str(book.parent / "playbooks")])
    (run,) = runs_of(receive())
    with pytest.raises(Conflict, match="failed or cancelled"):
        retry_run(actor=SYSTEM, run=run)
    run = cancel_run(actor=SYSTEM, run=run)
    client.force_login(make_user("ada", role="admin"))
    page = client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    url = reverse("runs:retry", args=[run.pk])
    assert url in page
    answer = client.post(url)
    again = PlaybookRun.objects.exclude(pk=run.pk).get()
    assert answer.headers["Location"] == reverse("runs:detail", args=[again.pk])
    headers = {"Authorization": f"Bearer {make_token(['admin'])[1]}"}
    rest = client.post(
        f"/api/v1/runs/{run.pk}/retry",
        {"current_source": True},
        content_type="application/json",
        headers=headers,
    )
    assert (rest.status_code, rest.json()["retry_of"]) == (201, str(run.pk))
    set_enabled(actor=SYSTEM, playbook=run.playbook, enabled=False)
    run.playbook.refresh_from_db()
    with pytest.raises(Conflict, match="switched off"):
        retry_run(actor=SYSTEM, run=run)


@pytest.mark.usefixtures("fresh_database")
def test_what_a_cancel_left_unknown_is_not_made_again_by_a_retry_without_asking(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    source = """
from opensoar import idempotency_key

@action(idempotent=False)
async def once():
    note(f"once {idempotency_key()}")
    if len(BOOK.read_text().splitlines()) == 1:
        await asyncio.sleep(60)

@playbook(trigger="webhook")
async def careful(alert): await once()
"""
    write(tmp_path, "careful", LEDGER_HEAD.format(path=str(book)) + source)
    with running(tmp_path):
        alert = receive()
        eventually(lambda: ledger(book))
        cancel_run(actor=SYSTEM, run=runs_of(alert)[0])
        (run,) = finished(alert)
        again = retry_run(actor=SYSTEM, run=run)
        eventually(lambda: PlaybookRun.objects.get(pk=again.pk).state == "needs_attention")
        assert len(ledger(book)) == 1
        decide_run(actor=SYSTEM, run=again, decision="again")
        eventually(lambda: PlaybookRun.objects.get(pk=again.pk).state == "success")
    first, second = ledger(book)
    assert first == second, "with the key of the first"
