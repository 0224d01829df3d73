"""Observables of an incident by REST: one, several, or whatever a text mentions."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.services import add_observables as add_to_alert
from tests.api.clients import V1, client_of, queries
from tests.factories import (
    SYSTEM,
    actions,
    entries,
    make_alert,
    make_incident,
    make_partner,
    make_user,
    text_of,
)

pytestmark = pytest.mark.django_db
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def test_one_as_the_public_api_has_it() -> None:
    client, incident = client_of(make_user()), make_incident()
    url = f"{V1}incidents/{incident.pk}/observables"
    answer = client.post(url, {"type": "ip", "value": "9.9.9[.]9", "source": "mail"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["type"], made["value"], made["source"]) == ("ip", "9.9.9.9", "mail")
    assert (made["enrichment_status"], made["enrichments"]) == ("pending", [])
    assert client.post(url, {"type": "ip", "value": "9.9.9.9"}).json() == made  # also when it was there
    assert client.get(url).json() == [made]
    assert actions(incident, after=1) == ["observable_added"]


def test_several_and_free_text_make_one_entry_each() -> None:
    client, incident = client_of(make_user("ada")), make_incident()
    url = f"{V1}incidents/{incident.pk}/observables"
    body = {"observables": [{"type": "domain", "value": "evil[.]com"}, {"type": "md5", "value": MD5}]}
    several = client.post(url, body).json()
    assert [one["value"] for one in several["observables"]] == ["evil.com", MD5]
    text = client.post(url, {"text": f"seen hxxp://evil[.]com/a and {MD5}"}).json()
    assert {one["type"] for one in text["observables"]} >= {"url", "md5"}
    assert text["total"] == len(text["observables"])
    first, second = entries(incident, after=1)
    assert (first.action, first.actor_name, second.action) == ("observable_added", "ada", "observable_added")
    assert text_of(first) == f"domain evil.com\nmd5 {MD5}"
    assert MD5 not in (text_of(second) or "")  # that one was there before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "ip"},
        {"value": "9.9.9.9"},
        {"type": "ip", "value": "no address"},
        {"type": "planet", "value": "Mars"},
        {"type": "ip", "value": "9.9.9.9", "text": "9.9.9.9"},
        {"text": "nothing here"},
        {"observables": []},
        {"observables": [{"type": "ip"}]},
        {"observables": ["9.9.9.9"]},
        {"type": "ip", "value": "9.9.9.9", "source": "x" * 101},
        {"type": "ip", "value": 9},
    ],
)
def test_what_is_no_observable(body: dict[str, Any]) -> None:
    incident = make_incident()
    assert client_of(make_user()).post(f"{V1}incidents/{incident.pk}/observables", body).status_code == 422
    assert actions(incident, after=1) == []


def test_those_of_its_alerts_are_listed_too_and_of_no_others() -> None:
    client, alert, other = client_of(make_user()), make_alert(), make_alert()
    incident = make_incident(alerts=[alert])
    add_to_alert(actor=SYSTEM, alert=alert, values=[("ip", "9.9.9.9")])
    add_to_alert(actor=SYSTEM, alert=other, values=[("ip", "8.8.8.8")])
    url = f"{V1}incidents/{incident.pk}/observables"
    client.post(url, {"type": "ip", "value": "9.9.9.9"})
    client.post(url, {"type": "domain", "value": "evil.com"})
    assert [one["value"] for one in client.get(url).json()] == ["evil.com", "9.9.9.9"]


def test_a_partner_keeps_rows_of_its_own() -> None:
    theirs = make_partner()
    client = client_of(make_user())
    ids = set()
    for incident in (make_incident(), make_incident(partner=theirs)):
        url = f"{V1}incidents/{incident.pk}/observables"
        ids.add(client.post(url, {"type": "ip", "value": "9.9.9.9"}).json()["id"])
    assert len(ids) == 2


def test_20_take_as_many_queries_as_2() -> None:
    client, incident = client_of(make_user()), make_incident(alerts=[make_alert()])
    url = f"incidents/{incident.pk}/observables"

    def grow(start: int, stop: int) -> int:
        values = [{"type": "ip", "value": f"9.9.9.{n}"} for n in range(start, stop)]
        assert client.post(V1 + url, {"observables": values}).status_code == 201
        return queries(client, url)

    few = grow(0, 2)
    assert grow(2, 20) == few <= 9
