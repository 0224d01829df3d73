"""Comments on an alert by REST, edits of one's own, and the activities they stand in."""

from __future__ import annotations

import pytest

from alerts.models import AlertEntry
from alerts.services import comment_alert, edit_comment
from opensoar.web.timeline import timeline_of
from tests.api.clients import V1, ContractClient, client_of, queries
from tests.factories import actions, make_alert, make_token, make_user

pytestmark = pytest.mark.django_db


def test_comment_and_edit() -> None:
    alert = make_alert()
    make_user("grace")
    client, url = client_of(make_user("ada")), f"{V1}alerts/{alert.pk}"
    said = client.post(url + "/comments", {"text": "Seen it @grace"}).json()
    assert (said["action"], said["detail"], said["mentions"]) == ("comment", "Seen it @grace", ["grace"])
    assert (said["analyst_username"], said["edited"], said["alert_id"]) == ("ada", False, str(alert.pk))
    edited = client.patch(f"{url}/comments/{said['id']}", {"text": "Seen it twice"}).json()
    assert (edited["id"], edited["detail"], edited["edited"]) == (said["id"], "Seen it twice", True)
    assert (edited["created_at"], edited["mentions"]) == (said["created_at"], [])
    assert client.patch(f"{url}/comments/{said['id']}", {"text": "Seen it twice"}).json() == edited
    shown = client.get(url + "/activities").json()
    assert shown == {"activities": [edited], "total": 1}
    assert actions(alert) == ["comment", "comment"]  # nothing is overwritten
    assert client.get(url).json()["version"] == 1


def test_only_ones_own() -> None:
    alert = make_alert()
    url = f"{V1}alerts/{alert.pk}/comments"
    said = client_of(make_user()).post(url, {"text": "Mine"}).json()
    answer = client_of(make_user(role="admin")).patch(f"{url}/{said['id']}", {"text": "Not mine"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Can only edit your own comments"})
    assert actions(alert) == ["comment"]


def test_a_token_edits_what_it_said_and_nothing_else() -> None:
    alert = make_alert()
    url = f"{V1}alerts/{alert.pk}/comments"
    clients = []
    for name in ("one", "two"):
        _token, text = make_token(["read", "write"], name=name)
        clients.append(ContractClient())
        clients[-1].credentials(HTTP_X_API_KEY=text)
    said = clients[0].post(url, {"text": "from a script"}).json()
    assert (said["actor_kind"], said["analyst_username"], said["analyst_id"]) == ("token", "one", None)
    assert clients[1].patch(f"{url}/{said['id']}", {"text": "no"}).status_code == 403
    assert clients[0].patch(f"{url}/{said['id']}", {"text": "better"}).json()["detail"] == "better"


def test_what_is_no_comment_cannot_be_edited() -> None:
    alert, other = make_alert(), make_alert()
    client = client_of(make_user())
    url = f"{V1}alerts/{alert.pk}"
    client.post(url + "/claim")
    [claimed] = client.get(url + "/activities").json()["activities"]
    elsewhere = client.post(f"{V1}alerts/{other.pk}/comments", {"text": "x"}).json()
    for pk in (claimed["id"], elsewhere["id"], "nonsense", alert.pk):
        answer = client.patch(f"{url}/comments/{pk}", {"text": "y"})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Comment not found"})


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": "  "}, {"text": "x" * 20_001}, {"text": 5}, {"t": "x"}]
)
def test_what_is_no_text(body: dict[str, object]) -> None:
    client, url = client_of(make_user()), f"{V1}alerts/{make_alert().pk}/comments"
    assert client.post(url, body).status_code == 422
    said = client.post(url, {"text": "ok"}).json()
    assert client.patch(f"{url}/{said['id']}", body).status_code == 422


def test_an_old_comment_shows_its_edit_on_page_and_api_alike() -> None:
    """However many entries lie between: the edit is not among those that are shown with it."""
    ada, alert = make_user("ada"), make_alert()
    for number in range(4):
        said = comment_alert(actor=ada.actor, alert=alert, text=f"comment {number}")
    edit_comment(actor=ada.actor, alert=alert, entry_id=said.pk, text="corrected")
    first = AlertEntry.objects.order_by("seq")[0]
    for number in range(10):
        edit_comment(actor=ada.actor, alert=alert, entry_id=first.pk, text=f"edit {number}")
    url = f"{V1}alerts/{alert.pk}/activities"
    page = client_of(ada).get(url, {"limit": 2}).json()
    assert page["total"] == 4
    assert [one["detail"] for one in page["activities"]] == ["corrected", "comment 2"]
    oldest = client_of(ada).get(url, {"limit": 1, "offset": 3}).json()["activities"]
    assert [(one["detail"], one["edited"]) for one in oldest] == [("edit 9", True)]
    shown = timeline_of(AlertEntry, alert, limit=4)
    assert [one.text for one in shown] == ["corrected", "comment 2", "comment 1", "edit 9"]
    assert [one.edited for one in shown] == [True, False, False, True]
    assert [one.text for one in timeline_of(AlertEntry, alert, limit=1)] == ["corrected"]


def test_erased_words_stay_erased() -> None:
    ada, alert = make_user("ada"), make_alert()
    said = comment_alert(actor=ada.actor, alert=alert, text="a name")
    AlertEntry.text_model.objects.filter(pk=said.pk).delete()
    [shown] = timeline_of(AlertEntry, alert)
    assert (shown.text, shown.erased, shown.edited) == (None, True, False)
    [activity] = client_of(ada).get(f"{V1}alerts/{alert.pk}/activities").json()["activities"]
    assert activity["detail"] is None


def test_20_activities_take_as_many_queries_as_2() -> None:
    ada, alert = make_user("ada"), make_alert()
    client, path = client_of(ada), f"alerts/{alert.pk}/activities"
    queries(client, path)

    def grow(count: int) -> int:
        for number in range(count):
            said = comment_alert(actor=ada.actor, alert=alert, text=f"comment {number}")
            edit_comment(actor=ada.actor, alert=alert, entry_id=said.pk, text=f"edited {number}")
        return queries(client, path)

    few = grow(2)
    assert grow(18) == few <= 8
