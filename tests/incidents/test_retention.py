"""The sweep that archives old alerts: what it takes, what it never takes, and several of it at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from alerts.models import Alert
from alerts.services import reopen_alert
from incidents import retention
from incidents.services import close_incident
from opensoar.accounts.models import ProductSettings
from tests.factories import SYSTEM, actions, entries, make_alert, make_incident
from tests.playbooks_engine.engines import eventually, running
from tests.threads import at_once


def keep_ten_days() -> None:
    ProductSettings.objects.update(archive_alerts_after_days=10)


@pytest.fixture
def ten_days(db: None) -> None:
    keep_ten_days()


def old(title: str = "old", **fields: object) -> Alert:
    past = timezone.now() - timedelta(days=11)
    return make_alert(title, **{"status": "resolved", "resolved_at": past} | fields)  # type: ignore[arg-type]


def is_archived(alert: Alert) -> bool:
    alert.refresh_from_db()
    return alert.archived_at is not None


def test_the_sweep_takes_what_is_due_and_says_so(ten_days: None) -> None:
    due, young = old(), old(resolved_at=timezone.now() - timedelta(days=9))
    never = make_alert(created_at=timezone.now() - timedelta(days=1000))
    assert retention.sweep() is False
    assert [is_archived(alert) for alert in (due, young, never)] == [True, False, False]
    assert (actions(due), entries(due)[0].actor_kind, entries(due)[0].actor_name) == (
        ["archived"],
        "system",
        "retention",
    )
    assert retention.sweep() is False
    assert actions(due) == ["archived"], "once"


def test_an_open_incident_keeps_its_alerts_and_a_closed_one_does_not(ten_days: None) -> None:
    due = old()
    first, second = make_incident(alerts=[due]), make_incident(alerts=[due])
    for incident in (first, second):
        retention.sweep()
        assert not is_archived(due)
        close_incident(
            actor=SYSTEM, incident=incident, determination="benign", impact="none", summary="nothing"
        )
    retention.sweep()
    assert is_archived(due)


def test_it_goes_in_batches(ten_days: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(3):
        old()
    assert [retention.sweep(), retention.sweep()] == [True, False]
    assert Alert.objects.filter(archived_at__isnull=True).count() == 0


def test_what_was_reopened_meanwhile_stays(ten_days: None) -> None:
    due = old()
    reopen_alert(actor=SYSTEM, alert=due)
    retention.sweep()
    assert not is_archived(due)


def test_an_alert_that_somebody_works_on_is_passed_over(fresh_database: str) -> None:
    keep_ten_days()
    busy, due = old("busy"), old("due")
    with transaction.atomic():
        Alert.objects.select_for_update().get(pk=busy.pk)
        assert at_once([lambda: retention.archive_batch(SYSTEM, 10)]) == [1]
    assert (is_archived(busy), is_archived(due)) == (False, True)


def test_sweeps_at_once_archive_everything_once(fresh_database: str) -> None:
    keep_ten_days()
    alerts = [old(str(number)) for number in range(30)]

    def sweep_all() -> int:
        done = 0
        while some := retention.archive_batch(SYSTEM, 10):
            done += some
        return done

    assert sum(at_once([sweep_all] * 4)) == 30
    assert all(actions(alert) == ["archived"] for alert in alerts)


def test_a_worker_does_it_by_itself(
    fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_ten_days()
    monkeypatch.setattr(retention, "BATCH", 5)
    for _ in range(11):
        old()
    with running(tmp_path):
        eventually(lambda: not Alert.objects.filter(archived_at__isnull=True).exists())
