"""Incidents by REST: opened, listed, read, edited."""

from __future__ import annotations

from typing import Any

import pytest

from incidents.models import Incident
from tests.api.clients import V1, client_of, queries
from tests.factories import actions, make_alert, make_incident, make_partner, make_user

pytestmark = pytest.mark.django_db
URL = V1 + "incidents"


def test_open_one_with_everything() -> None:
    ada = make_user("ada")
    partner = make_partner("acme")
    body = {
        "title": "Break-in", "description": "At night", "severity": "high", "tags": ["vip"], "partner": "acme",
        "tlp": "red", "pap": "green", "assigned_to": str(ada.pk), "template_id": None,
    }  # fmt: skip
    answer = client_of(ada).post(URL, body)
    assert answer.status_code == 201
    shown = answer.json()
    del body["template_id"]
    assert {name: shown[name] for name in body} == body
    assert (shown["status"], shown["alert_count"], answer["ETag"]) == ("open", 0, f'"{shown["version"]}"')
    incident = Incident.objects.get()
    assert incident.partner == partner
    assert actions(incident) == ["incident_created", "assigned"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "title"),
        ({"title": "  "}, 422, "title"),
        ({"title": "x", "severity": "huge"}, 422, "Invalid severity"),
        ({"title": "x", "surprise": 1}, 422, "surprise"),
        ({"title": 5}, 422, "title"),
        ({"title": "x", "tags": "y"}, 422, "tags"),
        ({"title": "x", "assigned_to": "nobody-of-that-name"}, 422, "Analyst not found"),
        ({"title": "x", "template_id": "none"}, 400, "Incident template not found"),
    ],
)
def test_what_makes_no_sense_is_refused(body: dict[str, Any], status: int, said: str) -> None:
    answer = client_of(make_user()).post(URL, body)
    assert answer.status_code == status
    assert said in str(answer.json()["detail"])
    assert not Incident.objects.exists()


def test_the_partner_is_one_that_the_caller_sees() -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    client = client_of(make_user(partners=[mine]))
    assert client.post(URL, {"title": "x", "partner": "theirs"}).status_code == 422
    assert client.post(URL, {"title": "x"}).json()["partner"] == "mine"
    assert not Incident.objects.filter(partner=theirs).exists()


def test_the_list_filters_and_pages() -> None:
    client = client_of(make_user())
    acme = make_partner("acme")
    low, high = make_incident("low", severity="low"), make_incident("high", severity="high", partner=acme)
    closed = make_incident("closed", severity="high")
    client.post(f"{URL}/{closed.pk}/close", {"determination": "benign", "impact": "none", "summary": "ok"})

    def titles(**query: Any) -> list[str]:
        return [one["title"] for one in client.get(URL, query).json()["incidents"]]

    assert titles() == ["closed", "high", "low"]
    assert titles(status="open") == ["high", "low"]
    assert titles(severity="high") == ["closed", "high"]
    assert titles(partner="acme") == ["high"]
    assert titles(limit=1, offset=1) == ["high"]
    page = client.get(URL, {"cursor": "", "limit": 2}).json()
    assert (page["total"], page["next"]) == (3, str(high.pk))
    assert titles(cursor=page["next"]) == [low.title]
    for query in ({"status": "gone"}, {"severity": "x"}, {"limit": 0}, {"limit": 201}, {"offset": -1}):
        assert client.get(URL, query).status_code == 422, query


def test_the_list_narrows_by_owner_tags_time_and_several_words() -> None:
    ada = make_user("ada")
    client = client_of(ada)
    make_incident("one", severity="low", tags=["vip"], owner=ada)
    two = make_incident("two", severity="critical", tags=["db", "eu"])
    make_incident("three", severity="medium")

    def titles(**query: Any) -> list[str]:
        return [one["title"] for one in client.get(URL, query).json()["incidents"]]

    assert titles(assigned_to=str(ada.pk)) == titles(unassigned="false") == ["one"]
    assert titles(q="tw") == titles(q=f"inc-{two.number}") == ["two"]
    assert titles(unassigned="true") == ["three", "two"]
    assert titles(tags__overlap="vip,eu") == ["two", "one"]
    assert titles(severity__in="low,critical", status__in="open,contained") == ["two", "one"]
    assert titles(created_at__gte=two.created_at.isoformat()) == ["three", "two"]
    assert titles(created_at__lt=two.created_at.isoformat()) == ["one"]
    assert titles(ordering="-severity") == ["two", "three", "one"]
    assert titles(ordering="created_at") == ["one", "two", "three"]
    for query in (
        {"severity__in": "low,huge"}, {"assigned_to": "ada"}, {"created_at__gte": "yesterday"}, {"ordering": "title"},
    ):  # fmt: skip
        assert client.get(URL, query).status_code == 422, query


