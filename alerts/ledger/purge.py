"""Old deliveries are deleted, in small batches, oldest first.

What stays, however old: the first and the latest body of an alert that is not archived, so that whoever opens it sees
what made it and what it says now; and what is in quarantine, unless the settings say otherwise. With the alert archived
(retention does that, and ``DELETE``) its bodies go by age like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from alerts import signatures
from alerts.ledger.sweeps import taken
from alerts.models import WebhookReceipt
from opensoar.accounts.models import ProductSettings
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.ids import first_id_at

BATCH = 500  # deliveries that are looked at in one transaction
EVERY = timedelta(hours=6)  # from the end of one round to the next
SWEEPER = Actor.system("retention")
_FIRST = UUID(int=0)

_DUE = """
FROM alerts_delivery d
LEFT JOIN alerts_alert a ON a.id = d.alert_id LEFT JOIN alerts_alertcounter c ON c.alert_id = d.alert_id
WHERE d.received_at < %(before)s AND (%(quarantined)s OR d.state <> 'quarantined')
AND (a.id IS NULL OR a.archived_at IS NOT NULL OR (
  d.id <> c.last_delivery_id
  AND EXISTS (SELECT 1 FROM alerts_delivery e WHERE e.alert_id = d.alert_id AND e.id < d.id)))
"""
_DELETE = f"""
WITH looked AS MATERIALIZED (
  SELECT id FROM alerts_delivery WHERE id > %(after)s AND id < %(until)s ORDER BY id LIMIT %(size)s
), due AS MATERIALIZED (
  SELECT d.id {_DUE} AND d.id IN (SELECT id FROM looked) FOR UPDATE OF d SKIP LOCKED
), gone AS (
  DELETE FROM alerts_delivery USING due WHERE alerts_delivery.id = due.id RETURNING 1
)
SELECT (SELECT count(*) FROM looked), (SELECT id FROM looked ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM gone)
"""  # noqa: S608
_COUNT = f"SELECT count(*), coalesce(sum(octet_length(d.body)), 0) {_DUE}"


class Due(NamedTuple):
    """What would be deleted."""

    deliveries: int
    bytes: int


def due(days: int, *, quarantined: bool = False) -> Due:
    """Count what is older than ``days`` and does not have to stay."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"before": _before(days), "quarantined": quarantined})
        return Due(*cursor.fetchone())


def purge(
    *,
    actor: Actor,
    days: int,
    quarantined: bool = False,
    progress: Callable[[int], object] = lambda _deleted: None,
) -> int:
    """Delete what is older than ``days`` and does not have to stay; how many were. One audit entry, batch by batch."""
    before, after, done, more = _before(days), None, 0, True
    try:
        while more:
            looked, after, deleted = _batch(before, after, quarantined)
            more, done = looked == BATCH, done + deleted
            progress(done)
    finally:
        _note(actor, done, days, quarantined)
    return done


def sweep() -> bool:
    """One batch of what the settings want deleted, and receipts that nobody needs; whether there may be more."""
    WebhookReceipt.objects.filter(digest__lt=signatures.oldest_receipt()).delete()
    chosen = ProductSettings.load()
    days, quarantined = chosen.purge_deliveries_after_days, chosen.purge_quarantined
    if days is None:
        return False
    with transaction.atomic():
        state = taken("purge")
        if state is None:
            return False
        looked, state.position, deleted = _batch(_before(days), state.position, quarantined)
        state.done += deleted
        more = looked == BATCH
        if not more:
            _note(SWEEPER, state.done, days, quarantined)
            state.position, state.done, state.due_at = None, 0, timezone.now() + EVERY
        state.save(update_fields=["position", "done", "due_at"])
    return more


def _batch(before: datetime, after: UUID | None, quarantined: bool) -> tuple[int, UUID | None, int]:
    """How many were looked at after the id ``after``, the last of them, and how many were deleted."""
    asked: dict[str, Any] = {"before": before, "after": after or _FIRST, "quarantined": quarantined}
    with connection.cursor() as cursor:
        cursor.execute(_DELETE, asked | {"until": first_id_at(before), "size": BATCH})
        looked, last, deleted = cursor.fetchone()
    return looked, last or after, deleted


def _note(actor: Actor, done: int, days: int, quarantined: bool) -> None:
    if done:
        detail = {"deliveries": done, "days": days, "quarantined": quarantined}
        audit(actor=actor, action="deliveries_purged", detail=detail)


def _before(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)
