"""A source that sends an alert again: nothing new, more than before, that it is over, that it happened again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts import source_settings
from alerts.incoming import Incoming
from alerts.ingest import store
from alerts.intake import Envelope, read_body
from alerts.models import Alert, AlertCounter, AlertObservable, AlertSource, Delivery
from alerts.replay import replay_delivery
from alerts.senders import Sender
from alerts.services import resolve_alert, save_source, update_alert
from tests.factories import SYSTEM, actions, entries

pytestmark = pytest.mark.django_db
BASE: dict[str, Any] = {
    "id": "e-1",
    "title": "Beacon",
    "severity": "low",
    "tags": ["edr"],
    "src_ip": "203.0.113.5",
}
OF_OURS = {
    "mapping": {"source_id": "id", "title": "title", "severity": "severity", "event_at": "at", "tags": "tags"}
}


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    source_settings.forget()
    yield
    source_settings.forget()


def deliver(*payloads: dict[str, Any], slug: str = "edr") -> list[str]:
    """Store them in one batch; what became of each."""
    source_settings.forget()
    envelope = Envelope(Sender(None, "tests"), "application/json", slug=slug)
    items: list[Incoming] = [
        item for body in payloads for item in read_body(json.dumps(body).encode(), envelope)
    ]
    store(items, patience=0)
    return [item.outcome.state for item in items if item.outcome is not None]


def after(alert: Alert) -> str:
    """A time after the alert was resolved."""
    return (timezone.now() + timedelta(minutes=1)).isoformat()


def test_the_same_again_disturbs_nobody() -> None:
    assert deliver(BASE, BASE) == ["accepted", "duplicate"]
    alert = Alert.objects.get()
    before = actions(alert)
    assert deliver(BASE, {**BASE, "description": "other words, another time", "timestamp": "2026-11-24T00:00:00Z"}) == [
        "duplicate", "duplicate",
    ]  # fmt: skip
    now = Alert.objects.get()
    assert (now.version, now.updated_at, actions(now)) == (1, alert.updated_at, before)
    assert AlertCounter.objects.get().duplicate_count == 4
    assert Delivery.objects.count() == 4


def test_an_update_refreshes_what_the_source_says() -> None:
    deliver(BASE)
    assert deliver(
        {**BASE, "severity": "high", "tags": ["worse"], "dest_ip": "203.0.113.6", "mitre": ["T1071"]}
    ) == ["duplicate"]
    alert = Alert.objects.get()
    assert (alert.severity, alert.tags, alert.techniques) == ("high", ["edr", "worse"], ["T1071"])
    assert alert.iocs == {"ips": ["203.0.113.5", "203.0.113.6"]}
    assert alert.normalized["severity"] == "high"
    assert AlertObservable.objects.filter(alert=alert).count() == 2
    assert actions(alert)[-3:] == ["severity_change", "tags_changed", "details_changed"]
    assert alert.version == 2


def test_an_update_fills_in_whom_it_concerns_and_never_replaces_that() -> None:
    deliver(BASE)
    deliver({**BASE, "hostname": "ws-1", "dest_ip": "10.0.0.9"})
    alert = Alert.objects.get()
    assert (alert.hostname, alert.dest_ip, alert.source_ip, alert.version) == (
        "ws-1",
        "10.0.0.9",
        "203.0.113.5",
        2,
    )
    assert alert.normalized["hostname"] == "ws-1"
    [entry] = [entry for entry in entries(alert) if entry.action == "details_changed"]
    assert entry.payload["fields"] == ["hostname", "dest_ip"]
    deliver({**BASE, "hostname": "ws-2", "username": "ann"})
    alert.refresh_from_db()
    assert (alert.hostname, alert.username) == ("ws-1", "ann")


def test_what_people_said_stays() -> None:
    deliver(BASE)
    alert = Alert.objects.get()
    update_alert(actor=SYSTEM, alert=alert, severity="critical", determination="malicious", tags=["mine"])
    deliver({**BASE, "severity": "medium", "verdict": "benign", "tags": ["edr", "new"]})
    alert.refresh_from_db()
    assert (alert.severity, alert.determination) == ("critical", "malicious")
    assert alert.tags == ["mine", "edr", "new"]


def test_in_one_batch_the_last_word_counts() -> None:
    deliver(BASE, {**BASE, "severity": "critical"}, {**BASE, "severity": "medium"})
    assert Alert.objects.get().severity == "medium"


def test_a_resolved_alert_stays_resolved_unless_the_source_is_set_otherwise() -> None:
    deliver(BASE)
    alert = Alert.objects.get()
    resolve_alert(actor=SYSTEM, alert=alert, determination="benign")
    deliver({**BASE, "timestamp": after(alert)})
    alert.refresh_from_db()
    assert alert.status == "resolved"
    assert actions(alert)[-1] == "duplicate_received"


def test_reopen_what_happened_again_and_not_what_came_late() -> None:
    save_source(actor=SYSTEM, slug="lab", on_recurrence="reopen", **OF_OURS)
    deliver(BASE, slug="lab")
    alert = Alert.objects.get()
    resolve_alert(actor=SYSTEM, alert=alert, determination="benign")
    deliver({**BASE, "at": "2026-01-01T00:00:00Z"}, slug="lab")
    assert Alert.objects.get().status == "resolved", "it happened before it was resolved"
    deliver({**BASE, "at": after(alert)}, slug="lab")
    assert Alert.objects.get().status == "new"
    assert actions(alert)[-1] == "status_change"


def test_a_new_alert_for_what_happened_again() -> None:
    save_source(actor=SYSTEM, slug="lab", on_recurrence="new", **OF_OURS)
    deliver(BASE, slug="lab")
    first = Alert.objects.get()
    resolve_alert(actor=SYSTEM, alert=first, determination="benign")
    again = {**BASE, "at": after(first)}
    assert deliver(again, again, slug="lab") == ["accepted", "duplicate"]
    second = Alert.objects.exclude(pk=first.pk).get()
    assert (second.status, second.counter.duplicate_count) == ("new", 2)
    first.refresh_from_db()
    assert (first.status, first.counter.duplicate_count) == ("resolved", 1)
    assert deliver(again, slug="lab") == ["duplicate"]
    assert Alert.objects.count() == 2


def test_a_repeat_outside_the_window_is_a_new_alert() -> None:
    save_source(actor=SYSTEM, slug="lab", dedupe_hours=2, **OF_OURS)
    assert deliver(BASE, BASE, slug="lab") == ["accepted", "duplicate"]
    AlertCounter.objects.update(last_seen=timezone.now() - timedelta(hours=1))
    assert deliver(BASE, slug="lab") == ["duplicate"]
    AlertCounter.objects.update(last_seen=timezone.now() - timedelta(hours=3))
    assert deliver(BASE, BASE, slug="lab") == ["accepted", "duplicate"]
    assert Alert.objects.count() == 2


def test_the_end_belongs_to_its_alert_however_late_it_comes() -> None:
    mapping = {**OF_OURS["mapping"], "status": "state", "determination": "verdict"}
    save_source(actor=SYSTEM, slug="lab", dedupe_hours=2, mapping=mapping)
    deliver(BASE, slug="lab")
    AlertCounter.objects.update(last_seen=timezone.now() - timedelta(hours=30))
    assert deliver({**BASE, "state": "closed", "verdict": "benign"}, slug="lab") == ["duplicate"]
    assert Alert.objects.get().status == "resolved"


def test_what_came_earlier_and_is_replayed_turns_nothing_back() -> None:
    deliver({**BASE, "severity": "critical"})
    late = Delivery.objects.create(
        partner_id=Alert.objects.get().partner_id, source="edr", state="quarantined", reason="x",
        received_at=timezone.now() - timedelta(hours=1), body=json.dumps({**BASE, "tags": ["old"]}).encode(),
    )  # fmt: skip
    assert replay_delivery(actor=SYSTEM, delivery=late).state == "replayed"
    alert = Alert.objects.get()
    assert (alert.severity, alert.tags, alert.counter.duplicate_count) == ("critical", ["edr"], 2)
    assert alert.counter.last_delivery_id != late.pk


def test_a_resolved_alert_that_goes_on_coming_says_so_once_an_hour() -> None:
    deliver(BASE)
    resolve_alert(actor=SYSTEM, alert=Alert.objects.get(), determination="benign")
    for _ in range(3):
        deliver(BASE)
    alert = Alert.objects.get()
    assert actions(alert).count("duplicate_received") == 1
    assert alert.counter.duplicate_count == 4


def test_an_update_takes_no_tag_from_people() -> None:
    deliver(BASE)
    many = [f"t{n}" for n in range(60)]
    update_alert(actor=SYSTEM, alert=Alert.objects.get(), tags=many)
    deliver({**BASE, "tags": ["new"]})
    assert Alert.objects.get().tags == many


def over(verdict: str | None = None) -> dict[str, Any]:
    """An incident of Microsoft's that was closed."""
    classification = {"classification": verdict} if verdict else {}
    properties = {
        "title": "Beacon", "severity": "High", "status": "Closed", "incidentNumber": 7,
        "createdTimeUtc": "2026-11-24T00:00:00Z", **classification,
    }  # fmt: skip
    return {"name": "0d1e", "type": "Microsoft.SecurityInsights/Incidents", "properties": properties}


