"""Suppressions by REST: made, looked at before, listed, ended; an alert shown again; the record of a rule."""

from __future__ import annotations

from typing import Any

import pytest

from alerts import services
from alerts.models import Suppression
from tests.api.clients import V1, client_of, machine, queries
from tests.factories import SYSTEM, actions, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db
URL = V1 + "suppressions"
BODY: dict[str, Any] = {"name": "Scanner", "reason": "Ours", "conditions": {"rule_name": "Port scan"}}


def test_from_preview_to_end() -> None:
    client = client_of(make_user("lena", role="lead"))
    for word in ("benign", "malicious"):
        make_alert(f"A {word} scan", status="resolved", determination=word, rule_name="Port scan")
    found = client.post(f"{URL}/preview", {"conditions": BODY["conditions"]}).json()
    assert (found["total"], found["malicious"], found["suspicious"], found["benign"]) == (2, 1, 0, 1)
    assert found["sentence"].endswith("2 alerts of the last 30 days, 1 of which was malicious")
    assert [alert["determination"] for alert in found["alerts"]] == ["malicious", "benign"]
    assert not Suppression.objects.exists()

    made = client.post(URL, BODY)
    assert made.status_code == 201, made.content
    row = made.json()
    assert (row["partner"], row["owner_username"], row["state"], row["hidden"]) == (None, "lena", "active", 0)
    make_alert("Hidden", rule_name="Port scan", suppressed_by_id=row["id"])
    now = client.get(f"{URL}/{row['id']}").json()
    assert (now["hidden"], now["last_hidden_at"] is not None) == (1, True)
    assert client.get(URL).json()["suppressions"] == [now]
    ended = client.post(f"{URL}/{row['id']}/end").json()
    assert (ended["state"], ended["ended_at"] is not None, ended["hidden"]) == ("ended", True, 1)
    assert client.post(f"{URL}/{row['id']}/end").status_code == 409


def test_days() -> None:
    client = client_of(make_user(role="lead"))
    assert client.post(URL, BODY).json()["expires_at"] is not None
    assert client.post(URL, BODY | {"days": None}).json()["expires_at"] is None
    for days in (0, -1, "soon", 1_000_000):
        assert client.post(URL, BODY | {"days": days}).status_code == 422, days


@pytest.mark.parametrize(
    "change",
    [
        {"conditions": {}}, {"conditions": {"hots": "x"}}, {"conditions": {"status": "new"}}, {"conditions": "x"},
        {"reason": " "}, {"name": ""}, {"partner": "nobody"}, {"owner": "nobody"}, {"extra": 1},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_422(change: dict[str, Any]) -> None:
    answer = client_of(make_user(role="lead")).post(URL, BODY | change)
    assert (answer.status_code, Suppression.objects.count()) == (422, 0)


def test_analysts_look_leads_hide() -> None:
    analyst = client_of(make_user())
    assert analyst.get(URL).status_code == 200
    assert analyst.post(URL, BODY).status_code == 403
    assert analyst.post(f"{URL}/preview", {"conditions": {"title": "x"}}).status_code == 403
    assert machine("read", "write").post(URL, BODY).status_code == 403
    lead = make_user("lena", role="lead")
    assert machine("admin").post(URL, BODY).status_code == 422  # a machine answers for nothing
    assert machine("admin").post(URL, BODY | {"owner": "lena"}).json()["owner"] == str(lead.pk)


def test_lists_are_narrowed_and_ask_no_more_for_more() -> None:
    lead, acme = make_user("lena", role="lead"), make_partner("acme")
    client = client_of(lead)

    def make(**fields: Any) -> str:
        return str(client.post(URL, BODY | fields).json()["id"])

    everybodys, acmes, ended = make(), make(partner="acme"), make()
    client.post(f"{URL}/{ended}/end")

    def found(**query: str) -> list[str]:
        return [row["id"] for row in client.get(URL, query).json()["suppressions"]]

    assert found() == [ended, acmes, everybodys]
    assert found(state="active") == [acmes, everybodys]
    assert found(state="ended") == [ended]
    assert found(state="expired") == []
    assert found(partner="acme") == [acmes]
    assert found(owner=str(lead.pk)) == [ended, acmes, everybodys]
    assert client.get(URL, {"state": "gone"}).status_code == 422
    before = queries(client, "suppressions")
    for _ in range(5):
        make()
    assert queries(client, "suppressions") == before
    bound = client_of(make_user(role="lead", partners=[acme]))
    shown = {row["id"] for row in bound.get(URL).json()["suppressions"]}
    assert {everybodys, acmes} <= shown
    assert bound.post(f"{URL}/{everybodys}/end").status_code == 403


def test_hidden_alerts_are_found_when_asked_for_and_shown_again() -> None:
    lead, analyst = make_user(role="lead"), client_of(make_user())
    suppression = services.create_suppression(actor=lead.actor, **BODY)
    hidden = make_alert("Hidden", suppressed_by=suppression)
    seen = make_alert("Seen")

    def found(**query: str) -> list[str]:
        return [row["id"] for row in analyst.get(V1 + "alerts", query).json()["alerts"]]

    assert found() == [str(seen.pk)]
    assert found(suppressed="true") == [str(hidden.pk)]
    assert found(suppressed="any") == [str(seen.pk), str(hidden.pk)]
    assert found(suppressed_by=str(suppression.pk)) == [str(hidden.pk)]
    assert analyst.get(V1 + "alerts", {"suppressed": "no"}).status_code == 422
    assert analyst.get(f"{V1}alerts/{hidden.pk}").json()["suppressed_by"] == str(suppression.pk)
    figures = analyst.get(V1 + "dashboard/stats").json()
    assert figures["alerts_today"] == 1
    answer = analyst.post(f"{V1}alerts/{hidden.pk}/show-again", {"reason": "Look at it"})
    assert (answer.json()["suppressed_by"], answer["ETag"]) == (None, '"2"')
    assert actions(hidden) == ["shown_again"]
    assert found() == [str(seen.pk), str(hidden.pk)]


def test_an_alert_tells_how_its_rule_has_done() -> None:
    client, alert = client_of(make_user()), make_alert(rule_name="Port scan", source="edr")
    services.resolve_alert(
        actor=SYSTEM, alert=make_alert(rule_name="Port scan", source="edr"), determination="benign"
    )
    rule = client.get(f"{V1}alerts/{alert.pk}").json()["rule"]
    assert rule.pop("last_at") is not None
    assert rule == {
        "source": "edr", "rule_name": "Port scan",
        "alerts": 2, "resolved": 1, "malicious": 0, "suspicious": 0, "benign": 1, "false_positive_rate": 1.0,
    }  # fmt: skip
    assert client.get(f"{V1}alerts/{make_alert().pk}").json()["rule"] is None
