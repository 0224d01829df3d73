"""The questions behind the alert pages, each in a fixed number of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from alerts.models import Alert, AlertObservable, Delivery, Observable, Suppression
from alerts.querysets import AlertQuerySet, DeliveryQuerySet
from opensoar.accounts.models import Partner, User
from opensoar.actors import Actor
from opensoar.ids import first_id_at
from opensoar.web.live import Watch, watch

SHOWN = 100
SHOWN_RELATED = 6
ROWS = 200  # of the queue that one page may ask about
SIGHTINGS = 1000  # counted at most: who was seen a thousand times is simply everywhere
RELATED_WITHIN = timedelta(days=7)


def queue(actor: Actor) -> AlertQuerySet:
    """What the list starts from: gravest first, then newest."""
    return Alert.objects.visible_to(actor).with_related().order_by("-severity_rank", "-id")


def add_incidents(actor: Actor, alerts: list[Alert]) -> None:
    """Put ``shown_incidents`` on every alert, in one query."""
    if actor.can("incidents:read"):
        # Incidents are above alerts: reached through the relation, never imported.
        rows: Any = Alert.incidents.rel.related_model
        incidents = rows.objects.visible_to(actor).only("id", "number", "title")
        prefetch_related_objects(alerts, Prefetch("incidents", queryset=incidents, to_attr="shown_incidents"))


@dataclass(frozen=True, slots=True)
class News:
    """What came after a page was made: how many, and how many of the gravest."""

    total: int = 0
    critical: int = 0
    high: int = 0


def newer_than(queryset: QuerySet[Alert], since: str) -> QuerySet[Alert, Any]:
    """The severities of what in ``queryset`` is newer than the id ``since``; none where that is no id."""
    try:
        newer = queryset.filter(pk__gt=UUID(since))
    except ValueError:
        newer = queryset.none()
    return newer.order_by().values_list("severity", flat=True)[:SIGHTINGS]


def news_of(severities: Iterable[str]) -> News:
    """How many there are of each."""
    words = Counter(severities)
    return News(words.total(), words["critical"], words["high"])


def row_ids(texts: Iterable[str]) -> list[UUID]:
    """The ids of a page's rows (``a-`` may stand before each); what is no id is passed over."""
    known: list[UUID] = []
    for text in list(texts)[:ROWS]:
        try:
            known.append(UUID(text.removeprefix("a-")))
        except ValueError:
            continue
    return known


def rows_by_id(actor: Actor, ids: Iterable[str]) -> list[Alert]:
    """The alerts of a page's rows, as far as they may be seen."""
    known = row_ids(ids)
    return list(queue(actor).filter(pk__in=known)) if known else []


# Of an alert: one of these changes whenever anything of it does.
WATCHED = ("pk", "version", "timeline_seq", "counter__duplicate_count")


def watch_alerts(actor: Actor, ids: Iterable[UUID], *more: QuerySet[Any, Any]) -> Watch:
    """What a page has seen of these alerts (and of ``more``): changes with each of them, and with every repeat."""
    rows = Alert.objects.visible_to(actor).filter(pk__in=ids).order_by()
    return watch(rows.values_list(*WATCHED), *more)


def partners(actor: Actor) -> list[Partner]:
    """Whom the queue can be filtered by; none where there is nothing to choose."""
    found = Partner.objects.all()
    if actor.partner_ids is not None:
        found = found.filter(pk__in=actor.partner_ids)
    listed = list(found)
    return listed if len(listed) > 1 else []


def deliveries(actor: Actor) -> DeliveryQuerySet:
    """What the ledger starts from."""
    return Delivery.objects.visible_to(actor)


def add_partner_names(rows: Iterable[Delivery]) -> None:
    """Put ``partner_name`` on deliveries, which hold the id only. One query."""
    rows = list(rows)
    names = {
        pk: partner.name for pk, partner in Partner.objects.in_bulk({row.partner_id for row in rows}).items()
    }
    for row in rows:
        row.partner_name = names.get(row.partner_id, "")  # type: ignore[attr-defined]


def people_for(partner_id: UUID) -> list[User]:
    """Active people who see rows of ``partner_id``."""
    users = User.objects.filter(is_active=True).filter(Q(partners__isnull=True) | Q(partners=partner_id))
    return list(users.distinct())


def observables_of(actor: Actor, alert: Alert) -> list[Observable]:
    """What the alert mentions, each with ``seen``: in how many alerts."""
    if not actor.can("observables:read"):
        return []
    found = Observable.objects.visible_to(actor).filter(alerts=alert).prefetch_related("enrichments")
    return with_sightings(list(found.order_by("internal", "type", "value")[:SHOWN]))


def with_sightings(observables: list[Observable]) -> list[Observable]:
    """Put ``seen`` on every observable: in how many alerts it occurs, at most ``SIGHTINGS``."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.id, (SELECT count(*) FROM (
                SELECT 1 FROM alerts_alertobservable x WHERE x.observable_id = o.id LIMIT %s
            ) s) FROM unnest(%s::uuid[]) AS o(id)
            """,
            [SIGHTINGS, [observable.pk for observable in observables]],
        )
        seen = dict(cursor.fetchall())
    for observable in observables:
        observable.seen = seen[observable.pk]  # type: ignore[attr-defined]
    return observables


@dataclass(frozen=True, slots=True)
class Related:
    """Another alert, and the observables it shares."""

    alert: Alert
    shared: list[Observable]


def related(actor: Actor, alert: Alert, observables: list[Observable]) -> list[Related]:
    """Alerts of the last days that mention the same things, those that share most first. Three queries."""
    by_id = {observable.pk: observable for observable in observables}
    links = AlertObservable.objects.filter(
        observable_id__in=by_id, alert_id__gte=first_id_at(timezone.now() - RELATED_WITHIN)
    ).exclude(alert_id=alert.pk)
    rows = list(links.order_by("-alert_id").values_list("alert_id", "observable_id")[:SIGHTINGS])
    shared: dict[UUID, list[Observable]] = {}
    for alert_id, observable_id in rows:
        shared.setdefault(alert_id, []).append(by_id[observable_id])
    most = sorted(shared, key=lambda pk: (len(shared[pk]), pk), reverse=True)[:SHOWN_RELATED]
    alerts = {
        found.pk: found
        for found in Alert.objects.visible_to(actor).filter(pk__in=most, partner_id=alert.partner_id)
    }
    add_incidents(actor, list(alerts.values()))
    return [Related(alerts[pk], shared[pk][:3]) for pk in most if pk in alerts]


def suppression_of(actor: Actor, alert: Alert) -> Suppression | None:
    """What hides it, if ``actor`` may know."""
    if alert.suppressed_by_id is None:
        return None
    return Suppression.objects.visible_to(actor).with_related().filter(pk=alert.suppressed_by_id).first()


def deliveries_of(actor: Actor, alert: Alert) -> list[tuple[Delivery, Any]]:
    """The bodies that made it, newest first, as they were understood."""
    rows = Delivery.objects.visible_to(actor).of_alert(alert.pk).order_by("-id")[:20]
    return [(row, row.payload) for row in rows]


def open_count(actor: Actor) -> int:
    """How many alerts wait, as far as it is worth counting."""
    return Alert.objects.visible_to(actor).open().order_by()[:10_000].count()
