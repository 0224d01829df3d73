"""Assigning, closing and reopening an incident by REST."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.clients import V1, client_of
from tests.factories import actions, entries, make_incident, make_partner, make_user, text_of

pytestmark = pytest.mark.django_db
CLOSING = {"determination": "suspicious", "impact": "limited", "summary": "Contained in time"}


def test_assign_by_id_by_name_and_to_nobody() -> None:
    ada, bob, incident = make_user("ada"), make_user("bob"), make_incident()
    client, url = client_of(ada), f"{V1}incidents/{incident.pk}/assign"
    assert client.post(url, {"assigned_to": str(bob.pk)}).json()["assigned_username"] == "bob"
    assert client.post(url, {"assigned_to": "ada"}).json()["assigned_to"] == str(ada.pk)
    assert client.post(url, {"assigned_to": None}).json()["assigned_to"] is None
    assert actions(incident, after=1) == ["assigned"] * 3
    assert {entry.actor_name for entry in entries(incident, after=1)} == {"ada"}


def test_assign_refuses_who_could_not_see_it() -> None:
    incident = make_incident()
    stranger = make_user(partners=[make_partner()])
    client, url = client_of(make_user()), f"{V1}incidents/{incident.pk}/assign"
    assert client.post(url, {"assigned_to": str(stranger.pk)}).status_code == 422
    assert client.post(url, {"assigned_to": "x"}).status_code == 422
    assert client.post(url, {}).status_code == 422
    assert actions(incident, after=1) == []


def test_close_and_reopen() -> None:
    incident, client = make_incident(), client_of(make_user("ada"))
    url = f"{V1}incidents/{incident.pk}"
    closed = client.post(url + "/close", CLOSING)
    assert closed.status_code == 200
    assert {name: closed.json()[name] for name in CLOSING} == CLOSING
    assert closed.json()["closed_at"]
    assert client.post(url + "/close", CLOSING).status_code == 200  # a repeat changes nothing
    assert client.post(url + "/close", CLOSING | {"impact": "severe"}).status_code == 409
    opened = client.post(url + "/reopen", {"reason": "It is back"}).json()
    assert (opened["status"], opened["closed_at"], opened["determination"]) == ("open", None, None)
    assert actions(incident, after=1) == ["closed", "reopened"]
    assert [text_of(entry) for entry in entries(incident, after=1)] == ["Contained in time", "It is back"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"determination": "malicious"},
        CLOSING | {"determination": "unknown"},
        CLOSING | {"impact": "huge"},
        CLOSING | {"summary": "  "},
        CLOSING | {"status": "open"},
    ],
)
def test_closing_wants_a_whole_assessment(body: dict[str, Any]) -> None:
    incident = make_incident()
    assert client_of(make_user()).post(f"{V1}incidents/{incident.pk}/close", body).status_code == 422
    assert actions(incident, after=1) == []
