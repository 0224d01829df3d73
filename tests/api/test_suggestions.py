"""Suggested incidents by REST: listed, accepted as new or into an existing one, dismissed."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.models import Alert
from incidents.models import Incident
from incidents.suggestion_store import catch_up
from opensoar.ids import uuid7
from tests.api.clients import V1, ContractClient, client_of, queries
from tests.factories import actions, entries, make_alert, make_incident, make_partner, make_user

pytestmark = pytest.mark.django_db


def pair(ip: str = "203.0.113.7", **fields: Any) -> list[Alert]:
    return [make_alert(source_ip=ip, **fields) for _ in range(2)]


def only(client: ContractClient) -> dict[str, Any]:
    catch_up()
    [found] = client.get(V1 + "incidents/suggestions").json()
    return dict(found)


def test_the_list_has_the_public_shape_and_ours() -> None:
    alerts = pair(severity="high")
    found = only(client_of(make_user()))
    assert (found["source_ip"], found["entity"], found["value"]) == (
        "203.0.113.7",
        "source_ip",
        "203.0.113.7",
    )
    assert (found["alert_count"], found["severity"], found["partner"]) == (2, "high", None)
    assert [one["id"] for one in found["alerts"]] == [str(alert.pk) for alert in reversed(alerts)]
    assert "2 alerts" in found["title"]


def test_accept_opens_an_incident_with_title_and_owner() -> None:
    ada, bob = make_user("ada"), make_user("bob")
    alerts, client = pair(), client_of(ada)
    url = f"{V1}suggestions/{only(client)['id']}/accept"
    answer = client.post(url, {"title": "One break-in", "owner": str(bob.pk)})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["title"], made["assigned_username"], made["alert_count"]) == ("One break-in", "bob", 2)
    incident = Incident.objects.get()
    assert actions(incident) == ["incident_created", "alert_linked", "alert_linked", "assigned"]
    assert {entry.actor_name for entry in entries(incident)} == {"ada"}
    assert [actions(alert) for alert in alerts] == [["incident_linked"]] * 2
    assert client.get(V1 + "incidents/suggestions").json() == []
    assert client.post(url).status_code == 404  # there is nothing left to accept
    assert Incident.objects.count() == 1


def test_accept_into_an_incident_that_is_there() -> None:
    pair()
    incident, client = make_incident("Known"), client_of(make_user())
    url = f"{V1}suggestions/{only(client)['id']}/accept"
    both = client.post(url, {"incident": str(incident.pk), "title": "New words"})
    assert both.status_code == 422
    assert client.post(url, {"incident": "nonsense"}).status_code == 404
    answer = client.post(url, {"incident": f"INC-{incident.number}"})
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["title"], answer.json()["alert_count"]) == (
        str(incident.pk), "Known", 2,
    )  # fmt: skip
    assert actions(incident, after=1) == ["alert_linked", "alert_linked"]
    assert Incident.objects.count() == 1


def test_dismissed_until_something_new_joins() -> None:
    pair()
    client = client_of(make_user())
    url = f"{V1}suggestions/{only(client)['id']}/dismiss"
    assert client.post(url, {"reason": "A scanner of ours"}).json() == {"detail": "Suggestion dismissed"}
    assert client.get(V1 + "incidents/suggestions").json() == []
    make_alert(source_ip="203.0.113.7")
    assert only(client)["alert_count"] == 3


def test_unknown_foreign_and_malformed_suggestions() -> None:
    mine, theirs = make_partner(), make_partner()
    pair(partner=theirs)
    foreign = only(client_of(make_user()))["id"]
    client = client_of(make_user(partners=[mine]))
    assert client.get(V1 + "incidents/suggestions").json() == []
    for pk in (foreign, "nonsense", "0" * 64, str(uuid7())):
        for verb in ("accept", "dismiss"):
            assert client.post(f"{V1}suggestions/{pk}/{verb}").status_code == 404
    assert not Incident.objects.exists()


def test_an_incident_of_another_partner_takes_nothing() -> None:
    pair()
    client = client_of(make_user())
    incident = make_incident(partner=make_partner())
    url = f"{V1}suggestions/{only(client)['id']}/accept"
    assert client.post(url, {"incident": str(incident.pk)}).status_code == 422
    assert actions(incident, after=1) == []


def test_a_viewer_only_looks() -> None:
    pair()
    client = client_of(make_user(role="viewer"))
    found = only(client)["id"]
    for verb in ("accept", "dismiss"):
        assert client.post(f"{V1}suggestions/{found}/{verb}").status_code == 403


def test_20_groups_take_as_many_queries_as_2() -> None:
    client, owner = client_of(make_user()), make_user()

    def grow(start: int, stop: int) -> int:
        for number in range(start, stop):
            pair(f"203.0.{number}.1", assigned_to=owner)
        catch_up()
        assert len(client.get(V1 + "incidents/suggestions").json()) == stop
        return queries(client, "incidents/suggestions")

    few = grow(0, 2)
    assert grow(2, 20) == few <= 7
