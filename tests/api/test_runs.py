"""Runs by REST: started by hand with input, refused with the reason, listed, read, decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from opensoar.ids import uuid7
from playbooks_engine.models import ActionResult, CallOutput, Playbook, PlaybookRun
from playbooks_engine.services import start_run
from tests.api.clients import V1, ContractClient, client_of, queries
from tests.api.test_playbooks import sync
from tests.factories import SYSTEM, make_alert, make_incident, make_partner, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def playbook(tmp_path: Path) -> Playbook:
    return sync(tmp_path, 20)[0]


def run_it(client: ContractClient, playbook: Playbook, **body: Any) -> Any:
    return client.post(f"{V1}playbooks/{playbook.pk}/run", body)


def test_on_an_alert_with_input(playbook: Playbook) -> None:
    alert, client = make_alert(), client_of(make_user("ada"))
    answer = run_it(client, playbook, alert_id=str(alert.pk), input_data={"host": "ws-1"})
    assert answer.status_code == 200
    started = answer.json()
    assert started["message"] == "Playbook 'p20' triggered"
    run = client.get(f"{V1}runs/{started['run_id']}").json()
    assert (run["sequence_id"], run["status"]) == (started["celery_task_id"], "pending")
    assert (run["alert_id"], run["input_data"], run["requested_by"]) == (
        str(alert.pk),
        {"host": "ws-1"},
        "ada",
    )
    assert (run["sequence_position"], run["sequence_total"]) == (1, 1)
    assert run["correlation_id"] == str(alert.correlation_id)
    assert client.get(f"{V1}alerts/{alert.pk}/runs").json() == {"runs": [run], "total": 1}


def test_on_an_incident_from_either_side_and_on_nothing(playbook: Playbook) -> None:
    incident, client = make_incident(), client_of(make_user())
    first = run_it(client, playbook, incident_id=str(incident.number)).json()["run_id"]
    body = {"playbook_id": str(playbook.pk), "input_data": [1, 2]}
    second = client.post(f"{V1}incidents/{incident.number}/runs", body).json()["run_id"]
    shown = client.get(f"{V1}incidents/{incident.pk}/runs").json()
    assert [run["id"] for run in shown["runs"]] == [first, second]
    assert {run["incident_id"] for run in shown["runs"]} == {str(incident.pk)}
    alone = client.get(f"{V1}runs/{run_it(client, playbook).json()['run_id']}").json()
    assert (alone["alert_id"], alone["incident_id"], alone["input_data"]) == (None, None, None)


def test_a_refused_run_says_why(playbook: Playbook) -> None:
    alert, incident, client = make_alert(), make_incident(), client_of(make_user(role="admin"))

    def refused(**body: Any) -> tuple[int, str]:
        answer = run_it(client, playbook, **body)
        return answer.status_code, answer.json()["detail"]

    assert refused(alert_id="nonsense") == (404, "Alert not found")
    assert refused(incident_id="nonsense") == (404, "Incident not found")
    both = refused(alert_id=str(alert.pk), incident_id=str(incident.pk))
    assert both == (422, "A run is about an alert or an incident, not both")
    assert refused(input_data="x" * 1_000_001)[0] in (413, 422)
    assert refused(surprise=1)[0] == 422
    client.patch(f"{V1}playbooks/{playbook.pk}", {"enabled": False})
    assert refused(alert_id=str(alert.pk)) == (409, "The playbook is switched off. Switch it on first.")
    client.patch(f"{V1}playbooks/{playbook.pk}", {"enabled": True, "partner": make_partner("acme").slug})
    assert refused(alert_id=str(alert.pk)) == (403, "Playbook tenant scope does not match alert")
    Playbook.objects.update(missing_since=timezone.now())
    assert refused() == (404, "Playbook not loaded in registry")
    assert client.post(f"{V1}playbooks/{uuid7()}/run").json() == {"detail": "Playbook not found"}
    assert client.post(f"{V1}incidents/{incident.pk}/runs", {}).status_code == 422
    assert client.post(f"{V1}incidents/{incident.pk}/runs", {"playbook_id": "x"}).status_code == 404
    assert not PlaybookRun.objects.exists()


def test_the_list_filters_and_pages(tmp_path: Path) -> None:
    first, second = sync(tmp_path, 1, 2)
    alert, incident, client = make_alert(), make_incident(), client_of(make_user())
    on_alert = start_run(actor=SYSTEM, playbook=first, alert=alert)
    on_incident = start_run(actor=SYSTEM, playbook=second, incident=incident)
    PlaybookRun.objects.filter(pk=on_incident.pk).update(
        state="failed", finished_at=timezone.now(), error="no"
    )

    def ids(**query: Any) -> list[str]:
        return [run["id"] for run in client.get(V1 + "runs", query).json()["runs"]]

    assert ids() == [str(on_incident.pk), str(on_alert.pk)]
    assert ids(status="failed") == ids(playbook_id=str(second.pk)) == [str(on_incident.pk)]
    assert ids(incident_id=str(incident.pk)) == [str(on_incident.pk)]
    assert (
        ids(alert_id=str(alert.pk)) == ids(status="pending", playbook_id=str(first.pk)) == [str(on_alert.pk)]
    )
    assert ids(playbook_id=str(uuid7())) == []
    page = client.get(V1 + "runs", {"cursor": "", "limit": 1}).json()
    assert (page["total"], page["next"]) == (2, str(on_incident.pk))
    for query in (
        {"status": "gone"},
        {"playbook_id": "x"},
        {"alert_id": "x"},
        {"incident_id": "1"},
        {"limit": 0},
    ):
        assert client.get(V1 + "runs", query).status_code == 422, query
    for pk in ("nonsense", uuid7()):
        answer = client.get(f"{V1}runs/{pk}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Run not found"})


def add_calls(run: PlaybookRun, count: int) -> None:
    """Finished calls whose results are so large that they lie apart."""
    calls = [
        ActionResult(run=run, key=f"0.{n}", name=f"step{n}", args_digest=b"", input="[1]", large=True,
                     state="success", finished_at=timezone.now(), idempotency_key=uuid7())
        for n in range(count)
    ]  # fmt: skip
    ActionResult.objects.bulk_create(calls)
    CallOutput.objects.bulk_create([CallOutput(pk=call.pk, data='{"big": true}') for call in calls])


def test_a_run_shows_its_calls(playbook: Playbook) -> None:
    run, client = start_run(actor=SYSTEM, playbook=playbook), client_of(make_user())
    add_calls(run, 2)
    calls = client.get(f"{V1}runs/{run.pk}").json()["action_results"]
    assert [call["action_name"] for call in calls] == ["step0", "step1"]
    assert (calls[0]["status"], calls[0]["input_data"], calls[0]["output_data"]) == (
        "success",
        [1],
        {"big": True},
    )
    assert isinstance(calls[0]["duration_ms"], int)


def test_20_runs_of_many_calls_take_as_many_queries_as_2(playbook: Playbook) -> None:
    alert, incident, client = make_alert(), make_incident(), client_of(make_user())
    paths = ("runs", f"alerts/{alert.pk}/runs", f"incidents/{incident.pk}/runs")

    def grow(count: int) -> list[int]:
        for _number in range(count):
            add_calls(start_run(actor=SYSTEM, playbook=playbook, alert=alert), min(count, 5))
            add_calls(start_run(actor=SYSTEM, playbook=playbook, incident=incident), min(count, 5))
        return [queries(client, path) for path in paths]

    few = grow(2)
    assert grow(18) == few
    assert max(few) <= 9


def asks(run: PlaybookRun) -> None:
    """Let it need attention, as the engine leaves it after a call whose outcome is unknown."""
    call = ActionResult.objects.create(
        run=run, key="0.0", name="isolate", args_digest=b"", state="unknown", idempotency_key=uuid7()
    )
    question = {
        "call_id": str(call.pk),
        "choices": ["done", "not_done", "cancel"],
        "detail": {"name": "isolate"},
    }
    PlaybookRun.objects.filter(pk=run.pk).update(
        state="needs_attention", question=question, started_at=timezone.now()
    )


def test_decide(playbook: Playbook) -> None:
    run, client = start_run(actor=SYSTEM, playbook=playbook, alert=make_alert()), client_of(make_user())
    url = f"{V1}runs/{run.pk}/decide"
    assert client.post(url, {"decision": "done"}).status_code == 409
    asks(run)
    assert client.get(f"{V1}runs/{run.pk}").json()["question"]["choices"] == ["done", "not_done", "cancel"]
    for body in ({}, {"decision": "maybe"}, {"decision": "again"}):
        assert client.post(url, body).status_code == 422, body
    decided = client.post(url, {"decision": "done", "value": {"ok": True}}).json()
    assert (decided["status"], decided["question"]) == ("running", None)
    assert decided["action_results"][0]["output_data"] == {"ok": True}
    activities = client.get(f"{V1}alerts/{run.sequence.alert_id}/activities").json()["activities"]
    assert [one["action"] for one in activities] == ["run_decided"]


def test_nothing_of_another_partner_is_seen_or_started(playbook: Playbook) -> None:
    theirs = make_partner()
    alert, incident = make_alert(partner=theirs), make_incident(partner=theirs)
    runs = [
        start_run(actor=SYSTEM, playbook=playbook, alert=alert),
        start_run(actor=SYSTEM, playbook=playbook, incident=incident),
    ]
    asks(runs[0])
    client = client_of(make_user(role="admin", partners=[make_partner()]))
    assert client.get(V1 + "runs").json() == {"runs": [], "total": 0}
    for query in ({"alert_id": str(alert.pk)}, {"incident_id": str(incident.pk)}):
        assert client.get(V1 + "runs", query).json()["total"] == 0
    for run in runs:
        assert client.get(f"{V1}runs/{run.pk}").status_code == 404
        assert client.post(f"{V1}runs/{run.pk}/decide", {"decision": "cancel"}).status_code == 404
    assert client.get(f"{V1}alerts/{alert.pk}/runs").status_code == 404
    assert run_it(client, playbook, alert_id=str(alert.pk)).status_code == 404
    assert run_it(client, playbook, incident_id=str(incident.pk)).status_code == 404
    assert PlaybookRun.objects.count() == 2
