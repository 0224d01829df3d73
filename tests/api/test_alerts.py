"""The list of alerts by REST: what it shows, narrows, orders and pages, in how many queries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import Alert
from alerts.services import add_observables
from opensoar.api import pagination
from tests.api.clients import V1, client_of, queries
from tests.factories import SYSTEM, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db
URL = V1 + "alerts"


def titles(client: Any, **query: Any) -> list[str]:
    answer = client.get(URL, query)
    assert answer.status_code == 200, answer.content
    return [one["title"] for one in answer.json()["alerts"]]


def test_an_alert_as_the_public_api_has_it() -> None:
    ada = make_user("ada")
    alert = make_alert(
        "Beacon", source="elastic", source_id="e-1", severity="high", source_ip="10.0.0.5", dest_ip="9.9.9.9",
        hostname="ws-1", username="joe", rule_name="C2", tags=["vip"], iocs={"ips": ["9.9.9.9"]}, assigned_to=ada,
    )  # fmt: skip
    [shown] = client_of(ada).get(URL).json()["alerts"]
    assert shown["id"] == str(alert.pk)
    assert {name: shown[name] for name in ("source", "source_id", "severity", "status", "determination")} == {
        "source": "elastic", "source_id": "e-1", "severity": "high", "status": "new", "determination": "unknown",
    }  # fmt: skip
    assert (shown["assigned_to"], shown["assigned_username"]) == (str(ada.pk), "ada")
    assert (shown["partner"], shown["duplicate_count"], shown["version"]) == (None, 1, 1)
    assert "raw_payload" not in shown


def test_one_alert_carries_its_body_and_its_version() -> None:
    alert = make_alert(payload={"n": 1}, normalized={"host": "ws-1"})
    answer = client_of(make_user()).get(f"{URL}/{alert.pk}")
    assert (answer.json()["raw_payload"], answer.json()["normalized"]) == ({"n": 1}, {"host": "ws-1"})
    assert answer["ETag"] == '"1"'


def test_filters() -> None:
    ada, acme = make_user("ada"), make_partner("acme")
    make_alert("low", severity="low", hostname="ws-1", tags=["a", "b"], source_ip="10.1.0.5", source="splunk")
    make_alert("high", severity="high", partner=acme, username="joe", source_ip="2001:db8::1", rule_name="C2")
    make_alert("done", severity="high", status="resolved", determination="malicious", tags=["c"])
    make_alert("mine", status="in_progress", assigned_to=ada, source_ip="10.2.0.5")
    client = client_of(ada)
    for query, expected in [
        ({}, ["mine", "done", "high", "low"]),
        ({"status": "new"}, ["high", "low"]),
        ({"status__in": "new,resolved"}, ["done", "high", "low"]),
        ({"severity": "high"}, ["done", "high"]),
        ({"severity__in": "low,medium"}, ["mine", "low"]),
        ({"determination": "malicious"}, ["done"]),
        ({"source": "splunk"}, ["low"]),
        ({"partner": "acme"}, ["high"]),
        ({"assigned_to": str(ada.pk)}, ["mine"]),
        ({"unassigned": "true"}, ["done", "high", "low"]),
        ({"unassigned": "false"}, ["mine"]),
        ({"hostname": "ws-1"}, ["low"]),
        ({"username": "joe"}, ["high"]),
        ({"rule_name": "C2"}, ["high"]),
        ({"source_ip": "10.1.0.5"}, ["low"]),
        ({"source_ip__cidr": "10.0.0.0/8"}, ["mine", "low"]),
        ({"source_ip__cidr": "10.1.0.99/16"}, ["low"]),
        ({"source_ip__cidr": "2001:db8::/32"}, ["high"]),
        ({"tags__overlap": "b,c"}, ["done", "low"]),
        ({"q": "WS-1"}, ["low"]),
        ({"q": "in"}, ["mine"]),
        ({"severity": "high", "status": "new"}, ["high"]),
        ({"tenant_id": "ignored"}, ["mine", "done", "high", "low"]),
    ]:
        assert titles(client, **query) == expected, query


def test_an_observable_finds_the_alerts_that_mention_it_once() -> None:
    first, second = make_alert("evil.com seen"), make_alert("second")
    make_alert("third")
    for alert in (first, second):
        add_observables(actor=SYSTEM, alert=alert, values=[("domain", "evil.com"), ("ip", "9.9.9.9")])
    client = client_of(make_user())
    assert titles(client, observable="evil.com") == ["second", "evil.com seen"]
    assert titles(client, q="evil.com") == ["second", "evil.com seen"]
    assert titles(client, observable="other.com") == []


def test_times() -> None:
    now = timezone.now()
    make_alert("old", created_at=now - timedelta(days=2), updated_at=now)
    make_alert("new", created_at=now, updated_at=now)
    client = client_of(make_user())
    yesterday = (now - timedelta(days=1)).isoformat()
    assert titles(client, created_at__gte=yesterday) == ["new"]
    assert titles(client, created_at__lt=yesterday) == ["old"]
    assert titles(client, updated_at__gte=yesterday) == ["new", "old"]
    assert titles(client, created_at__gte="2020-01-01") == ["new", "old"]


def test_order_is_stable_among_equals() -> None:
    for title, severity in (("a", "low"), ("b", "critical"), ("c", "low"), ("d", "medium")):
        make_alert(title, severity=severity)
    client = client_of(make_user())
    assert titles(client, ordering="-severity") == ["b", "d", "c", "a"]
    assert titles(client, ordering="severity") == ["c", "a", "d", "b"]
    assert titles(client, ordering="created_at") == ["a", "b", "c", "d"]
    assert titles(client, ordering="severity,created_at") == ["a", "c", "d", "b"]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "open"}, {"status__in": "new,gone"}, {"severity": "huge"}, {"severity__in": "huge"},
        {"determination": "x"}, {"assigned_to": "ada"}, {"source_ip__cidr": "10.0.0"}, {"source_ip": "ws-1"},
        {"source_ip__cidr": "10.0.0.0/40"}, {"created_at__gte": "yesterday"}, {"ordering": "title"},
        {"ordering": "-id"}, {"limit": 0}, {"limit": 201}, {"limit": "x"}, {"offset": -1}, {"cursor": "x"},
        {"q": "\0"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_422(query: dict[str, Any]) -> None:
    answer = client_of(make_user()).get(URL, query)
    assert answer.status_code == 422, answer.content
    assert answer.json()["detail"]


def test_pages_by_offset_and_by_cursor() -> None:
    for number in range(5):
        make_alert(str(number))
    client = client_of(make_user())
    assert titles(client, limit=2, offset=1) == ["3", "2"]
    assert titles(client, offset=5) == []
    assert client.get(URL, {"limit": 1}).json()["total"] == 5
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(URL, {"cursor": cursor, "limit": "2"}).json()
        seen += [one["title"] for one in page["alerts"]]
        cursor = page["next"]
        if len(seen) == 2:
            make_alert("in between")  # shifts nothing
    assert seen == ["4", "3", "2", "1", "0"]


def test_a_large_total_is_an_estimate_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        make_alert(str(number))
    client = client_of(make_user())
    monkeypatch.setattr(pagination, "EXACT_TOTAL", 4)
    assert "total_is_estimate" not in client.get(URL).json()
    monkeypatch.setattr(pagination, "EXACT_TOTAL", 3)
    for query in ({"limit": "2"}, {"cursor": "", "q": "1"}, {"cursor": "", "limit": "1"}):
        page = client.get(URL, query).json()
        assert page.get("total_is_estimate", False) == ("q" not in query)
        assert page["total"] >= len(page["alerts"])
        assert "q" in query or page["total"] >= 4


def test_archived_alerts_and_those_of_other_partners_are_not_there() -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    make_alert("seen", partner=mine)
    gone = make_alert("gone", partner=mine, archived_at=timezone.now())
    foreign = make_alert("foreign", partner=theirs, hostname="ws-1")
    add_observables(actor=SYSTEM, alert=foreign, values=[("ip", "9.9.9.9")])
    client = client_of(make_user(partners=[mine]))
    assert titles(client) == ["seen"]
    for query in ({"partner": "theirs"}, {"q": "foreign"}, {"observable": "9.9.9.9"}, {"hostname": "ws-1"}):
        assert titles(client, **query) == []
    for alert in (gone, foreign):
        answer = client.get(f"{URL}/{alert.pk}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Alert not found"})


def test_20_take_as_many_queries_as_2() -> None:
    client = client_of(make_user())
    owner = make_user()
    queries(client, "alerts")  # a token's first use is written down

    def grow(count: int) -> tuple[int, ...]:
        for _number in range(count):
            make_alert(assigned_to=owner, partner=make_partner())
        return tuple(queries(client, path) for path in ("alerts", "alerts?cursor=", "alerts?q=login"))

    few = grow(2)
    assert grow(18) == few
    assert max(few) <= 6
    assert Alert.objects.count() == 20
