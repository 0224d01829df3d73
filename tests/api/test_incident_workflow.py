"""The whole of an incident by REST: each step on the timeline, with who took it."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from opensoar.accounts.models import User
from tests.factories import PASSWORD, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db
V1 = "/api/v1/"


def client_of(user: User) -> APIClient:
    client = APIClient()
    answer = client.post(V1 + "auth/login", {"username": user.username, "password": PASSWORD})
    client.credentials(HTTP_AUTHORIZATION="Bearer " + answer.json()["access_token"])
    return client


def test_an_incident_from_its_first_alert_to_its_close() -> None:
    ada, bob = make_user("ada"), make_user("bob")
    by_ada, by_bob = client_of(ada), client_of(bob)
    first, second = make_alert("first"), make_alert("second")
    answer = by_ada.post(f"{V1}alerts/{first.pk}/incidents", {"title": "Break-in"})
    assert answer.status_code == 201, answer.content
    url = f"{V1}incidents/{answer.json()['id']}"
    assert by_ada.post(url + "/alerts", {"alert_id": str(second.pk)}).status_code == 201
    assert by_ada.post(url + "/alerts", {"alert_id": str(second.pk)}).status_code == 409
    assert by_ada.post(url + "/assign", {"assigned_to": str(ada.pk)}).json()["assigned_username"] == "ada"
    assert by_ada.post(url + "/comments", {"text": "Seen it"}).json()["detail"] == "Seen it"
    handoff = by_ada.post(url + "/handoffs", {"to_user": str(bob.pk), "text": "Yours"}).json()
    assert by_ada.post(f"{V1}handoffs/{handoff['id']}/acknowledge").status_code == 403
    assert by_bob.post(f"{V1}handoffs/{handoff['id']}/acknowledge").status_code == 200
    closing = {"determination": "malicious", "impact": "limited", "summary": "Contained"}
    closed = by_bob.post(url + "/close", closing)
    assert (closed.status_code, closed.json()["status"], closed.json()["alert_count"]) == (200, "closed", 2)
    steps = {
        (entry["action"], entry["analyst_username"])
        for entry in by_ada.get(url + "/activities").json()["activities"]
    }
    assert {
        ("incident_created", "ada"),
        ("alert_linked", "ada"),
        ("assigned", "ada"),
        ("comment", "ada"),
        ("handoff_note", "ada"),
        ("handoff_acknowledged", "bob"),
        ("closed", "bob"),
    } <= steps


def test_alert_verbs_and_versions() -> None:
    client = client_of(make_user("ada"))
    url = f"{V1}alerts/{make_alert('one').pk}"
    assert client.get(url).status_code == 200
    assert client.post(url + "/claim").json()["assigned_username"] == "ada"
    assert client.patch(url, {"severity": "high"}, headers={"if-match": '"1"'}).status_code == 412
    assert client.patch(url, {"severity": "high"}).json()["severity"] == "high"
    assert client.post(url + "/resolve", {"determination": "benign"}).json()["status"] == "resolved"
    assert client.post(url + "/reopen", {}).json()["status"] == "in_progress"
    assert client.get(url + "/activities").json()["total"] >= 4


def test_nothing_of_another_partner_is_seen() -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    alert = make_alert("theirs", partner=theirs)
    boss = client_of(make_user("boss", role="lead"))
    incident = boss.post(f"{V1}alerts/{alert.pk}/incidents", {"title": "Theirs"}).json()
    client = client_of(make_user("ada", partners=[mine]))
    assert client.get(V1 + "alerts").json() == {"alerts": [], "total": 0}
    assert client.get(V1 + "incidents").json() == {"incidents": [], "total": 0}
    assert client.get(V1 + "incidents/suggestions").json() == []
    for path in (
        f"alerts/{alert.pk}",
        f"incidents/{incident['id']}",
        f"incidents/{incident['number']}/alerts",
    ):
        assert client.get(V1 + path).status_code == 404
