"""The shared timeline of an incident by REST: its own entries and those of its alerts."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.services import archive_alert, comment_alert
from tests.api.clients import V1, client_of, queries
from tests.factories import SYSTEM, make_alert, make_incident, make_user

pytestmark = pytest.mark.django_db


def test_both_sides_newest_first_filtered_and_paged() -> None:
    client, alert, stranger = client_of(make_user("ada")), make_alert(), make_alert()
    incident = make_incident(alerts=[alert])
    url = f"{V1}incidents/{incident.pk}"
    client.post(f"{V1}alerts/{alert.pk}/comments", {"text": "on the alert"})
    comment_alert(actor=SYSTEM, alert=stranger, text="elsewhere")
    said = client.post(url + "/comments", {"text": "on the incident"}).json()
    client.patch(f"{url}/comments/{said['id']}", {"text": "on the incident, edited"})

    def events(**query: Any) -> list[tuple[str, str, str | None]]:
        shown = client.get(url + "/timeline", query).json()["events"]
        return [(one["source"], one["action"], one["detail"]) for one in shown]

    comments = [
        ("incident", "comment", "on the incident, edited"),
        ("alert", "comment", "on the alert"),
    ]
    whole = events()
    assert whole[:2] == comments
    assert {(source, action) for source, action, _detail in whole[2:]} == {
        ("alert", "incident_linked"),
        ("incident", "alert_linked"),
        ("incident", "incident_created"),
    }
    assert events(event_type="all") == whole
    assert events(event_type="comment") == comments
    assert events(event_type="alert") == [one for one in whole if one[0] == "alert"]
    assert events(event_type="incident") == [one for one in whole if one[0] == "incident"]
    assert events(limit=2, offset=1) == whole[1:3]
    assert client.get(url + "/timeline").json()["total"] == 5
    assert client.get(url + "/timeline", {"event_type": "comment"}).json()["total"] == 2
    for query in ({"event_type": "nonsense"}, {"event_type": ""}, {"limit": "x"}):
        assert client.get(url + "/timeline", query).status_code == 422


def test_an_alert_that_was_unlinked_or_deleted_takes_its_entries_along() -> None:
    client, alert, other = client_of(make_user()), make_alert(), make_alert()
    incident = make_incident(alerts=[alert, other])
    url = f"{V1}incidents/{incident.pk}"
    assert len(client.get(url + "/timeline", {"event_type": "alert"}).json()["events"]) == 2
    client.delete(f"{url}/alerts/{alert.pk}")
    archive_alert(actor=SYSTEM, alert=other)
    assert client.get(url + "/timeline", {"event_type": "alert"}).json() == {"events": [], "total": 0}


def test_20_entries_of_20_alerts_take_as_many_queries_as_2() -> None:
    client, incident = client_of(make_user()), make_incident()
    paths = [f"incidents/{incident.pk}/{name}" for name in ("timeline", "activities")]

    def grow(count: int) -> list[int]:
        for number in range(count):
            alert = make_alert()
            client.post(f"{V1}incidents/{incident.pk}/alerts", {"alert_id": str(alert.pk)})
            client.post(f"{V1}incidents/{incident.pk}/comments", {"text": f"comment {number}"})
        return [queries(client, path) for path in paths]

    few = grow(2)
    assert grow(18) == few
    assert max(few) <= 13