def test_read_by_id_and_by_number() -> None:
    client, incident = client_of(make_user()), make_incident(alerts=[make_alert(techniques=["T1566"])])
    for name in (incident.pk, incident.number, f"INC-{incident.number}"):
        shown = client.get(f"{URL}/{name}").json()
        assert (shown["id"], shown["alert_count"], shown["techniques"]) == (str(incident.pk), 1, ["T1566"])
    for name in ("nonsense", "9" * 30, "00000000-0000-0000-0000-000000000000"):
        answer = client.get(f"{URL}/{name}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "Incident not found")


@pytest.mark.parametrize(
    ("field", "value", "action"),
    [
        ("title", "Other words", "details_changed"),
        ("description", "More words", "details_changed"),
        ("tlp", "red", "details_changed"),
        ("pap", "red", "details_changed"),
        ("severity", "critical", "severity_change"),
        ("status", "contained", "status_change"),
        ("tags", ["a", "b"], "tags_changed"),
    ],
)
def test_patch_each_field(field: str, value: Any, action: str) -> None:
    client, incident = client_of(make_user()), make_incident()
    answer = client.patch(f"{URL}/{incident.pk}", {field: value})
    assert (answer.status_code, answer.json()[field]) == (200, value)
    assert answer["ETag"] == f'"{incident.version + 1}"'
    assert actions(incident, after=1) == [action]
    again = client.patch(f"{URL}/{incident.pk}", {field: value})
    assert again.json()["version"] == incident.version + 1
    assert actions(incident, after=1) == [action]


def test_patch_the_owner_to_somebody_and_nobody() -> None:
    ada, incident = make_user("ada"), make_incident()
    client = client_of(ada)
    assert (
        client.patch(f"{URL}/{incident.pk}", {"assigned_to": str(ada.pk)}).json()["assigned_username"]
        == "ada"
    )
    assert client.patch(f"{URL}/{incident.pk}", {"assigned_to": ""}).json()["assigned_to"] is None
    assert actions(incident, after=1) == ["assigned", "assigned"]
    gone = make_user("gone", is_active=False)
    assert client.patch(f"{URL}/{incident.pk}", {"assigned_to": str(gone.pk)}).status_code == 422


def test_null_says_nothing() -> None:
    client, incident = client_of(make_user()), make_incident(severity="high", tags=["vip"])
    fields = (
        "title",
        "description",
        "severity",
        "status",
        "tags",
        "tlp",
        "pap",
        "determination",
        "impact",
        "summary",
    )
    answer = client.patch(f"{URL}/{incident.pk}", dict.fromkeys(fields))
    assert (answer.status_code, answer.json()["tags"], answer.json()["version"]) == (
        200,
        ["vip"],
        incident.version,
    )
    assert actions(incident, after=1) == []
    nothing = dict.fromkeys(
        ("description", "severity", "tags", "partner", "tlp", "pap", "assigned_to", "alert_ids")
    )
    made = client.post(URL, {"title": "x"} | nothing).json()
    assert (made["severity"], made["tags"], made["tlp"], made["assigned_to"]) == ("medium", [], "amber", None)
    assert client.post(URL, {"title": None}).status_code == 422


def test_patch_closes_without_and_with_an_assessment() -> None:
    client, incident = client_of(make_user()), make_incident()
    closed = client.patch(f"{URL}/{incident.pk}", {"status": "closed"}).json()
    assert (closed["status"], closed["closed_unassessed"], closed["determination"]) == ("closed", True, None)
    assessment = {"determination": "malicious", "impact": "severe", "summary": "Bad"}
    assessed = client.patch(f"{URL}/{incident.pk}", assessment).json()
    assert {name: assessed[name] for name in assessment} == assessment
    assert assessed["closed_unassessed"] is False
    assert client.patch(f"{URL}/{incident.pk}", {"status": "open"}).json()["closed_at"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"status": "gone"},
        {"severity": ""},
        {"title": ""},
        {"tags": [1]},
        {"alert_count": 3},
        {"tlp": "blue"},
    ],
)
def test_patch_refuses(body: dict[str, Any]) -> None:
    client, incident = client_of(make_user()), make_incident()
    assert client.patch(f"{URL}/{incident.pk}", body).status_code == 422
    assert actions(incident, after=1) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"severity": "low"}),
        ("/assign", {"assigned_to": None}),
        ("/close", {"determination": "benign", "impact": "none", "summary": "ok"}),
        ("/reopen", {}),
    ],
)
def test_a_stale_version_is_refused_with_both(path: str, body: dict[str, Any]) -> None:
    client, incident = client_of(make_user()), make_incident()
    client.patch(f"{URL}/{incident.pk}", {"severity": "high"})
    call = client.patch if path == "" else client.post
    answer = call(f"{URL}/{incident.pk}{path}", body, headers={"if-match": '"1"'})
    assert answer.status_code == 412
    assert (answer.json()["expected_version"], answer.json()["current_version"]) == (1, 2)
    assert answer["ETag"] == '"2"'
    assert call(f"{URL}/{incident.pk}{path}", body, headers={"if-match": "yesterday"}).status_code == 422
    assert call(f"{URL}/{incident.pk}{path}", body, headers={"if-match": '"2"'}).status_code == 200


