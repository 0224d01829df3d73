"""Observables by REST: kept on an alert, an incident or nothing, listed, read, and a text previewed."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.holders import holders, register_holder
from alerts.models import Observable
from alerts.services import add_enrichment, create_observable
from tests.api.clients import V1, client_of, queries
from tests.factories import SYSTEM, actions, make_alert, make_incident, make_partner, make_user

pytestmark = pytest.mark.django_db
URL = V1 + "observables"
IP = {"type": "ip", "value": "9.9.9.9"}


def test_one_that_is_on_nothing_is_made_once() -> None:
    client = client_of(make_user())
    answer = client.post(URL, {"type": "ipv4", "value": "9.9.9[.]9", "source": "mail"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["type"], made["value"], made["source"], made["partner"]) == ("ip", "9.9.9.9", "mail", None)
    assert client.post(URL, IP).json() == made
    assert client.get(f"{URL}/{made['id']}").json() == made
    assert client.post(URL, IP | {"alert_id": None, "incident_id": None}).json() == made


def test_on_an_alert_and_on_an_incident_by_id_or_number() -> None:
    client, alert, incident = client_of(make_user()), make_alert(), make_incident()
    made = client.post(URL, IP | {"alert_id": str(alert.pk), "source": "mail"}).json()
    assert actions(alert) == ["observable_added"]
    for pk in (str(incident.pk), str(incident.number)):
        assert client.post(URL, IP | {"incident_id": pk}).json() == made
    assert actions(incident, after=1) == ["observable_added"]
    assert client.get(f"{V1}alerts/{alert.pk}/observables").json()["observables"] == [made]
    assert client.get(f"{V1}incidents/{incident.pk}/observables").json() == [made]


def test_on_both_or_on_neither() -> None:
    client, alert, incident = client_of(make_user()), make_alert(), make_incident()
    both = {"alert_id": str(alert.pk), "incident_id": str(incident.pk)}
    assert client.post(URL, IP | both).status_code == 201
    assert actions(alert) == actions(incident, after=1) == ["observable_added"]
    foreign = make_alert(partner=make_partner())
    answer = client.post(URL, {"type": "ip", "value": "8.8.8.8"} | both | {"alert_id": str(foreign.pk)})
    assert (answer.status_code, answer.json()) == (422, {"detail": "The two belong to different partners"})
    assert actions(foreign) == []
    assert len(actions(incident, after=1)) == 1


def test_a_partner_of_its_own() -> None:
    client = client_of(make_user())
    make_partner("acme")
    assert client.post(URL, IP | {"partner": "acme"}).json()["partner"] == "acme"
    assert (
        client.post(URL, IP | {"partner": "acmee"}).json()["field"] == "partner"
    )  # a typo is no new customer
    body = IP | {"partner": "acme", "alert_id": str(make_alert().pk)}
    assert client.post(URL, body).json()["field"] == "partner"
    mine = make_partner("mine")
    bound = client_of(make_user(partners=[mine]))
    assert bound.post(URL, IP | {"partner": "mine"}).json()["partner"] == "mine"
    for partner in ("acme", "no-such-partner"):
        assert bound.post(URL, IP | {"partner": partner}).json()["detail"] == "Unknown partner"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"type": "ip"}, 422),
        ({"type": "ip", "value": "x"}, 422),
        (IP | {"source": 5}, 422),
        (IP | {"surprise": 1}, 422),
        (IP | {"alert_id": "nonsense"}, 404),
        (IP | {"incident_id": "nonsense"}, 404),
        (IP | {"incident_id": 5}, 422),
    ],
)
def test_what_makes_no_sense(body: dict[str, Any], status: int) -> None:
    assert client_of(make_user()).post(URL, body).status_code == status
    assert not Observable.objects.exists()


def test_the_list_filters_and_pages() -> None:
    acme = make_partner("acme")
    made = [
        create_observable(actor=SYSTEM, type=kind, value=value, partner=partner)
        for kind, value, partner in [
            ("ip", "9.9.9.9", None), ("ip", "10.0.0.1", None), ("domain", "evil.com", acme), ("ip", "9.9.9.9", acme),
        ]
    ]  # fmt: skip
    add_enrichment(actor=SYSTEM, observable=made[2], source="vt", data={}, malicious=True)
    add_enrichment(actor=SYSTEM, observable=made[0], source="vt", data={}, malicious=False)
    client = client_of(make_user())

    def found(**query: Any) -> list[int]:
        answer = client.get(URL, query).json()
        ids = [one["id"] for one in answer["observables"]]
        return [index for pk in ids for index, row in enumerate(made) if str(row.pk) == pk]

    assert found() == [3, 2, 1, 0]
    assert found(type="ip") == [3, 1, 0]
    assert found(value="9.9.9.9") == [3, 0]
    assert found(q="EVIL") == [2]
    assert found(partner="acme") == [3, 2]
    assert found(internal="true") == [1]
    assert found(enrichment_status="enriched") == [2, 0]
    assert found(malicious="true") == [2]
    assert found(malicious="false") == [3, 1, 0]
    assert found(limit=1, offset=1) == [2]
    page = client.get(URL, {"cursor": "", "limit": "3"}).json()
    assert (page["total"], page["next"]) == (4, str(made[1].pk))
    assert found(cursor=page["next"]) == [0]
    for query in ({"type": "planet"}, {"limit": 0}, {"enrichment_status": "x"}, {"cursor": "x"}):
        assert client.get(URL, query).status_code == 422


def test_a_text_is_previewed_and_nothing_kept() -> None:
    client, url = client_of(make_user(role="viewer")), URL + "/parse"
    answer = client.post(url, {"text": "beacon from 10.0.0.1 to hxxps://evil[.]com/x"})
    assert answer.status_code == 200
    found = {(one["type"], one["value"], one["internal"]) for one in answer.json()["observables"]}
    assert {("ip", "10.0.0.1", True), ("url", "https://evil.com/x", False)} <= found
    assert answer.json()["total"] == len(found)
    assert client.post(url, {"text": "nothing here"}).json() == {"observables": [], "total": 0, "notes": []}
    for body in ({}, {"text": 5}, {"text": ""}, {"text": "x" * 100_001}):
        assert client.post(url, body).status_code == 422
    assert not Observable.objects.exists()


def test_those_of_other_partners_are_not_there() -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    foreign = create_observable(actor=SYSTEM, type="ip", value="9.9.9.9", partner=theirs)
    alert, incident = make_alert(partner=theirs), make_incident(partner=theirs)
    client = client_of(make_user(partners=[mine]))
    for query in ({}, {"value": "9.9.9.9"}, {"partner": "theirs"}, {"q": "9"}):
        assert client.get(URL, query).json() == {"observables": [], "total": 0}
    answer = client.get(f"{URL}/{foreign.pk}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Observable not found"})
    for field, pk in (("alert_id", alert.pk), ("incident_id", incident.pk)):
        assert client.post(URL, IP | {field: str(pk)}).status_code == 404
    assert actions(alert) == []


@pytest.mark.parametrize("pk", ["nonsense", "00000000-0000-0000-0000-000000000000", "%00"])
def test_what_is_no_observable(pk: str) -> None:
    answer = client_of(make_user()).get(f"{URL}/{pk}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Observable not found"})


def test_20_take_as_many_queries_as_2() -> None:
    client = client_of(make_user())
    queries(client, "observables")

    def grow(start: int, stop: int) -> tuple[int, ...]:
        for number in range(start, stop):
            row = create_observable(actor=SYSTEM, type="ip", value=f"9.9.9.{number}", partner=make_partner())
            add_enrichment(actor=SYSTEM, observable=row, source="vt", data={})
        return tuple(queries(client, path) for path in ("observables", "observables?cursor=&malicious=false"))

    few = grow(0, 2)
    assert grow(2, 20) == few
    assert max(few) <= 7


def test_two_kinds_of_holders_do_not_share_a_field() -> None:
    put = holders()["incident_id"]
    register_holder("incident_id", put)
    with pytest.raises(ValueError, match="incident_id"):
        register_holder("incident_id", lambda **_named: [])
    assert holders()["incident_id"] is put
