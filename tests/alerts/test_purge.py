"""Old deliveries go, by age and in batches; what an alert shows, and what waits in quarantine, stays."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from alerts.ledger import purge
from alerts.models import Alert, AlertCounter, Delivery, SweepState
from alerts.services import archive_alert
from opensoar.accounts.models import AuditEntry, ProductSettings
from opensoar.ids import first_id_at
from playbooks_engine.chores import chores
from tests.factories import SYSTEM, default_partner, make_alert

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def delivery(days: float, alert: Alert | None = None, **fields: object) -> Delivery:
    """A body of ``days`` ago; the last one made for an alert is its latest."""
    then = timezone.now() - timedelta(days=days)
    state = fields.pop("state", "duplicate" if alert else "quarantined")
    made = Delivery.objects.create(
        id=first_id_at(then), partner_id=default_partner().pk, alert_id=alert.pk if alert else None, source="edr",
        state=state, reason="" if alert else "odd", body=b"x" * 100, received_at=then, **fields,
    )  # fmt: skip
    if alert is not None:
        AlertCounter.objects.filter(alert=alert).update(last_delivery_id=made.pk)
    return made


def alert_with(*days: float) -> tuple[Alert, list[Delivery]]:
    """An alert with a body of each age, oldest first."""
    alert = make_alert()
    Delivery.objects.filter(alert_id=alert.pk).delete()
    return alert, [delivery(age, alert) for age in days]


def kept() -> set[object]:
    return set(Delivery.objects.values_list("pk", flat=True))


def keep(days: int, *, quarantined: bool = False) -> None:
    ProductSettings.objects.update(purge_deliveries_after_days=days, purge_quarantined=quarantined)


def test_nothing_goes_unless_the_settings_say_so() -> None:
    alert_with(400, 399, 398)
    assert purge.sweep() is False
    assert len(kept()) == 3


def test_the_first_and_the_latest_of_an_alert_stay_until_it_is_archived() -> None:
    keep(30)
    alert, rows = alert_with(90, 80, 70, 60)
    _single, [only] = alert_with(100)
    _young, young = alert_with(95, 29, 28)
    waiting = delivery(200)
    assert purge.sweep() is False
    assert kept() == {rows[0].pk, rows[3].pk, only.pk, waiting.pk, *(row.pk for row in young)}
    archive_alert(actor=SYSTEM, alert=alert)
    SweepState.objects.update(due_at=timezone.now())
    purge.sweep()
    assert kept() == {only.pk, waiting.pk, *(row.pk for row in young)}


def test_quarantined_ones_go_when_that_is_wanted() -> None:
    keep(30, quarantined=True)
    old, young = delivery(31), delivery(29)
    purge.sweep()
    assert kept() == {young.pk}
    assert old.pk not in kept()


def test_batches_go_on_where_the_last_one_stopped_and_one_entry_tells_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purge, "BATCH", 4)
    keep(30)
    _alert, rows = alert_with(*range(90, 79, -1))
    assert [purge.sweep() for _ in range(4)] == [True, True, False, False]
    assert kept() == {rows[0].pk, rows[-1].pk}
    entry = AuditEntry.objects.get(action="deliveries_purged")
    assert (entry.actor_name, entry.detail) == (
        "retention",
        {"deliveries": 9, "days": 30, "quarantined": False},
    )


def test_the_worker_does_it() -> None:
    with ThreadPoolExecutor() as helpers:
        assert purge.sweep in [chore.portion for chore in chores(helpers)]


def test_the_command() -> None:
    _alert, rows = alert_with(90, 80, 70)
    delivery(100)

    def run(*args: str) -> str:
        out = StringIO()
        call_command("purge_deliveries", *args, stdout=out, stderr=StringIO())
        return out.getvalue().strip()

    assert run("--older-than", "30", "--dry-run") == "1 deliveries would be deleted, 100\xa0bytes of bodies"
    assert json.loads(run("--older-than", "30", "--quarantined", "--dry-run", "--json")) == {
        "deliveries": 2, "bytes": 200,
    }  # fmt: skip
    assert len(kept()) == 4
    assert run("--older-than", "30") == "1 deliveries deleted"
    assert run("--older-than", "30") == "0 deliveries deleted"
    assert json.loads(run("--older-than", "30", "--quarantined", "--json")) == {"deleted": 1}
    assert kept() == {rows[0].pk, rows[2].pk}
    assert [
        entry.detail["deliveries"] for entry in AuditEntry.objects.filter(action="deliveries_purged")
    ] == [1, 1]
    for wrong in ("0", "-1", "soon"):
        with pytest.raises(CommandError):
            run("--older-than", wrong)


def test_an_alerts_page_shows_what_is_left() -> None:
    keep(30)
    alert, _rows = alert_with(90, 80, 70)
    purge.sweep()
    shown = Delivery.objects.of_alert(alert.pk)
    assert [(NOW - row.received_at).days for row in shown] == [89, 69] or [
        round((NOW - row.received_at).days) for row in shown
    ] == [90, 70]