def test_lists_take_as_many_queries_for_20_as_for_2() -> None:
    client, owner = client_of(make_user()), make_user()

    def grow(count: int) -> list[int]:
        for number in range(count):
            make_incident(f"n{number}", owner=owner, alerts=[make_alert()])
        one = Incident.objects.latest("id")
        for _number in range(count):
            client.post(f"{URL}/{one.pk}/alerts", {"alert_id": str(make_alert(assigned_to=owner).pk)})
        return [queries(client, "incidents"), queries(client, f"incidents/{one.pk}/alerts")]

    few = grow(2)
    assert grow(18) == few
    assert max(few) <= 8


def test_nothing_of_another_partner_is_seen_or_touched() -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    alert = make_alert(partner=theirs)
    incident = make_incident("theirs", partner=theirs, alerts=[alert])
    client = client_of(make_user(partners=[mine], role="admin"))
    assert client.get(URL).json() == {"incidents": [], "total": 0}
    assert client.get(URL, {"partner": "theirs"}).json()["total"] == 0
    for method, path in EVERY_PATH:
        answer = getattr(client, method)(f"{URL}/{path.format(id=incident.pk, alert=alert.pk)}", {})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Incident not found"}), (method, path)
        by_number = path.format(id=incident.number, alert=alert.pk)
        assert getattr(client, method)(f"{URL}/{by_number}", {}).status_code == 404, (method, path)
    assert actions(incident) == ["incident_created", "alert_linked"]


EVERY_PATH = [
    ("get", "{id}"), ("patch", "{id}"), ("post", "{id}/assign"), ("post", "{id}/close"), ("post", "{id}/reopen"),
    ("get", "{id}/alerts"), ("post", "{id}/alerts"), ("delete", "{id}/alerts/{alert}"), ("get", "{id}/observables"),
    ("post", "{id}/observables"), ("get", "{id}/activities"), ("get", "{id}/timeline"), ("post", "{id}/comments"),
    ("patch", "{id}/comments/{alert}"), ("get", "{id}/handoffs"), ("post", "{id}/handoffs"), ("get", "{id}/runs"),
    ("post", "{id}/runs"),
]  # fmt: skip


def test_a_viewer_reads_and_changes_nothing() -> None:
    alert = make_alert()
    incident = make_incident(alerts=[alert])
    client = client_of(make_user(role="viewer"))
    for method, path in EVERY_PATH:
        answer = getattr(client, method)(f"{URL}/{path.format(id=incident.pk, alert=alert.pk)}", {})
        assert answer.status_code == (200 if method == "get" else 403), (method, path)
    assert client.post(URL, {"title": "x"}).status_code == 403
