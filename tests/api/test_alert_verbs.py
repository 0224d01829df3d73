"""Claim, assign, resolve, reopen and delete by REST."""

from __future__ import annotations

import pytest

from alerts.models import Alert
from tests.api.clients import V1, ContractClient, client_of
from tests.factories import actions, make_alert, make_token, make_user

pytestmark = pytest.mark.django_db


def test_claim_is_for_one() -> None:
    ada, bob, alert = make_user("ada"), make_user("bob"), make_alert()
    url = f"{V1}alerts/{alert.pk}/claim"
    mine = client_of(ada).post(url)
    assert (mine.json()["assigned_username"], mine.json()["status"]) == ("ada", "in_progress")
    assert mine["ETag"] == '"2"'
    assert client_of(ada).post(url).json() == mine.json()
    late = client_of(bob).post(url)
    assert (late.status_code, late.json()) == (409, {"detail": "Already claimed by ada"})
    assert actions(alert) == ["claimed"]


def test_a_machine_claims_nothing() -> None:
    alert = make_alert()
    _token, text = make_token(["read", "write"])
    client = ContractClient()
    client.credentials(HTTP_X_API_KEY=text)
    answer = client.post(f"{V1}alerts/{alert.pk}/claim")
    assert (answer.status_code, answer.json()) == (403, {"detail": "Only a person can claim an alert"})


def test_assign() -> None:
    ada, alert = make_user("ada"), make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}/assign"
    assert client.post(url, {"assigned_to": str(ada.pk)}).json()["assigned_username"] == "ada"
    stale = client.post(url, {"assigned_to": None}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert client.post(url, {"assigned_to": None}, headers={"If-Match": '"2"'}).json()["assigned_to"] is None
    for body in ({}, {"assigned_to": "nobody"}, {"assigned_to": str(alert.pk)}, {"owner": str(ada.pk)}):
        assert client.post(url, body).status_code == 422, body
    assert actions(alert) == ["assigned", "assigned"]


def test_assign_refuses_who_cannot_work_on_it() -> None:
    gone = make_user("gone", is_active=False)
    alert = make_alert()
    answer = client_of(make_user()).post(f"{V1}alerts/{alert.pk}/assign", {"assigned_to": str(gone.pk)})
    assert answer.status_code == 422
    assert actions(alert) == []


def test_resolve_and_reopen() -> None:
    alert = make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    done = client.post(url + "/resolve", {"determination": "benign", "reason": "a scanner"}).json()
    assert (done["status"], done["determination"], done["resolve_reason"]) == (
        "resolved",
        "benign",
        "a scanner",
    )
    assert done["resolved_at"] is not None
    assert client.post(url + "/resolve", {"determination": "benign", "reason": "a scanner"}).json() == done
    assert client.post(url + "/reopen", {}, headers={"If-Match": '"1"'}).status_code == 412
    again = client.post(url + "/reopen", {"reason": "it came back"}).json()
    assert (again["status"], again["resolved_at"], again["resolve_reason"]) == ("new", None, None)
    assert client.post(url + "/reopen", {}).json() == again
    assert actions(alert) == ["determination_set", "status_change", "status_change"]
    newest = client.get(url + "/activities").json()["activities"][0]
    assert (newest["action"], newest["detail"]) == ("status_change", "it came back")


def test_resolve_wants_a_determination() -> None:
    client, url = client_of(make_user()), f"{V1}alerts/{make_alert().pk}/resolve"
    for body in ({}, {"determination": "unknown"}, {"determination": "x"}, {"determination": None}):
        assert client.post(url, body).status_code == 422, body
    stale = client.post(url, {"determination": "benign"}, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    assert Alert.objects.get().status == "new"


def test_delete_puts_it_out_of_sight_and_keeps_the_row() -> None:
    alert = make_alert()
    client, url = client_of(make_user()), f"{V1}alerts/{alert.pk}"
    assert client.delete(url, headers={"If-Match": '"7"'}).status_code == 412
    answer = client.delete(url, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()) == (200, {"detail": "Alert deleted"})
    for path in ("", "/activities", "/observables"):
        assert client.get(url + path).status_code == 404
    for again in (client.delete(url), client.patch(url, {"severity": "low"}), client.post(url + "/claim")):
        assert (again.status_code, again.json()) == (404, {"detail": "Alert not found"})
    assert client.get(V1 + "alerts").json()["total"] == 0
    assert Alert.objects.get().archived_at is not None
    assert actions(alert) == ["archived"]


@pytest.mark.parametrize("pk", ["nonsense", "0", "00000000-0000-0000-0000-000000000000", "%00", "a" * 500])
def test_what_is_no_alert(pk: str) -> None:
    client = client_of(make_user())
    for answer in (client.get(f"{V1}alerts/{pk}"), client.post(f"{V1}alerts/{pk}/claim")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Alert not found"})
