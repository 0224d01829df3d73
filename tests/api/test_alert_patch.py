"""PATCH of an alert: each field, what stands on the timeline then, and stale or senseless requests."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.models import Alert
from alerts.services import add_observables
from tests.api.clients import V1, client_of
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


@pytest.mark.parametrize(
    ("body", "recorded"),
    [
        ({"status": "in_progress"}, ["status_change"]),
        ({"severity": "critical"}, ["severity_change"]),
        ({"determination": "suspicious"}, ["determination_set"]),
        ({"tags": ["vip", "dc"]}, ["tags_changed"]),
        ({"partner": "acme"}, ["partner_changed"]),
        ({"status": "resolved", "determination": "benign"}, ["determination_set", "status_change"]),
    ],
)
def test_each_field_once(body: dict[str, Any], recorded: list[str]) -> None:
    make_partner("acme")
    alert = make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    answer = client.patch(url, body)
    assert answer.status_code == 200, answer.content
    assert {name: answer.json()[name] for name in body} == body
    assert (answer.json()["version"], answer["ETag"]) == (2, '"2"')
    assert sorted(actions(alert)) == sorted(recorded)
    assert client.patch(url, body).json() == answer.json()  # a repeat changes nothing
    assert len(actions(alert)) == len(recorded)


def test_the_owner_by_id_and_nobody_in_two_ways() -> None:
    ada, alert = make_user("ada"), make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    shown = client.patch(url, {"assigned_to": str(ada.pk)}).json()
    assert (shown["assigned_username"], shown["status"]) == ("ada", "in_progress")
    assert client.patch(url, {"assigned_to": ""}).json()["assigned_to"] is None
    client.patch(url, {"assigned_to": str(ada.pk)})
    assert client.patch(url, {"assigned_to": None}).json()["assigned_to"] is None
    assert actions(alert) == ["assigned"] * 4


def test_null_is_the_partner_that_every_installation_has() -> None:
    alert = make_alert(partner=make_partner("acme"))
    url = f"{V1}alerts/{alert.pk}"
    assert client_of(make_user()).patch(url, {"partner": None}).json()["partner"] is None


def test_a_reason_is_kept_and_stands_on_the_timeline() -> None:
    alert = make_alert()
    body = {"status": "resolved", "determination": "benign", "resolve_reason": "a known scanner"}
    shown = client_of(make_user()).patch(f"{V1}alerts/{alert.pk}", body).json()
    assert (shown["resolve_reason"], shown["status"]) == ("a known scanner", "resolved")
    assert shown["resolved_at"] is not None
    by_action = {entry.action: text_of(entry) for entry in entries(alert)}
    assert by_action["status_change"] == "a known scanner"


def test_null_leaves_a_field_as_it_is_and_an_empty_reason_clears_it() -> None:
    alert = make_alert(tags=["vip"], status="resolved", resolve_reason="a scanner")
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    nothing = dict.fromkeys(("status", "severity", "determination", "resolve_reason", "tags", "detail"))
    assert client.patch(url, nothing).json()["version"] == 1
    assert actions(alert) == []
    assert client.patch(url, {"resolve_reason": ""}).json()["resolve_reason"] is None


def test_detail_says_why() -> None:
    alert = make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    assert client.patch(url, {"severity": "high", "detail": "a domain controller"}).status_code == 200
    [activity] = client.get(url + "/activities").json()["activities"]
    assert (activity["action"], activity["detail"]) == ("severity_change", "a domain controller")
    assert activity["metadata_json"] == {"before": "medium", "after": "high"}


@pytest.mark.parametrize("header", ['"1"', 'W/"1"', "1"])
def test_a_stale_edit_is_refused_with_both_versions(header: str) -> None:
    alert = make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    assert client.patch(url, {"severity": "high"}, headers={"If-Match": header}).status_code == 200
    answer = client.patch(url, {"severity": "low"}, headers={"If-Match": header})
    assert answer.status_code == 412
    assert (answer.json()["expected_version"], answer.json()["current_version"]) == (1, 2)
    assert answer["ETag"] == '"2"'
    assert Alert.objects.get().severity == "high"
    assert client.patch(url, {"severity": "low"}, headers={"If-Match": answer["ETag"]}).status_code == 200
    assert client.patch(url, {"severity": "low"}, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"status": "closed"}, "Invalid status"),
        ({"severity": "huge"}, "Invalid severity"),
        ({"severity": 5}, "severity"),
        ({"determination": "evil"}, "Invalid determination. Must be one of: "),
        (
            {"status": "resolved"},
            "Cannot resolve an alert with determination 'unknown'. Set a determination first.",
        ),
        ({"tags": "vip"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"assigned_to": "nobody"}, "Analyst not found"),
        ({"assigned_to": 5}, "assigned_to"),
        ({"title": "mine now"}, "title"),
        ([], ""),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(body: Any, said: str) -> None:
    alert = make_alert()
    answer = client_of(make_user()).patch(f"{V1}alerts/{alert.pk}", body)
    assert answer.status_code == 422
    assert said in str(answer.json()["detail"])
    assert actions(alert) == []
    assert Alert.objects.get().version == 1


def test_a_senseless_version_is_refused() -> None:
    url = f"{V1}alerts/{make_alert().pk}"
    answer = client_of(make_user()).patch(url, {"severity": "low"}, headers={"If-Match": "abc"})
    assert (answer.status_code, answer.json()["field"]) == (422, "If-Match")


def test_a_partner_that_the_caller_does_not_see_is_unknown() -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    alert = make_alert(partner=mine)
    client, url = client_of(make_user(partners=[mine])), f"{V1}alerts/{alert.pk}"
    for partner in (theirs.slug, "no-such-partner", None):
        answer = client.patch(url, {"partner": partner})
        assert (answer.status_code, answer.json()["detail"]) == (422, "Unknown partner")


def test_a_move_takes_the_observables_along_and_is_refused_out_of_an_incident() -> None:
    alert = make_alert()
    add_observables(actor=SYSTEM, alert=alert, values=[("ip", "9.9.9.9")])
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    make_partner("acme")
    client.patch(url, {"partner": "acme"})
    [moved] = client.get(url + "/observables").json()["observables"]
    assert (moved["value"], moved["partner"]) == ("9.9.9.9", "acme")
    make_incident(alerts=[Alert.objects.get()], partner="acme")
    assert client.patch(url, {"partner": None}).status_code == 409
