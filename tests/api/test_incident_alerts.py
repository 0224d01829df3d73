"""Linking and unlinking alerts by REST, from either side."""

from __future__ import annotations

import pytest

from incidents.models import Incident
from tests.api.clients import V1, client_of, queries
from tests.factories import actions, make_alert, make_incident, make_partner, make_user

pytestmark = pytest.mark.django_db


def test_link_list_and_unlink() -> None:
    client, incident, alert = client_of(make_user()), make_incident(), make_alert("Beacon")
    url = f"{V1}incidents/{incident.pk}/alerts"
    assert client.post(url, {"alert_id": str(alert.pk)}).json() == {"detail": "Alert linked to incident"}
    again = client.post(url, {"alert_id": str(alert.pk)})
    assert (again.status_code, again.json()["detail"]) == (409, "Alert already linked to this incident")
    assert [one["title"] for one in client.get(url).json()] == ["Beacon"]
    gone = client.delete(f"{url}/{alert.pk}")
    assert (gone.status_code, gone.json()) == (200, {"detail": "Alert unlinked from incident"})
    missing = client.delete(f"{url}/{alert.pk}")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Link not found"})
    assert client.get(url).json() == []
    assert actions(incident, after=1) == ["alert_linked", "alert_unlinked"]
    assert actions(alert) == ["incident_linked", "incident_unlinked"]


def test_several_at_once() -> None:
    client, first, second, third = client_of(make_user()), make_alert(), make_alert(), make_alert()
    ids = [str(alert.pk) for alert in (first, second, third)]
    made = client.post(V1 + "incidents", {"title": "Many", "alert_ids": ids[:2]}).json()
    assert made["alert_count"] == 2
    url = f"{V1}incidents/{made['id']}/alerts"
    answer = client.post(url, {"alert_ids": [*ids, ids[0]]})
    assert (answer.status_code, answer.json()) == (201, {"detail": "1 alert linked to incident"})
    assert client.post(url, {"alert_ids": ids}).json() == {"detail": "0 alerts linked to incident"}
    incident = Incident.objects.get()
    assert actions(incident) == ["incident_created", *["alert_linked"] * 3]
    foreign = str(make_alert(partner=make_partner()).pk)
    for body, status in (
        ({"alert_ids": [ids[0], foreign]}, 422), ({"alert_ids": ["nonsense"]}, 404), ({"alert_ids": []}, 422),
        ({"alert_ids": ids, "alert_id": ids[0]}, 422), ({"alert_ids": ids * 70}, 422),
    ):  # fmt: skip
        assert client.post(url, body).status_code == status, body
    bound = client_of(make_user(partners=[make_partner("acme")]))
    assert bound.post(V1 + "incidents", {"title": "x", "alert_ids": ids}).status_code == 404
    assert Incident.objects.count() == 1


def test_what_cannot_be_linked() -> None:
    client, incident = client_of(make_user()), make_incident()
    url = f"{V1}incidents/{incident.pk}/alerts"
    foreign = make_alert(partner=make_partner())
    assert client.post(url, {"alert_id": str(foreign.pk)}).status_code == 422
    for alert_id in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        answer = client.post(url, {"alert_id": alert_id})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Alert not found"})
    assert client.post(url, {}).status_code == client.post(url, {"alert_id": 5}).status_code == 422
    assert actions(incident, after=1) == []


def test_an_alert_opens_an_incident_or_joins_one() -> None:
    client, alert = client_of(make_user("ada")), make_alert()
    url = f"{V1}alerts/{alert.pk}/incidents"
    body = {"title": "Break-in", "severity": "critical", "tags": ["x"], "assigned_to": "ada"}
    made = client.post(url, body)
    assert (made.status_code, made.json()["assigned_username"]) == (201, "ada")
    assert (made.json()["alert_count"], made.json()["severity"]) == (1, "critical")
    other = make_incident("Another")
    assert client.post(url, {"incident_id": str(other.pk)}).json()["title"] == "Another"
    assert client.post(url, {"incident_id": str(other.pk)}).status_code == 409
    assert [one["title"] for one in client.get(url).json()] == ["Another", "Break-in"]
    for body in ({}, {"title": "x", "incident_id": str(other.pk)}):
        assert client.post(url, body).status_code == 422
    assert client.post(url, {"incident_id": "nonsense"}).status_code == 404
    assert Incident.objects.count() == 2


def test_an_alerts_incidents_take_as_many_queries_for_20_as_for_2() -> None:
    client, alert, owner = client_of(make_user()), make_alert(), make_user()

    def grow(count: int) -> int:
        for number in range(count):
            make_incident(f"n{number}", alerts=[alert], owner=owner)
        return queries(client, f"alerts/{alert.pk}/incidents")

    few = grow(2)
    assert grow(18) == few <= 8


def test_a_foreign_alerts_incidents_do_not_exist() -> None:
    alert = make_alert(partner=make_partner())
    client = client_of(make_user(partners=[make_partner()]))
    assert client.get(f"{V1}alerts/{alert.pk}/incidents").status_code == 404
    assert client.post(f"{V1}alerts/{alert.pk}/incidents", {"title": "x"}).status_code == 404
