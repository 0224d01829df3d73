"""While a run takes its time: nobody waits for it, its page follows it, and it can be ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from alerts.models import Alert
from playbooks_engine.models import PlaybookRun
from tests.factories import make_token, make_user
from tests.playbooks_engine.engines import LEDGER_HEAD, eventually, ledger, receive, running, runs_of, write

pytestmark = pytest.mark.usefixtures("fresh_database")
SOURCE = """
from opensoar import add_current_alert_comment

async def opened(gate):
    while not (BOOK.parent / gate).exists():
        await asyncio.sleep(0.02)

@action()
async def waits_for(gate):
    note(f"waits for {gate}")
    await opened(gate)
    return gate

@playbook(trigger="webhook")
async def slow(alert):
    await waits_for("one")
    await add_current_alert_comment("One is open")
    await opened("two")  # in the playbook's own code, between calls
    await waits_for("three")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of its gates; the engine runs meanwhile."""
    (tmp_path / "playbooks").mkdir()
    write(tmp_path / "playbooks", "slow", LEDGER_HEAD.format(path=str(tmp_path / "book")) + SOURCE)
    with running(tmp_path / "playbooks"):
        yield tmp_path


def steps(client: Client, run: PlaybookRun) -> str:
    return client.get(reverse("runs:detail", args=[run.pk])).content.decode()


def test_its_alert_can_be_edited_its_page_follows_and_cancel_ends_it(folder: Path) -> None:
    lead = make_user("lena", role="lead")
    client = Client()
    client.force_login(lead)
    api = {"HTTP_AUTHORIZATION": f"Bearer {make_token(['admin'])[1]}"}
    alert = receive(severity="low")
    eventually(lambda: ledger(folder / "book") == ["waits for one"])
    (run,) = runs_of(alert)

    answer = client.patch(
        f"/api/v1/alerts/{alert.pk}", {"severity": "high"}, content_type="application/json", **api
    )
    assert answer.status_code == 200, answer.content
    assert Alert.objects.get(pk=alert.pk).severity == "high"
    assert "waits_for" in steps(client, run)

    (folder / "one").touch()
    eventually(lambda: "One is open" in steps(client, run))
    client.post(reverse("alerts:claim", args=[alert.pk]))
    assert Alert.objects.get(pk=alert.pk).assigned_to == lead

    (folder / "two").touch()
    eventually(lambda: ledger(folder / "book")[-1] == "waits for three")
    answer = client.post(f"/api/v1/runs/{run.pk}/cancel", content_type="application/json", **api)
    assert answer.status_code in (200, 202), answer.content
    eventually(lambda: runs_of(alert)[0].state == "cancelled")
    assert "Cancelled by" in steps(client, run)


def test_no_transaction_stays_open_while_its_code_runs(folder: Path) -> None:
    receive()
    eventually(lambda: ledger(folder / "book") == ["waits for one"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()

        def older() -> list[tuple[object, ...]]:
            cursor.execute(
                "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND xact_start < %s",
                (now,),
            )
            return cursor.fetchall()

        eventually(lambda: not older())  # one that lasted as long as the call would be there for ever
    (folder / "one").touch()
    (folder / "two").touch()
    (folder / "three").touch()