def test_what_is_over_is_resolved_where_its_verdict_is_known() -> None:
    new = over()
    new["properties"] = {**new["properties"], "status": "New"}
    deliver(new, slug="sentinel")
    alert = Alert.objects.get()
    deliver(over(), slug="sentinel")
    alert.refresh_from_db()
    assert (alert.status, actions(alert)[-1]) == ("new", "said_to_be_over")
    deliver(over("FalsePositive"), slug="sentinel")
    alert.refresh_from_db()
    assert (alert.status, alert.determination) == ("resolved", "benign")


def test_a_repeat_that_says_more_and_that_it_is_over_counts_its_entries_one_by_one() -> None:
    new = over()
    new["properties"] = {**new["properties"], "status": "New", "severity": "Low"}
    deliver(new, slug="sentinel")
    deliver(over(), slug="sentinel")
    alert = Alert.objects.get()
    assert actions(alert) == ["severity_change", "said_to_be_over"]
    assert [entry.seq for entry in entries(alert)] == [1, 2]
    assert alert.timeline_seq == 2


def test_what_is_over_is_only_noted_where_the_source_is_set_so() -> None:
    save_source(actor=SYSTEM, slug="sentinel", on_resolved="note")
    new = over()
    new["properties"] = {**new["properties"], "status": "New"}
    deliver(new, slug="sentinel")
    deliver(over("FalsePositive"), slug="sentinel")
    alert = Alert.objects.get()
    assert (alert.status, alert.determination) == ("new", "benign")
    assert actions(alert)[-1] == "said_to_be_over"


def test_the_end_of_an_alert_that_never_came_is_kept_in_quarantine() -> None:
    end = {
        "status": "resolved", "labels": {"alertname": "Down", "severity": "critical"}, "annotations": {},
        "startsAt": "2026-11-24T00:00:00Z", "endsAt": "2026-11-24T00:05:00Z", "fingerprint": "f1", "generatorURL": "",
    }  # fmt: skip
    assert deliver(end, slug="alertmanager") == ["quarantined"]
    assert "never came" in Delivery.objects.get().reason
    assert deliver({**end, "status": "firing", "endsAt": "0001-01-01T00:00:00Z"}, end, slug="alertmanager") == [
        "accepted", "duplicate",
    ]  # fmt: skip
    alert = Alert.objects.get()
    assert actions(alert)[-1] == "said_to_be_over"
    assert AlertSource.objects.count() == 0
    assert alert.event_at == datetime(2026, 11, 24, tzinfo=UTC)
