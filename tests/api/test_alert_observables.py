"""Observables of an alert by REST: one, several, or whatever a text mentions."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.services import add_enrichment, add_observables
from tests.api.clients import V1, client_of, queries
from tests.factories import SYSTEM, actions, entries, make_alert, make_partner, make_user, text_of

pytestmark = pytest.mark.django_db
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def test_one() -> None:
    alert = make_alert()
    client, url = client_of(make_user("ada")), f"{V1}alerts/{alert.pk}/observables"
    answer = client.post(url, {"type": "ipv4", "value": "9.9.9[.]9", "source": "mail"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["type"], made["value"], made["source"]) == ("ip", "9.9.9.9", "mail")
    assert (made["enrichment_status"], made["enrichments"], made["tags"]) == ("pending", [], [])
    assert (made["partner"], made["internal"]) == (None, False)
    assert client.post(url, {"type": "ip", "value": "9.9.9.9"}).json() == made
    assert client.get(url).json() == {"observables": [made], "total": 1}
    [entry] = entries(alert)
    assert (entry.action, entry.actor_name, text_of(entry)) == ("observable_added", "ada", "ip 9.9.9.9")
    assert client.get(f"{V1}alerts/{alert.pk}").json()["version"] == 1


def test_several_and_free_text_make_one_entry_each() -> None:
    alert = make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}/observables"
    body = {"observables": [{"type": "domain", "value": "evil[.]com"}, {"type": "hash", "value": MD5}]}
    several = client.post(url, body).json()
    assert [(one["type"], one["value"]) for one in several["observables"]] == [
        ("domain", "evil.com"),
        ("md5", MD5),
    ]
    text = client.post(url, {"text": f"seen hxxp://evil[.]com/a and {MD5}"}).json()
    assert {one["type"] for one in text["observables"]} >= {"url", "md5"}
    assert text["total"] == len(text["observables"])
    first, second = entries(alert)
    assert text_of(first) == f"domain evil.com\nmd5 {MD5}"
    assert MD5 not in (text_of(second) or "")  # that one was there before
    assert client.get(url, {"limit": 2}).json()["total"] == 3


@pytest.mark.parametrize(
    "body",
    [
        {}, {"type": "ip"}, {"value": "9.9.9.9"}, {"type": "ip", "value": "no address"}, {"observables": []},
        {"type": "planet", "value": "Mars"}, {"type": "ip", "value": "9.9.9.9", "text": "9.9.9.9"}, {"text": ""},
        {"text": "nothing here"}, {"observables": [{"type": "ip"}]}, {"observables": ["9.9.9.9"]},
        {"type": "ip", "value": "9.9.9.9", "source": "x" * 101}, {"type": "ip", "value": 9}, [], {"ip": "9.9.9.9"},
        {"observables": [{"type": "ip", "value": f"9.9.{n // 250}.{n % 250}"} for n in range(501)]},
    ],
)  # fmt: skip
def test_what_is_no_observable(body: Any) -> None:
    alert = make_alert()
    answer = client_of(make_user()).post(f"{V1}alerts/{alert.pk}/observables", body)
    assert answer.status_code == 422, answer.content
    assert actions(alert) == []


def test_alerts_of_one_partner_share_a_row_and_others_do_not() -> None:
    client, theirs = client_of(make_user()), make_partner()
    alerts = [make_alert(), make_alert(), make_alert(partner=theirs)]
    urls = [f"{V1}alerts/{alert.pk}/observables" for alert in alerts]
    first, same, other = [client.post(url, {"type": "ip", "value": "9.9.9.9"}).json() for url in urls]
    assert first == same
    assert first["id"] != other["id"]
    assert other["partner"] == theirs.slug


def test_20_take_as_many_queries_as_2() -> None:
    alert = make_alert()
    client, path = client_of(make_user()), f"alerts/{alert.pk}/observables"
    queries(client, path)

    def grow(start: int, stop: int) -> int:
        values = [("ip", f"9.9.9.{n}") for n in range(start, stop)]
        for row in add_observables(actor=SYSTEM, alert=alert, values=values):
            add_enrichment(actor=SYSTEM, observable=row, source="vt", data={})
        return queries(client, path)

    few = grow(0, 2)
    assert grow(2, 20) == few <= 8
