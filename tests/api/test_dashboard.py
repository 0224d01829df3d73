"""GET /dashboard/stats: right sums, of what the caller sees, in as many queries however much there is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from alerts.models import Delivery, SourceHealth
from opensoar.accounts.models import Partner, Role
from playbooks_engine.models import Playbook, PlaybookRun, Sequence
from tests.api.clients import API, machine, person
from tests.factories import default_partner, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db
URL = API + "dashboard/stats"


def make_run(state: str = "pending", partner: Partner | None = None) -> PlaybookRun:
    playbook, _new = Playbook.objects.get_or_create(name="p", module_path="p.py", function_name="p")
    sequence = Sequence.objects.create(
        partner=partner or default_partner(), event="manual", correlation_id=playbook.pk, total=1
    )
    finished = timezone.now() if state in {"success", "failed"} else None
    return PlaybookRun.objects.create(
        sequence=sequence, position=1, playbook=playbook, state=state, finished_at=finished
    )


def test_an_empty_installation() -> None:
    assert person("viewer").get(URL).json() == {
        "alerts_by_severity": {"informational": 0, "low": 0, "medium": 0, "high": 0, "critical": 0},
        "alerts_by_status": {"new": 0, "in_progress": 0, "resolved": 0},
        "alerts_by_determination": {"unknown": 0, "malicious": 0, "suspicious": 0, "benign": 0},
        "alerts_by_partner": {}, "open_by_partner": {}, "mttr_by_partner": {}, "mttr_seconds": None,
        "total_alerts": 0, "open_alerts": 0, "alerts_today": 0, "unassigned_count": 0,
        "priority_queue": [], "my_alerts": [], "recent_alerts": [],
        "total_runs": 0, "active_runs": 0, "recent_runs": [], "silent_sources": 0, "quarantined_deliveries": 0,
    }  # fmt: skip


def test_every_figure() -> None:
    now, acme = timezone.now(), make_partner("acme")
    me = make_user("me")
    client = APIClient()
    client.force_login(me)
    make_alert("low", severity="low")
    make_alert("mine", severity="critical", status="in_progress", assigned_to=me)
    make_alert("old", severity="high", created_at=now - timedelta(days=3))
    make_alert("slow", status="resolved", created_at=now - timedelta(hours=3), resolved_at=now)
    make_alert("fast", status="resolved", determination="malicious", created_at=now - timedelta(hours=1),
               resolved_at=now, partner=acme, assigned_to=me)  # fmt: skip
    make_alert("gone", archived_at=now)
    make_run("success"), make_run("running"), make_run()
    stats = client.get(URL).json()
    assert stats["alerts_by_severity"] == {
        "informational": 0, "low": 1, "medium": 2, "high": 1, "critical": 1,
    }  # fmt: skip
    assert stats["alerts_by_status"] == {"new": 2, "in_progress": 1, "resolved": 2}
    assert stats["alerts_by_determination"] == {"unknown": 3, "malicious": 1, "suspicious": 0, "benign": 1}
    assert stats["alerts_by_partner"] == {"default": 4, "acme": 1}
    assert stats["open_by_partner"] == {"default": 3}
    assert stats["mttr_by_partner"] == {"default": 10_800.0, "acme": 3_600.0}
    assert stats["mttr_seconds"] == 7_200.0
    assert (stats["total_alerts"], stats["open_alerts"], stats["unassigned_count"]) == (5, 3, 2)
    since_midnight = timezone.localtime() - timezone.localtime().replace(hour=0, minute=0, second=0)
    assert stats["alerts_today"] == 2 + (since_midnight > timedelta(hours=1)) + (
        since_midnight > timedelta(hours=3)
    )
    assert [alert["title"] for alert in stats["priority_queue"]] == ["mine", "old", "low"]
    assert [alert["title"] for alert in stats["my_alerts"]] == ["mine"]
    assert [alert["title"] for alert in stats["recent_alerts"]] == ["fast", "slow", "old", "mine", "low"]
    assert (stats["total_runs"], stats["active_runs"], len(stats["recent_runs"])) == (3, 2, 3)


def test_a_partner_s_people_count_their_own() -> None:
    own, foreign = make_partner("own"), make_partner("foreign")
    make_alert("theirs", partner=own), make_run(partner=own)
    for partner in (foreign, None):
        make_alert("canary", partner=partner, severity="critical"), make_run(partner=partner)
    for partner in (own, foreign):
        SourceHealth.objects.create(
            partner=partner,
            source="edr",
            first_at=timezone.now(),
            last_at=timezone.now(),
            silent_since=timezone.now(),
        )
        Delivery.objects.create(
            partner_id=partner.pk, source="edr", state="quarantined", reason="x", body=b"x"
        )
    for client in (person("viewer", partners=[own]), machine("read", partner=own)):
        answer = client.get(URL)
        stats = answer.json()
        assert stats["alerts_by_partner"] == stats["open_by_partner"] == {"own": 1}
        assert (stats["total_alerts"], stats["total_runs"], stats["active_runs"]) == (1, 1, 1)
        assert (stats["silent_sources"], stats["quarantined_deliveries"]) == (1, 1)
        assert "canary" not in answer.content.decode()
        assert "foreign" not in answer.content.decode()


def test_who_may_not() -> None:
    assert APIClient().get(URL).status_code == 401
    assert machine("ingest").get(URL).status_code == 403


def test_runs_are_for_those_who_read_playbooks() -> None:
    Role.objects.create(id="alerts", label="Alerts", capabilities=["alerts:read"])
    make_run()
    stats = person("alerts").get(URL).json()
    assert (stats["total_runs"], stats["active_runs"], stats["recent_runs"]) == (0, 0, [])


def test_it_costs_the_same_however_much_there_is(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client = person()
    for number in range(20):
        partner = make_partner()
        make_alert(str(number), partner=partner, assigned_to=make_user()), make_run(partner=partner)
    with django_assert_max_num_queries(15):  # four of them find out who asks
        assert client.get(URL).json()["total_alerts"] == 20
