"""Handing an incident over by REST."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.clients import V1, client_of, queries
from tests.factories import actions, entries, make_incident, make_partner, make_user

pytestmark = pytest.mark.django_db


def test_a_note_with_shift_and_questions_is_left_and_taken_over() -> None:
    ada, bob, incident = make_user("ada"), make_user("bob"), make_incident()
    by_ada, by_bob = client_of(ada), client_of(bob)
    url = f"{V1}incidents/{incident.pk}/handoffs"
    body = {
        "to_user": str(bob.pk),
        "text": "Yours now",
        "shift": "night",
        "open_questions": ["Who?", "When?"],
    }
    answer = by_ada.post(url, body)
    assert answer.status_code == 201
    note = answer.json()
    assert {name: note[name] for name in body} == body
    assert (note["from_username"], note["to_username"], note["acknowledged_at"]) == ("ada", "bob", None)
    assert by_bob.get(url).json() == {"handoffs": [note], "total": 1}
    taken = f"{V1}handoffs/{note['id']}/acknowledge"
    assert by_ada.post(taken).status_code == 403
    first = by_bob.post(taken).json()
    assert first["acknowledged_at"]
    assert by_bob.post(taken).json() == first  # a repeat changes nothing
    assert by_ada.get(url).json()["handoffs"] == [first]
    assert actions(incident, after=1) == ["handoff_note", "handoff_acknowledged"]
    assert [entry.actor_name for entry in entries(incident, after=1)] == ["ada", "bob"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"to_user": "bob"},
        {"to_user": "bob", "text": " "},
        {"to_user": "nobody-of-that-name", "text": "x"},
        {"to_user": "ada", "text": "to myself"},
        {"to_user": "bob", "text": "x", "shift": "y" * 101},
        {"to_user": "bob", "text": "x", "open_questions": ["?"] * 51},
        {"to_user": "bob", "text": "x", "open_questions": "?"},
        {"to_user": "stranger", "text": "x"},
    ],
)
def test_what_is_no_handoff(body: dict[str, Any]) -> None:
    make_user("bob")
    make_user("stranger", partners=[make_partner()])
    incident = make_incident()
    client = client_of(make_user("ada"))
    answer = client.post(f"{V1}incidents/{incident.pk}/handoffs", body)
    assert answer.status_code == 422
    assert "assigned_to" not in str(answer.json())
    assert actions(incident, after=1) == []


def test_a_foreign_handoff_does_not_exist() -> None:
    theirs = make_partner()
    ada, bob, incident = make_user("ada"), make_user("bob"), make_incident(partner=theirs)
    note = (
        client_of(ada)
        .post(f"{V1}incidents/{incident.pk}/handoffs", {"to_user": str(bob.pk), "text": "Yours"})
        .json()
    )
    stranger = client_of(make_user(partners=[make_partner()]))
    for pk in (note["id"], "nonsense"):
        answer = stranger.post(f"{V1}handoffs/{pk}/acknowledge")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Handoff not found"})


def test_20_notes_take_as_many_queries_as_2() -> None:
    bob, incident = make_user("bob"), make_incident()
    client, url = client_of(make_user()), f"incidents/{incident.pk}/handoffs"

    def grow(count: int) -> int:
        for number in range(count):
            client.post(V1 + url, {"to_user": str(bob.pk), "text": f"note {number}"})
        return queries(client, url)

    few = grow(2)
    assert grow(18) == few <= 9
    assert client.get(V1 + url, {"limit": 5}).json()["total"] == 20
