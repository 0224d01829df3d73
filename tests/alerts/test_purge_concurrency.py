"""Two workers that purge at one moment, and a body that somebody replays meanwhile."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from alerts.ledger import purge
from alerts.models import Delivery
from opensoar.accounts.models import DEFAULT_PARTNER_ID, ProductSettings
from opensoar.ids import first_id_at
from tests.threads import at_once


def test_one_purges_and_what_is_locked_stays(fresh_database: str) -> None:
    ProductSettings.objects.update(purge_deliveries_after_days=30, purge_quarantined=True)
    rows = []
    for number in range(40):
        then = timezone.now() - timedelta(days=60, minutes=number)
        rows.append(
            Delivery(
                id=first_id_at(then), partner_id=DEFAULT_PARTNER_ID, source="edr", state="quarantined", reason="odd",
                body=b"x", received_at=then,
            )
        )  # fmt: skip
    Delivery.objects.bulk_create(rows)
    with transaction.atomic():
        Delivery.objects.select_for_update().get(pk=rows[7].pk)
        assert set(at_once([purge.sweep, purge.sweep, purge.sweep])) == {False}
    assert list(Delivery.objects.values_list("pk", flat=True)) == [rows[7].pk]
