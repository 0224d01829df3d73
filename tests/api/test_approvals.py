"""Approvals, logs, cancel and retry by REST, and their dialogs on the run's page."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from opensoar.accounts.models import AuditEntry
from opensoar.ids import uuid7
from playbooks_engine.models import ActionResult, Approval, Playbook, PlaybookRun, RunLog, Sequence
from playbooks_engine.pages import waiting_count
from playbooks_engine.services import start_run
from tests.api.clients import V1, client_of, machine, queries
from tests.api.test_playbooks import sync
from tests.factories import SYSTEM, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def playbook(tmp_path: Path) -> Playbook:
    return sync(tmp_path, 20)[0]


def asking(playbook: Playbook, *, hours: float = 1, **fields: Any) -> Approval:
    """A run that waits for an answer, as the engine leaves it."""
    alert = fields.pop("alert", None) or make_alert(f"About {uuid7()}")
    run = start_run(actor=SYSTEM, playbook=playbook, alert=alert)
    until = timezone.now() + timedelta(hours=hours)
    PlaybookRun.objects.filter(pk=run.pk).update(state="waiting", started_at=timezone.now())
    Sequence.objects.filter(pk=run.sequence_id).update(
        state="waiting", wake_at=until, waits_for="Waits for approval."
    )
    call = ActionResult.objects.create(
        run=run, key="0.0", kind="approval", name="approval", args_digest=b"", idempotency_key=uuid7(), wake_at=until
    )  # fmt: skip
    return Approval.objects.create(
        id=call.pk,
        run=run,
        expires_at=until,
        **{"summary": "Isolate ws-1?", "of": '{"host": "ws-1"}'} | fields,
    )


def decide(client: Any, approval: Approval, verb: str = "approve", **body: Any) -> tuple[int, Any]:
    answer = client.post(f"{V1}approvals/{approval.pk}/{verb}", body)
    return answer.status_code, answer.json()


# --- REST ----------------------------------------------------------------------------------------------------------


def test_the_list_is_newest_first_and_filters(playbook: Playbook) -> None:
    client = client_of(make_user())
    first, second = (
        asking(playbook),
        asking(playbook, state="denied", summary="Other?", of=None, policy="tier-1"),
    )

    def ids(**query: Any) -> list[str]:
        found = client.get(V1 + "approvals", query).json()
        assert found["total"] == len(found["approvals"])
        return [each["id"] for each in found["approvals"]]

    assert ids() == [str(second.pk), str(first.pk)]
    assert ids(status="pending") == ids(run_id=str(first.run_id)) == [str(first.pk)]
    assert ids(status="pending", run_id=str(second.run_id)) == []
    for query in ({"status": "maybe"}, {"run_id": "x"}, {"limit": 0}):
        assert client.get(V1 + "approvals", query).status_code == 422, query
    shown = client.get(V1 + "approvals", {"status": "pending"}).json()["approvals"][0]
    assert (shown["of"], shown["policy"], shown["decided_by"]) == ({"host": "ws-1"}, None, None)
    assert (shown["playbook_name"], shown["on_timeout"], shown["status"]) == ("p20", "deny", "pending")
    run = client.get(f"{V1}runs/{first.run_id}").json()
    assert (run["approvals"], run["status"], run["waits_for"]) == ([shown], "waiting", "Waits for approval.")


def test_many_approvals_take_as_many_queries_as_few(playbook: Playbook) -> None:
    client = client_of(make_user())
    asking(playbook)
    paths = ("approvals", "runs")
    few = [queries(client, path) for path in paths]
    for _number in range(8):
        asking(playbook)
    assert [queries(client, path) for path in paths] == few


@pytest.mark.parametrize(("verb", "state"), [("approve", "approved"), ("deny", "denied")])
def test_an_answer_wakes_the_run_and_is_told(playbook: Playbook, verb: str, state: str) -> None:
    approval, client = asking(playbook), client_of(make_user("ada", "lead"))
    status, shown = decide(client, approval, verb, comment="  The owner agrees ")
    assert (status, shown["status"], shown["decided_by"]) == (200, state, "ada")
    assert (shown["comment"], shown["decided_at"] is not None) == ("The owner agrees", True)
    sequence = Sequence.objects.get(runs=approval.run_id)
    assert (sequence.state, sequence.wake_at, sequence.waits_for) == ("ready", None, "")
    entries = client.get(f"{V1}alerts/{sequence.alert_id}/activities").json()["activities"]
    assert [entry["action"] for entry in entries] == ["approval_decided"]
    assert AuditEntry.objects.filter(action=f"approval_{state}", object_id=str(approval.run_id)).count() == 1


def test_a_second_answer_and_one_too_late_are_refused(playbook: Playbook) -> None:
    client = client_of(make_user(role="lead"))
    approval = asking(playbook)
    assert decide(client, approval)[0] == 200
    assert decide(client, approval, "deny") == (409, {"detail": "This was decided already: Approved."})
    assert Approval.objects.get(pk=approval.pk).state == "approved"
    late = asking(playbook, hours=-0.001)
    assert decide(client, late) == (409, {"detail": "Its time is over."})
    ended = asking(playbook)
    assert client.post(f"{V1}runs/{ended.run_id}/cancel", {}).status_code == 200
    assert decide(client, ended) == (409, {"detail": "This was decided already: Cancelled."})


def test_a_strange_body_is_refused_and_decides_nothing(playbook: Playbook) -> None:
    approval, client = asking(playbook), client_of(make_user(role="lead"))
    assert decide(client, approval, surprise=1)[0] == 422
    assert decide(client, approval, comment="x" * 2001)[0] == 422
    assert decide(client, approval, comment=7)[0] == 422
    assert Approval.objects.get(pk=approval.pk).state == "pending"


def test_who_may_not_decides_nothing_and_another_partners_is_not_found(playbook: Playbook) -> None:
    approval = asking(playbook, alert=make_alert(partner=make_partner()))
    stranger = client_of(make_user(role="admin", partners=[make_partner()]))
    assert stranger.get(V1 + "approvals").json() == {"approvals": [], "total": 0}
    for verb in ("approve", "deny"):
        assert decide(stranger, approval, verb) == (404, {"detail": "Approval not found"})
        assert decide(client_of(make_user(role="viewer")), approval, verb)[0] == 403
        assert decide(client_of(make_user(role="analyst")), approval, verb)[0] == 403
        assert decide(machine("read", "write"), approval, verb)[0] == 403
    assert stranger.get(f"{V1}runs/{approval.run_id}/logs").status_code == 404
    assert Approval.objects.get(pk=approval.pk).state == "pending"
    assert stranger.post(f"{V1}approvals/nonsense/approve", {}).status_code == 404
    assert decide(machine("respond"), approval)[0] == 200


def test_logs_are_read_oldest_first_in_pages(playbook: Playbook) -> None:
    run, client = asking(playbook).run, client_of(make_user(role="viewer"))
    for n in range(3):
        RunLog.objects.create(run=run, key=f"0.{n}", level="warning", text=f"line {n}")
    found = client.get(f"{V1}runs/{run.pk}/logs").json()
    assert ([line["text"] for line in found["logs"]], found["total"]) == (["line 0", "line 1", "line 2"], 3)
    assert set(found["logs"][0]) == {"at", "level", "text"}
    page = client.get(f"{V1}runs/{run.pk}/logs", {"limit": 1, "offset": 1}).json()
    assert [line["text"] for line in page["logs"]] == ["line 1"]


def test_cancel_and_retry_answer_with_the_run(playbook: Playbook) -> None:
    run, client = asking(playbook).run, client_of(make_user("ada"))
    assert client.post(f"{V1}runs/{run.pk}/retry", {}).status_code == 409
    assert client.post(f"{V1}runs/{run.pk}/cancel", {"sequences": True}).status_code == 422
    cancelled = client.post(f"{V1}runs/{run.pk}/cancel", {"sequence": True}).json()
    assert (cancelled["status"], cancelled["error"]) == ("cancelled", "Cancelled by ada.")
    assert (cancelled["waits_for"], cancelled["wake_at"]) == (None, None)
    assert client.post(f"{V1}runs/{run.pk}/cancel", {}).status_code == 409
    answer = client.post(f"{V1}runs/{run.pk}/retry", {"current_source": True})
    again = answer.json()
    assert (answer.status_code, again["retry_of"], again["status"]) == (201, str(run.pk), "pending")
    for verb in ("cancel", "retry"):
        assert client_of(make_user(role="viewer")).post(f"{V1}runs/{run.pk}/{verb}", {}).status_code == 403


# --- pages ---------------------------------------------------------------------------------------------------------


def page_of(client: Client, run: PlaybookRun) -> str:
    return client.get(reverse("runs:detail", args=[run.pk])).content.decode()


def test_the_run_page_asks_and_its_dialog_decides(client: Client, playbook: Playbook) -> None:
    approval = asking(playbook, summary="Isolate <b>ws-1</b>?")
    client.force_login(make_user("ada", "lead"))
    url = reverse("runs:approve", args=[approval.pk])
    shown = page_of(client, approval.run)
    assert f"{url}?decision=approve" in shown
    assert f"{url}?decision=deny" in shown
    assert "<b>ws-1</b>" not in shown
    dialog = client.get(f"{url}?decision=deny", headers=HTMX).content.decode()
    assert "<dialog" in dialog
    assert "host</dt><dd>ws-1" in dialog
    answer = client.post(
        f"{url}?decision=deny", {"decision": "deny", "comment": "It is the pentest"}, headers=HTMX
    )
    assert answer.status_code == 200
    assert b"It is the pentest" in answer.content  # the changed panels of the run's page
    assert Approval.objects.get(pk=approval.pk).state == "denied"
    assert url not in page_of(client, approval.run)


def test_without_javascript_it_is_a_page_with_a_way_back(client: Client, playbook: Playbook) -> None:
    approval = asking(playbook)
    client.force_login(make_user("ada", "lead"))
    url, back = reverse("runs:approve", args=[approval.pk]), reverse("runs:detail", args=[approval.run_id])
    asked = client.get(f"{url}?decision=approve").content.decode()
    assert "<html" in asked
    assert back in asked
    answer = client.post(url, {"decision": "approve", "comment": ""})
    assert (answer.status_code, answer.headers["Location"]) == (302, back)
    assert Approval.objects.get(pk=approval.pk).state == "approved"


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_who_was_slower_is_told_and_keeps_the_comment(
    client: Client, playbook: Playbook, headers: dict[str, str]
) -> None:
    approval = asking(playbook)
    client.force_login(make_user("ada", "lead"))
    Approval.objects.filter(pk=approval.pk).update(state="approved", decided_name="grace")
    url = reverse("runs:approve", args=[approval.pk])
    answer = client.post(url, {"decision": "deny", "comment": "I say no"}, headers=headers)
    text = answer.content.decode()
    assert answer.status_code == 409
    assert "This was decided already: Approved." in text
    assert "I say no" in text
    odd = client.post(url, {"decision": "perhaps"}, headers=headers)
    assert odd.status_code == 422
    assert Approval.objects.get(pk=approval.pk).decided_name == "grace"


def test_who_may_not_decide_sees_the_question_and_no_button(client: Client, playbook: Playbook) -> None:
    approval = asking(playbook)
    client.force_login(make_user(role="analyst"))
    assert reverse("runs:approve", args=[approval.pk]) not in page_of(client, approval.run)
    client.force_login(make_user(role="viewer"))
    shown = page_of(client, approval.run)
    assert "Isolate ws-1?" in shown
    url = reverse("runs:approve", args=[approval.pk])
    assert url not in shown
    for verb in (url, *(reverse(f"runs:{name}", args=[approval.run_id]) for name in ("cancel", "retry"))):
        assert client.get(verb).status_code == client.post(verb, {"decision": "approve"}).status_code == 403
    client.force_login(make_user(role="admin", partners=[make_partner()]))
    assert client.get(url).status_code == client.post(url, {"decision": "approve"}).status_code == 404
    assert Approval.objects.get(pk=approval.pk).state == "pending"


def test_a_run_that_asks_counts_among_those_that_wait_for_a_person(
    client: Client, playbook: Playbook
) -> None:
    approval = asking(playbook)
    start_run(actor=SYSTEM, playbook=playbook)
    actor = make_user("ada").actor
    assert waiting_count(actor) == 1
    Approval.objects.filter(pk=approval.pk).update(state="approved")
    assert waiting_count(actor) == 0


def test_cancel_and_retry_by_page(client: Client, playbook: Playbook) -> None:
    run = asking(playbook).run
    client.force_login(make_user("ada"))
    cancel, retry = (reverse(f"runs:{verb}", args=[run.pk]) for verb in ("cancel", "retry"))
    assert cancel in page_of(client, run)
    assert b"<dialog" in client.get(cancel, headers=HTMX).content
    assert b"Cancelled by ada." in client.post(cancel, headers=HTMX).content
    shown = page_of(client, run)
    assert cancel not in shown
    assert retry in shown
    again = client.post(retry, headers=HTMX)
    new = PlaybookRun.objects.get(retry_of=run)
    assert again.headers["HX-Redirect"] == reverse("runs:detail", args=[new.pk])
    assert reverse("runs:detail", args=[new.pk]) in page_of(client, run)
    assert reverse("runs:detail", args=[run.pk]) in page_of(client, new)
    assert client.post(cancel).status_code == 302  # nothing left to cancel: a message on the run's page
    assert b"This run has ended." in client.get(reverse("runs:detail", args=[run.pk])).content


def test_who_started_the_run_may_deny_and_not_approve_what_it_asks(playbook: Playbook) -> None:
    lead, other = make_user(role="lead"), make_user(role="lead")
    approval = asking(playbook)
    PlaybookRun.objects.filter(pk=approval.run_id).update(
        requested_kind="analyst", requested_by=lead.pk, requested_name=lead.username
    )
    status, answer = decide(client_of(lead), approval)
    assert (status, answer["detail"]) == (
        403, "You started this run yourself: somebody else must approve what it asks.",
    )  # fmt: skip
    assert Approval.objects.get(pk=approval.pk).state == "pending"
    for person, may in ((lead, False), (other, True)):
        browser = Client()
        browser.force_login(person)
        page = browser.get(reverse("runs:detail", args=[approval.run_id])).content.decode()
        assert ("Approve…" in page, "somebody else must approve" in page) == (may, not may)
        assert "Deny…" in page
    assert decide(client_of(other), approval)[0] == 200
    again = asking(playbook)
    PlaybookRun.objects.filter(pk=again.run_id).update(requested_kind="analyst", requested_by=lead.pk)
    assert decide(client_of(lead), again, "deny")[0] == 200
