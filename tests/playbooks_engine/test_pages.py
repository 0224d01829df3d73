"""Pages of playbooks and runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.ids import uuid7
from playbooks_engine import run_page
from playbooks_engine.models import ActionResult, Approval, CallOutput, Playbook, PlaybookRun, Sequence
from playbooks_engine.services import start_run
from playbooks_engine.sync import sync_playbooks
from tests.factories import make_alert, make_partner, make_user
from tests.playbooks_engine.engines import write

pytestmark = pytest.mark.django_db

SOURCE = """
from opensoar import playbook

@playbook(trigger="webhook", order=7, description="Looks around")
async def look(alert): ...
"""


@pytest.fixture
def playbook(tmp_path: Path) -> Playbook:
    write(tmp_path, "look", SOURCE)
    write(tmp_path, "zbroken", "import nothing_of_that_name")
    sync_playbooks([str(tmp_path)])
    return Playbook.objects.get()


def test_the_list_shows_order_and_broken_files_and_switches(client: Client, playbook: Playbook) -> None:
    client.force_login(make_user("author", role="playbook_author"))
    page = client.get(reverse("playbooks:list")).content.decode()
    assert "Looks around" in page
    assert "nothing_of_that_name" in page
    for name, enabled in (("disable", False), ("enable", True)):
        url = reverse(f"playbooks:{name}", args=[playbook.pk])
        assert client.get(url).status_code == 405
        assert client.post(url).status_code == 302
        playbook.refresh_from_db()
        assert playbook.enabled is enabled


def test_a_run_by_hand_is_queued_and_shown(client: Client, playbook: Playbook) -> None:
    client.force_login(make_user("ada"))
    alert = make_alert(title="About this")
    url = f"{reverse('runs:start')}?alert={alert.pk}"
    typed = {"playbook": str(playbook.pk), "input": '{"a": 1}'}
    assert client.post(url, typed).status_code == 302
    run = PlaybookRun.objects.get()
    assert (run.sequence.alert_id, run.input, run.requested_name) == (alert.pk, '{"a":1}', "ada")
    assert "About this" in client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert "About this" in client.get(reverse("runs:list")).content.decode()
    assert "async def look" in client.get(reverse("playbooks:detail", args=[playbook.pk])).content.decode()
    refused = client.post(url, {**typed, "input": "{nonsense"})
    assert refused.status_code == 422
    assert "{nonsense" in refused.content.decode()
    assert PlaybookRun.objects.count() == 1


def test_an_analyst_may_not_switch_and_another_partner_sees_no_run(
    client: Client, playbook: Playbook
) -> None:
    run = start_run(actor=make_user("root", role="admin").actor, playbook=playbook, input={})
    assert run.sequence.partner_id == DEFAULT_PARTNER_ID
    client.force_login(make_user("pat", partners=[make_partner()]))
    assert client.post(reverse("playbooks:disable", args=[playbook.pk])).status_code == 403
    assert client.get(reverse("runs:detail", args=[run.pk])).status_code == 404
    assert str(run.pk) not in client.get(reverse("runs:list")).content.decode()


def test_a_run_page_lists_steps_in_few_queries_and_polls_only_while_it_moves(
    client: Client, playbook: Playbook, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(make_user("ada"))
    run = start_run(actor=make_user("root", role="admin").actor, playbook=playbook, input={"a": 1})
    calls = [
        ActionResult(run=run, key=f"0.{n}", name=f"step{n}", args_digest=b"", input="{}", large=True,
                     state="success", finished_at=timezone.now(), idempotency_key=uuid7())
        for n in range(30)
    ]  # fmt: skip
    ActionResult.objects.bulk_create(calls)
    CallOutput.objects.bulk_create(
        [CallOutput(pk=call.pk, data='{"html": "<b hx-get=/x>"}') for call in calls]
    )
    with django_assert_max_num_queries(14):  # with two for the session; see tests/test_page_queries.py
        page = client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert page.index("step0") < page.index("step29")
    assert "<b hx-get" not in page
    live = reverse("runs:live", args=[run.pk])
    assert live in page
    fragment = client.get(live, headers={"HX-Request": "true"})
    assert fragment.status_code == 200
    assert b"step29" in fragment.content
    assert b"<html" not in fragment.content
    PlaybookRun.objects.filter(pk=run.pk).update(state="cancelled", finished_at=timezone.now())
    ended = client.get(live, headers={"HX-Request": "true"})
    assert ended.status_code == 286
    assert b"Cancelled" in ended.content
    assert live not in client.get(reverse("runs:detail", args=[run.pk])).content.decode()
    client.force_login(make_user("pat", partners=[make_partner()]))
    assert client.get(live).status_code == 404


def shown(client: Client, run: PlaybookRun) -> str:
    return client.get(reverse("runs:detail", args=[run.pk])).content.decode()


def waits(run: PlaybookRun, state: str, **fields: object) -> None:
    """Let it wait, as the engine leaves it."""
    PlaybookRun.objects.filter(pk=run.pk).update(state=state)
    Sequence.objects.filter(pk=run.sequence_id).update(state="waiting", **fields)


def test_pages_say_why_a_run_does_not_move(client: Client, playbook: Playbook) -> None:
    client.force_login(make_user("ada"))
    run = start_run(actor=make_user("root", role="admin").actor, playbook=playbook, alert=make_alert())
    later = PlaybookRun.objects.create(sequence=run.sequence, position=2, playbook=playbook)
    why = "Waits until 2030-01-01 00:00:00 UTC."
    waits(run, "waiting", waits_for=why, wake_at=timezone.now() + timedelta(hours=3, minutes=1))
    page = shown(client, run)
    assert why in page
    assert "in 3h" in page
    assert "Its turn comes after look." in shown(client, later)
    for name in ("runs:list", "alerts:detail"):
        args = [run.sequence.alert_id] if name == "alerts:detail" else []
        assert client.get(reverse(name, args=args)).content.decode().count(why) == 1, name
    PlaybookRun.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())
    page = shown(client, run)
    assert why not in page
    assert "Cancelling" in page
    PlaybookRun.objects.filter(pk=run.pk).update(state="cancelled", finished_at=timezone.now())
    waits(later, "pending", waits_for="Waits for its turn.", wake_at=None)
    assert "Waits for its turn." in shown(client, later)  # the second is the next now
    assert "Waits for its turn." not in shown(client, run)


def test_a_pending_approval_is_told_once(client: Client, playbook: Playbook) -> None:
    client.force_login(make_user("ada", role="lead"))
    run = start_run(actor=make_user("root", role="admin").actor, playbook=playbook, input=None)
    until = timezone.now() + timedelta(hours=1)
    Approval.objects.create(run=run, summary="Isolate ws-1?", of='["ws-1", {"a": 1}]', expires_at=until)
    waits(run, "waiting", waits_for="Waits for approval.", wake_at=until)
    page = shown(client, run)
    assert "Waits for approval." not in page
    assert page.count("Isolate ws-1?") == 1
    assert "[&quot;ws-1&quot;,{&quot;a&quot;:1}]" in page
    Sequence.objects.update(waits_for="Waits for its turn.", wake_at=None)
    assert "Waits for its turn." in shown(client, run)  # the answer alone would not let it go on


def test_a_call_that_a_cancel_interrupted_lasts_as_long_as_its_run(playbook: Playbook) -> None:
    run = start_run(actor=make_user("root", role="admin").actor, playbook=playbook)
    begun = timezone.now()
    for n, (state, seconds) in enumerate([("success", 1), ("unknown", None)]):
        ActionResult.objects.create(
            run=run, key=f"0.{n}", name=state, args_digest=b"", idempotency_key=uuid7(), state=state, started_at=begun,
            finished_at=begun + timedelta(seconds=seconds) if seconds else None,
        )  # fmt: skip
    run.state, run.finished_at = "cancelled", begun + timedelta(seconds=4)
    finished, interrupted = run_page.steps(run)
    assert finished.bars[0].width == run_page.LANE / 4
    assert interrupted.bars[0].width == run_page.LANE
    assert run_page.axis(run, [finished, interrupted])[-1] == (run_page.LANE, "4.0 s")


def test_playbooks_show_schedule_lane_and_isolation(client: Client, playbook: Playbook) -> None:
    client.force_login(make_user("ada"))
    pages = [reverse("playbooks:list"), reverse("playbooks:detail", args=[playbook.pk])]
    for page in pages:
        text = client.get(page).content.decode()
        assert not any(word in text for word in ("*/5 * * * *", "isolated", "process of its own"))
    Playbook.objects.update(
        trigger="schedule", cron="*/5 * * * *", lane="hostname", isolated_since=timezone.now()
    )
    for page in pages:
        text = client.get(page).content.decode()
        assert all(word in text for word in ("*/5 * * * *", "lane", "hostname", "its own"))
