"""Comments on an incident by REST, and edits of one's own."""

from __future__ import annotations

import pytest

from tests.api.clients import V1, ContractClient, client_of
from tests.factories import actions, make_incident, make_token, make_user

pytestmark = pytest.mark.django_db


def test_comment_and_edit() -> None:
    ada, incident = make_user("ada"), make_incident()
    make_user("grace")
    client, url = client_of(ada), f"{V1}incidents/{incident.pk}"
    said = client.post(url + "/comments", {"text": "Seen it @grace"}).json()
    assert (said["action"], said["detail"], said["mentions"]) == ("comment", "Seen it @grace", ["grace"])
    assert (said["analyst_username"], said["edited"], said["incident_id"]) == ("ada", False, str(incident.pk))
    edited = client.patch(f"{url}/comments/{said['id']}", {"text": "Seen it twice"}).json()
    assert (edited["id"], edited["detail"], edited["edited"]) == (said["id"], "Seen it twice", True)
    assert edited["created_at"] == said["created_at"] < edited["updated_at"]
    again = client.patch(f"{url}/comments/{said['id']}", {"text": "Seen it twice"}).json()
    assert again == edited
    shown = client.get(url + "/activities").json()
    assert [one["detail"] for one in shown["activities"] if one["action"] == "comment"] == ["Seen it twice"]
    assert shown["total"] == 2
    assert actions(incident, after=1) == ["comment", "comment"]  # nothing is overwritten


def test_only_ones_own() -> None:
    incident = make_incident()
    url = f"{V1}incidents/{incident.pk}/comments"
    said = client_of(make_user()).post(url, {"text": "Mine"}).json()
    answer = client_of(make_user(role="admin")).patch(f"{url}/{said['id']}", {"text": "Not mine"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Can only edit your own comments"})
    assert actions(incident, after=1) == ["comment"]


def test_what_is_no_comment_cannot_be_edited() -> None:
    client, incident, other = client_of(make_user()), make_incident(), make_incident()
    url = f"{V1}incidents/{incident.pk}"
    [created] = client.get(url + "/activities").json()["activities"]
    elsewhere = client.post(f"{V1}incidents/{other.pk}/comments", {"text": "x"}).json()
    for pk in (created["id"], elsewhere["id"], "nonsense", incident.pk):
        answer = client.patch(f"{url}/comments/{pk}", {"text": "y"})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Comment not found"})


def test_empty_and_endless_comments_are_refused() -> None:
    client, incident = client_of(make_user()), make_incident()
    url = f"{V1}incidents/{incident.pk}/comments"
    for body in ({}, {"text": ""}, {"text": "  "}, {"text": "x" * 20_001}):
        assert client.post(url, body).status_code == 422
    said = client.post(url, {"text": "ok"}).json()
    assert client.patch(f"{url}/{said['id']}", {"text": " "}).status_code == 422


def test_a_token_speaks_in_its_own_name() -> None:
    incident = make_incident()
    _token, text = make_token(["read", "write"], name="a sensor")
    client = ContractClient()
    client.credentials(HTTP_X_API_KEY=text)
    said = client.post(f"{V1}incidents/{incident.pk}/comments", {"text": "from a script"}).json()
    assert (said["actor_kind"], said["analyst_username"], said["analyst_id"]) == ("token", "a sensor", None)
    url = f"{V1}incidents/{incident.pk}/comments/{said['id']}"
    assert client.patch(url, {"text": "better"}).json()["detail"] == "better"
