"""POST /admin/retention/purge: counted, done, of one's own partners only."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from alerts.models import Alert
from incidents import retention
from opensoar.accounts.models import AuditEntry, ProductSettings
from tests.api.clients import API, machine, person
from tests.factories import make_alert, make_partner

pytestmark = pytest.mark.django_db
URL = API + "admin/retention/purge"


@pytest.fixture(autouse=True)
def after_ten_days(db: None) -> None:
    ProductSettings.objects.update(archive_alerts_after_days=10)


def old(title: str = "old", **fields: object) -> Alert:
    return make_alert(
        title, **{"status": "resolved", "resolved_at": timezone.now() - timedelta(days=11)} | fields
    )  # type: ignore[arg-type]


def is_archived(alert: Alert) -> bool:
    alert.refresh_from_db()
    return alert.archived_at is not None


def test_without_the_setting_nothing_goes() -> None:
    ProductSettings.objects.update(archive_alerts_after_days=None)
    due = old()
    retention.sweep()
    answer = person().post(URL + "?dry_run=false").json()
    assert (answer["grace_days"], answer["alerts"]["soft_deleted"]) == (None, 0)
    assert not is_archived(due)


def test_a_dry_run_is_the_default_and_changes_nothing() -> None:
    due = old()
    for query in ("", "?dry_run=true", "?dry_run=1"):
        nothing = {"soft_delete_candidates": 0, "hard_delete_candidates": 0}
        assert person().post(URL + query).json() == {
            "dry_run": True, "grace_days": 10, "alerts": nothing | {"soft_delete_candidates": 1},
            "incidents": nothing, "activities": nothing,
        }  # fmt: skip
    assert not is_archived(due)


def test_a_purge_counts_what_it_did_and_is_audited() -> None:
    old(), old(), make_alert()
    answer = person().post(URL + "?dry_run=false").json()
    assert answer["alerts"] == {
        "soft_delete_candidates": 2, "hard_delete_candidates": 0, "soft_deleted": 2, "hard_deleted": 0,
    }  # fmt: skip
    assert AuditEntry.objects.get(action="retention_purged").detail == {"alerts": 2, "days": 10}
    assert person().post(URL + "?dry_run=false").json()["alerts"]["soft_deleted"] == 0
    assert AuditEntry.objects.filter(action="retention_purged").count() == 1
    assert Alert.objects.count() == 3, "nothing is deleted for good"


def test_a_partner_s_admin_purges_their_own() -> None:
    own = make_partner("own")
    theirs, foreign = old(partner=own), old()
    bound = machine("admin", partner=own)
    assert bound.post(URL).json()["alerts"]["soft_delete_candidates"] == 1
    assert bound.post(URL + "?dry_run=false").json()["alerts"]["soft_deleted"] == 1
    assert (is_archived(theirs), is_archived(foreign)) == (True, False)


@pytest.mark.parametrize("role", ["viewer", "analyst", "lead", "playbook_author"])
def test_who_may_not(role: str) -> None:
    due = old()
    assert person(role).post(URL + "?dry_run=false").status_code == 403
    assert APIClient().post(URL + "?dry_run=false").status_code == 401
    assert not is_archived(due)


def test_what_is_no_yes_or_no_is_refused() -> None:
    assert person().post(URL + "?dry_run=perhaps").status_code == 422
    assert person().get(URL).status_code == 405
