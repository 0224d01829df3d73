"""One verb on many alerts by REST: how it went, alert by alert."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from alerts.models import Alert
from tests.api.clients import V1, ContractClient, client_of
from tests.factories import actions, make_alert, make_partner, make_token, make_user

pytestmark = pytest.mark.django_db
URL = V1 + "alerts/bulk"


def ids(*alerts: Alert) -> list[str]:
    return [str(alert.pk) for alert in alerts]


def test_resolve() -> None:
    first, second, done = make_alert(), make_alert(), make_alert(status="resolved")
    body = {
        "alert_ids": ids(first, second, done), "action": "resolve",
        "determination": "benign", "resolve_reason": "noise",
    }  # fmt: skip
    answer = client_of(make_user()).post(URL, body)
    assert (answer.status_code, answer.json()) == (200, {"updated": 2, "failed": 0, "errors": []})
    assert set(Alert.objects.values_list("status", flat=True)) == {"resolved"}
    assert actions(first) == actions(second) == ["determination_set", "status_change"]
    assert actions(done) == []


def test_each_refusal_is_named_and_undoes_nothing_else() -> None:
    known, unknown = make_alert(determination="benign"), make_alert()
    missing = str(uuid.uuid4())
    body = {"alert_ids": [*ids(unknown, known), missing, "nonsense"], "action": "resolve"}
    assert client_of(make_user()).post(URL, body).json() == {
        "updated": 1,
        "failed": 3,
        "errors": [
            f"Alert {unknown.pk}: cannot resolve with unknown determination",
            f"Alert {missing} not found",
            "Alert nonsense not found",
        ],
    }
    assert Alert.objects.get(pk=known.pk).status == "resolved"


def test_assign_to_oneself_to_somebody_to_nobody() -> None:
    ada, bob = make_user("ada"), make_user("bob")
    alerts = [make_alert(), make_alert()]
    client = client_of(ada)

    def owners(**more: Any) -> set[str | None]:
        answer = client.post(URL, {"alert_ids": ids(*alerts), "action": "assign"} | more)
        assert answer.json() == {"updated": 2, "failed": 0, "errors": []}
        return set(Alert.objects.values_list("assigned_to__username", flat=True))

    assert owners() == {"ada"}
    assert owners(assigned_to=str(bob.pk)) == {"bob"}
    assert owners(assigned_to=None) == {None}
    assert owners(assigned_to="") == {None}
    assert actions(alerts[0]) == ["assigned"] * 3


def test_assign_to_a_stranger_fails_for_each() -> None:
    alert = make_alert()
    body = {"alert_ids": ids(alert), "action": "assign", "assigned_to": str(uuid.uuid4())}
    answer = client_of(make_user()).post(URL, body).json()
    assert (answer["updated"], answer["failed"]) == (0, 1)
    assert answer["errors"][0].startswith(f"Alert {alert.pk}: ")


def test_a_machine_says_to_whom() -> None:
    ada, alert = make_user("ada"), make_alert()
    _token, text = make_token(["read", "write"])
    client = ContractClient()
    client.credentials(HTTP_X_API_KEY=text)
    body: dict[str, Any] = {"alert_ids": ids(alert), "action": "assign"}
    assert client.post(URL, body).status_code == 422
    assert client.post(URL, body | {"assigned_to": str(ada.pk)}).json()["updated"] == 1
    assert Alert.objects.get().assigned_to == ada


def test_claim_and_change_severity() -> None:
    taken, free = make_alert(assigned_to=make_user("bob")), make_alert()
    client = client_of(make_user("ada"))
    claimed = client.post(URL, {"alert_ids": ids(taken, free), "action": "claim"}).json()
    assert claimed == {"updated": 1, "failed": 1, "errors": [f"Alert {taken.pk}: Already claimed by bob"]}
    body = {"alert_ids": ids(taken, free), "action": "change_severity"}
    assert client.post(URL, body | {"severity": "critical"}).json()["updated"] == 2
    assert set(Alert.objects.values_list("severity", flat=True)) == {"critical"}
    assert client.post(URL, body).json()["failed"] == 2
    assert client.post(URL, body | {"severity": "huge"}).json()["failed"] == 2


def test_an_unknown_action_is_an_answer() -> None:
    answer = client_of(make_user()).post(URL, {"alert_ids": ids(make_alert()), "action": "explode"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"updated": 0, "failed": 1, "errors": ["Unknown action: explode"]},
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"alert_ids": [], "action": 5},
        {"alert_ids": "x", "action": "claim"},
        {"alert_ids": [5], "action": "claim"},
        {"alert_ids": ["x"] * 1001, "action": "claim"},
        {"alert_ids": ["x"]},
        {"alert_ids": ["x"], "action": "resolve", "determinaton": "benign"},
    ],
)
def test_what_makes_no_sense(body: dict[str, Any]) -> None:
    assert client_of(make_user()).post(URL, body).status_code == 422


def test_alerts_of_other_partners_are_not_found() -> None:
    mine, theirs = make_partner(), make_partner()
    ours, foreign = make_alert(partner=mine), make_alert(partner=theirs)
    body = {"alert_ids": ids(ours, foreign), "action": "change_severity", "severity": "low"}
    answer = client_of(make_user(partners=[mine])).post(URL, body).json()
    assert answer == {"updated": 1, "failed": 1, "errors": [f"Alert {foreign.pk} not found"]}
    assert Alert.objects.get(pk=foreign.pk).severity == "medium"
