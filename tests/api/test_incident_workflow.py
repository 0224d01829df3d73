"""The whole of an incident by REST, from the sensor's alert to the close: each step on the timeline, with its actor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts import senders
from alerts.committer import committer
from incidents.suggestion_store import catch_up
from tests.api.clients import V1, ContractClient, client_of, machine
from tests.factories import make_user
from tests.playbooks_engine.engines import eventually, running, write

TRIAGE = """
from opensoar import add_current_alert_comment, playbook, update_current_alert

@playbook(trigger="webhook", conditions={"severity": ["critical"]})
async def triage(alert):
    await update_current_alert(determination="malicious")
    await add_current_alert_comment("A known bad address")
"""
SYSTEM_ACTIVITY = [
    ("alert", "playbook_started", "triage"),
    ("alert", "determination_set", "triage"),
    ("alert", "comment", "triage"),
    ("alert", "playbook_finished", "triage"),
]


@pytest.fixture
def sensor(fresh_database: str) -> Iterator[ContractClient]:
    """Whatever sends alerts, on a database where commits and threads are real."""
    yield machine("ingest")
    committer.close()
    senders.forget()


def send(sensor: ContractClient, title: str, **fields: Any) -> str:
    """The id of the alert that was stored."""
    answer = sensor.post(V1 + "webhooks/alerts", {"title": title, "severity": "low"} | fields)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["alert_id"])


def ran(client: ContractClient, alert: str) -> dict[str, Any]:
    """The only run of an alert, once it has ended."""
    path = f"{V1}alerts/{alert}/runs"
    done = {"success", "failed"}
    run = eventually(lambda: [r for r in client.get(path).json()["runs"] if r["status"] in done])[0]
    assert run["status"] == "success", run
    return dict(run)


def posted(client: ContractClient, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    """The answer to a POST that succeeds."""
    answer = client.post(V1 + path, body)
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def test_an_incident_from_its_first_alert_to_its_close(sensor: ContractClient, tmp_path: Path) -> None:
    write(tmp_path, "triage", TRIAGE)
    ada, bob = make_user("ada"), make_user("bob")
    by_ada, by_bob = client_of(ada), client_of(bob)
    with running(tmp_path):
        beacon = send(sensor, "Beacon", severity="critical", src_ip="203.0.113.5")
        playbook = ran(by_ada, beacon)["playbook_id"]
        opened = posted(by_ada, f"alerts/{beacon}/incidents", {"title": "Break-in", "severity": "high"}, 201)
        case = f"incidents/{opened['id']}"
        mail = send(sensor, "Odd mail", src_ip="203.0.113.6")
        posted(by_ada, case + "/alerts", {"alert_id": mail}, 201)
        assert posted(by_ada, case + "/assign", {"assigned_to": str(ada.pk)})["assigned_username"] == "ada"
        assert by_ada.patch(V1 + case, {"status": "investigating"}).json()["status"] == "investigating"
        said = posted(by_ada, case + "/comments", {"text": "Mailbox serched"})
        by_ada.patch(f"{V1}{case}/comments/{said['id']}", {"text": "Mailbox searched, see @bob"})
        posted(by_bob, f"playbooks/{playbook}/run", {"alert_id": mail})
        ran(by_bob, mail)
    seen = posted(by_bob, case + "/observables", {"text": "hxxp://evil[.]com/a from 9.9.9.9"}, 201)
    note = {"to_user": str(bob.pk), "text": "Over to you", "shift": "night", "open_questions": ["Who?"]}
    handoff = posted(by_ada, case + "/handoffs", note, 201)
    assert by_ada.post(f"{V1}handoffs/{handoff['id']}/acknowledge").status_code == 403
    assert posted(by_bob, f"handoffs/{handoff['id']}/acknowledge", {})["acknowledged_at"]
    for title in ("Scan one", "Scan two"):
        send(sensor, title, src_ip="203.0.113.77")
    catch_up()  # what a worker does about once a second
    [suggestion] = by_bob.get(V1 + "incidents/suggestions").json()
    posted(by_bob, f"suggestions/{suggestion['id']}/accept", {"incident": opened["id"]})
    assert by_bob.get(V1 + "incidents/suggestions").json() == []
    closing = {"determination": "malicious", "impact": "limited", "summary": "Contained in time"}
    closed = posted(by_bob, case + "/close", closing)

    assert {name: closed[name] for name in closing} == closing
    assert (closed["status"], closed["alert_count"], closed["assigned_username"]) == ("closed", 4, "ada")
    assert {one["value"] for one in seen["observables"]} <= {
        one["value"] for one in by_ada.get(f"{V1}{case}/observables").json()
    }
    assert by_ada.get(f"{V1}{case}/handoffs").json()["handoffs"][0]["open_questions"] == ["Who?"]
    events = by_ada.get(f"{V1}{case}/timeline", {"limit": 200}).json()
    oldest_first = events["events"][::-1]
    assert events["total"] == len(oldest_first)
    assert [(one["source"], one["action"], one["analyst_username"]) for one in oldest_first] == [
        *SYSTEM_ACTIVITY,
        ("alert", "incident_linked", "ada"),
        ("incident", "incident_created", "ada"),
        ("incident", "alert_linked", "ada"),
        ("alert", "incident_linked", "ada"),
        ("incident", "alert_linked", "ada"),
        ("incident", "assigned", "ada"),
        ("incident", "status_change", "ada"),
        ("incident", "comment", "ada"),
        *SYSTEM_ACTIVITY,
        ("incident", "observable_added", "bob"),
        ("incident", "handoff_note", "ada"),
        ("incident", "handoff_acknowledged", "bob"),
        ("alert", "incident_linked", "bob"),
        ("alert", "incident_linked", "bob"),
        ("incident", "alert_linked", "bob"),
        ("incident", "alert_linked", "bob"),
        ("incident", "closed", "bob"),
    ]
    kinds = {one["actor_kind"] for one in oldest_first if one["analyst_username"] == "triage"}
    assert kinds == {"playbook"}
    [comment] = [one for one in oldest_first if one["id"] == said["id"]]
    assert (comment["detail"], comment["edited"]) == ("Mailbox searched, see @bob", True)
    assert comment["mentions"] == ["bob"]
    assert oldest_first[-1]["detail"] == "Contained in time"
