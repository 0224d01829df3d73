"""Old alerts go out of sight by themselves: resolved or hidden, beyond the days that settings name, of no open incident.

Archiving is what ``DELETE`` does to one alert, through the same service and with the same timeline entry. It lives
here because only incidents know which of them are open.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from alerts.models import Alert
from alerts.querysets import AlertQuerySet
from alerts.services import archive_alert
from incidents.models import Incident, IncidentAlert
from opensoar.accounts.models import ProductSettings
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.ids import first_id_at

BATCH = 100  # alerts in one transaction, whose rows stay locked for that long
PURGE_LIMIT = 2_000  # alerts in one request
SWEEPER = Actor.system("retention")


def archive_after() -> int | None:
    """Days after which resolved alerts are archived; ``None``: never."""
    return ProductSettings.load().archive_alerts_after_days


def candidates(actor: Actor, days: int | None) -> AlertQuerySet:
    """What is due now, of what ``actor`` sees; nothing without ``days``."""
    if days is None:
        return Alert.objects.none()
    resolved, hidden = _over(days)
    return _due(actor, resolved | hidden)


def _over(days: int) -> tuple[Q, Q]:
    """What was resolved so long ago, and what a suppression has hidden for so long: that nobody resolves."""
    since = timezone.now() - timedelta(days=days)
    return Q(resolved_at__lt=since), Q(suppressed_by__isnull=False, pk__lt=first_id_at(since))


def _due(actor: Actor, over: Q) -> AlertQuerySet:
    open_links = IncidentAlert.objects.filter(alert=OuterRef("pk")).exclude(
        incident__status=Incident.Status.CLOSED
    )
    return Alert.objects.visible_to(actor).filter(over).filter(~Exists(open_links))


def _first(actor: Actor, days: int | None) -> list[UUID]:
    """Up to :data:`BATCH` candidates. Two questions, each in the order of its index: together they would sort all."""
    if days is None:
        return []
    resolved, hidden = _over(days)
    found = list(_due(actor, resolved).order_by("resolved_at").values_list("pk", flat=True)[:BATCH])
    if left := BATCH - len(found):
        more = _due(actor, hidden).exclude(pk__in=found).order_by("suppressed_by_id", "-pk")
        found += more.values_list("pk", flat=True)[:left]
    return found


@transaction.atomic
def archive_batch(actor: Actor, days: int | None) -> int:
    """Archive up to :data:`BATCH` alerts in one transaction; how many were.

    Rows that somebody works on are passed over. What is due is asked again once the rows are locked: an alert that was
    reopened, or linked to an open incident, between the two questions stays.
    """
    locked = list(
        Alert.objects.filter(pk__in=_first(actor, days))
        .order_by("pk").select_for_update(no_key=True, skip_locked=True).values_list("pk", flat=True)
    )  # fmt: skip
    due = candidates(actor, days).filter(pk__in=locked)
    return sum(1 for alert in due if archive_alert(actor=actor, alert=alert).archived_at)


def sweep() -> bool:
    """One batch of the installation's; whether there may be more."""
    return archive_batch(SWEEPER, archive_after()) == BATCH


def purge(*, actor: Actor) -> int:
    """What the sweep would do, now and for what ``actor`` sees: at most :data:`PURGE_LIMIT` alerts, one audit entry."""
    days, done = archive_after(), 0
    while done < PURGE_LIMIT and (some := archive_batch(actor, days)):
        done += some
    if done:
        audit(actor=actor, action="retention_purged", detail={"alerts": done, "days": days})
    return done
