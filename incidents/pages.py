"""What the incident pages show: the questions behind them, each in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q

from alerts.models import Alert, AlertEntry, Observable
from incidents.models import Handoff, Incident, IncidentAlert, IncidentEntry
from incidents.querysets import IncidentQuerySet
from opensoar.accounts.models import User
from opensoar.actors import Actor
from opensoar.timeline import TimelineEntry

SHOWN_ENTRIES = 300  # the newest; the API pages through the rest
SHOWN_ALERTS = 200
SHOWN_OBSERVABLES = 300
RECENT_ALERTS = 30


def incident_rows(actor: Actor) -> IncidentQuerySet:
    """What the list starts from."""
    return Incident.objects.visible_to(actor).with_related()


def people(partner_id: UUID | None = None) -> list[User]:
    """Active people, or those of them who may see ``partner_id``."""
    users = User.objects.filter(is_active=True)
    if partner_id is not None:
        users = users.filter(Q(partners__isnull=True) | Q(partners=partner_id))
    return list(users.distinct())


def owners(actor: Actor) -> list[User]:
    """Whom the list can be filtered by: people who see what the actor sees."""
    users = User.objects.filter(is_active=True)
    if actor.partner_ids is not None:
        users = users.filter(Q(partners__isnull=True) | Q(partners__in=actor.partner_ids))
    return list(users.distinct())


def linked_alerts(actor: Actor, incident: Incident) -> list[Alert]:
    """The incident's alerts, newest first, as far as the actor may see alerts."""
    if not actor.can("alerts:read"):
        return []
    alerts = Alert.objects.visible_to(actor).with_related()
    return list(alerts.filter(incident_links__incident=incident).order_by("-id")[:SHOWN_ALERTS])


def recent_alerts(actor: Actor, incident: Incident) -> list[Alert]:
    """The newest open alerts of the incident's partner that are in no incident: what one may want to link."""
    if not actor.can("alerts:read"):
        return []
    alerts = Alert.objects.visible_to(actor).open().filter(partner_id=incident.partner_id)
    return list(alerts.filter(incident_links__isnull=True).order_by("-id")[:RECENT_ALERTS])


def observables_of(actor: Actor, incident: Incident) -> list[Observable]:
    """What somebody put on the incident, and what its alerts mention."""
    if not actor.can("observables:read"):
        return []
    of_alerts = IncidentAlert.objects.filter(incident=incident, alert__archived_at__isnull=True).values(
        "alert"
    )
    rows = Observable.objects.visible_to(actor).filter(Q(incidents=incident) | Q(alerts__in=of_alerts))
    return list(rows.distinct().order_by("type", "value")[:SHOWN_OBSERVABLES])


def handoffs_of(incident: Incident) -> list[Handoff]:
    """Handoff notes, newest first, with who wrote, who receives and whether they took over."""
    return list(incident.handoffs.select_related("from_user", "to_user", "acknowledgement"))


def shared_timeline(incident: Incident, alerts: Sequence[Alert]) -> list[TimelineEntry]:
    """The incident's entries and those of ``alerts`` (which the reader may see), in the order in which things happened.

    Each entry gets ``text`` (its newest wording), ``edited`` and ``subject_alert`` (``None`` for the incident's own).
    """
    own = IncidentEntry.objects.filter(subject_id=incident.pk).order_by("-id")[:SHOWN_ENTRIES]
    titles = {alert.pk: alert for alert in alerts}
    theirs = (
        AlertEntry.objects.filter(subject_id__in=titles).order_by("-id")[:SHOWN_ENTRIES] if titles else []
    )
    entries: list[Any] = [*_worded(own), *_worded(theirs)]
    for entry in entries:
        entry.subject_alert = titles.get(entry.subject_id)
    entries.sort(key=lambda entry: (entry.occurred_at, entry.id))
    return entries[-SHOWN_ENTRIES:]


def _worded(newest_first: Iterable[TimelineEntry]) -> list[TimelineEntry]:
    """First entries of everything that was said, with the words of the newest edit; removed comments say nothing."""
    rows: list[Any] = list(newest_first)
    if not rows:
        return []
    texts = dict(rows[0].text_model.objects.filter(pk__in=[row.pk for row in rows]).values_list("id", "text"))
    edits: dict[UUID, Any] = {}
    for row in rows:
        if row.supersedes is not None:
            edits.setdefault(row.supersedes, row)
    firsts = [row for row in rows if row.supersedes is None]
    for row in firsts:
        edit = edits.get(row.pk)
        row.edited = edit is not None
        row.text = texts.get((edit or row).pk)
    return firsts
