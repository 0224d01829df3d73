"""What the incident pages show: the questions behind them, each in a fixed number of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from alerts.filters import alert_words
from alerts.models import SEVERITY_RANK, Alert, AlertEntry, AlertObservable, Observable
from alerts.pages import with_sightings
from incidents.models import Handoff, Incident, IncidentAlert, IncidentEntry
from incidents.querysets import IncidentQuerySet
from opensoar.accounts.models import User
from opensoar.actors import Actor
from opensoar.timeline import Shown, first_entries, fold, kinds
from opensoar.web.live import Watch, watch
from opensoar.web.timeline import without_begun

SHOWN_ENTRIES = 100  # the newest, until all are asked for
ALL_ENTRIES = 5000
SHOWN_ALERTS = 200
SHOWN_OBSERVABLES = 100
FOUND = 12  # of a search for something to link
STORY = 6
GROUPS = ("comments", "handoffs", "actions", "alerts", "changes")
# The incident's own entry says the same.
SAID_TWICE = ("incident_linked", "incident_unlinked")


def incident_rows(actor: Actor) -> IncidentQuerySet:
    """What the list starts from."""
    return Incident.objects.visible_to(actor).with_related()


def open_count(actor: Actor) -> int:
    """How many incidents are worked."""
    return Incident.objects.visible_to(actor).open().order_by()[:10_000].count()


# Of an incident: one of these changes whenever anything of it does.
WATCHED = ("number", "version", "timeline_seq")


def watch_incident(actor: Actor, number: int) -> Watch:
    """What a page has seen of one incident: its own entries, and those of its alerts."""
    own = Incident.objects.visible_to(actor).filter(number=number).order_by()
    alerts = Alert.objects.visible_to(actor).filter(incident_links__incident__number=number).order_by()
    return watch(own.values_list(*WATCHED), alerts.values_list("pk", "version", "timeline_seq"))


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


def alerts_to_link(actor: Actor, incident: Incident, words: str) -> list[Alert]:
    """Open alerts of the incident's partner that are in no incident: those that match, else those that share an
    observable with it, then the newest."""
    if not actor.can("alerts:read"):
        return []
    alerts = Alert.objects.visible_to(actor).open().filter(partner_id=incident.partner_id)
    free = alerts.filter(incident_links__isnull=True).order_by("-id")
    if words := words.strip():
        return list(free.filter(_alert_words(words))[:FOUND])
    mine = AlertObservable.objects.filter(alert__incident_links__incident=incident)
    near = AlertObservable.objects.filter(observable_id__in=mine.values("observable_id")[:SHOWN_OBSERVABLES])
    shared = list(free.filter(pk__in=near.order_by("-alert_id").values("alert_id")[:1000])[:FOUND])
    for alert in shared:
        alert.shares = True  # type: ignore[attr-defined]
    rest = free.exclude(pk__in=[alert.pk for alert in shared])
    return shared + list(rest[: FOUND - len(shared)])


def _alert_words(words: str) -> Q:
    try:
        return Q(pk=UUID(words))
    except ValueError:
        return alert_words(words)


def incidents_to_link(
    actor: Actor, alert_ids: Sequence[UUID], partner_id: UUID | None, words: str
) -> list[Incident]:
    """Open incidents of ``partner_id`` that match, else those that share an observable with the alerts, then the newest.

    None in which all the alerts are already.
    """
    found = incident_rows(actor).open().order_by("-id")
    if partner_id is not None:
        found = found.filter(partner_id=partner_id)
    if len(alert_ids) == 1:
        found = found.exclude(links__alert=alert_ids[0])
    if words := words.strip():
        return list(found.filter(incident_words(words))[:FOUND])
    seen = AlertObservable.objects.filter(alert__in=alert_ids).values("observable_id")
    links = IncidentAlert.objects.filter(
        alert__in=AlertObservable.objects.filter(observable_id__in=seen[:SHOWN_OBSERVABLES]).values(
            "alert_id"
        )
    )
    counts = dict(
        links.order_by().values_list("incident_id").annotate(n=Count("alert_id")).order_by("-n")[:FOUND]
    )
    near = sorted(found.filter(pk__in=counts), key=lambda incident: counts[incident.pk], reverse=True)
    for incident in near:
        incident.shares = True  # type: ignore[attr-defined]
    return near + list(found.exclude(pk__in=counts)[: FOUND - len(near)])


def incident_words(words: str) -> Q:
    """Part of the title or description, or the number as ``1042`` or ``INC-1042``."""
    number = words.strip().upper().removeprefix("INC-")
    found = Q(title__icontains=words) | Q(description__icontains=words)
    if number.isascii() and number.isdigit() and len(number) <= 18:
        found |= Q(number=int(number))
    return found


def observables_of(actor: Actor, incident: Incident) -> list[Observable]:
    """What somebody put on the incident, and what its alerts mention."""
    if not actor.can("observables:read"):
        return []
    of_alerts = IncidentAlert.objects.filter(incident=incident, alert__archived_at__isnull=True).values(
        "alert"
    )
    rows = Observable.objects.visible_to(actor).filter(Q(incidents=incident) | Q(alerts__in=of_alerts))
    rows = rows.distinct().prefetch_related("enrichments").order_by("internal", "type", "value")
    return with_sightings(list(rows[:SHOWN_OBSERVABLES]))


@dataclass(frozen=True, slots=True)
class Told(Shown[Any]):
    """An entry of the shared timeline: ``about`` is the alert it happened to, ``handoff`` the note it is the text of."""

    about: Alert | None = None
    handoff: Handoff | None = None


def shared_timeline(
    incident: Incident, alerts: Sequence[Alert], handoffs: Iterable[Handoff], *, group: str, limit: int
) -> list[Told]:
    """The incident's entries and those of ``alerts`` (which the reader may see), newest first; one group, or all."""
    by_id = {alert.pk: alert for alert in alerts}
    own, theirs = _entries(incident, by_id)
    if group:
        words = [action for action, kind in kinds().items() if kind.group == group]
        own, theirs = own.filter(action__in=words), theirs.filter(action__in=words)
    notes = {note.entry_id: note for note in handoffs}
    told = [
        Told(s.entry, s.newest, s.text, about=by_id.get(s.entry.subject_id), handoff=notes.get(s.entry.pk))
        for s in (*fold(list(own.order_by("-seq")[:limit])), *fold(list(theirs.order_by("-id")[:limit])))
    ]
    told.sort(key=lambda entry: (entry.entry.occurred_at, entry.entry.pk), reverse=True)
    return without_begun(told[:limit])


def _entries(
    incident: Incident, by_id: Iterable[UUID]
) -> tuple[QuerySet[IncidentEntry], QuerySet[AlertEntry]]:
    theirs = first_entries(AlertEntry, by_id).exclude(action__in=SAID_TWICE)
    return first_entries(IncidentEntry, [incident.pk]), theirs


def group_counts(incident: Incident, alerts: Sequence[Alert]) -> list[tuple[str, int]]:
    """How many entries each group of the timeline's filter holds; groups without any are left out."""
    counts: Counter[str] = Counter()
    for entries in _entries(incident, [alert.pk for alert in alerts]):
        words: Any = entries.order_by().values_list("action").annotate(n=Count("pk"))
        for action, number in words:
            # Of a run one line is shown, that it ended.
            if action != "playbook_started":
                counts[kinds()[action].group] += number
    return [(group, counts[group]) for group in GROUPS if counts[group]]


def handoffs_of(incident: Incident) -> list[Handoff]:
    """Handoff notes, newest first, with who wrote, who receives and whether they took over."""
    return list(incident.handoffs.select_related("from_user", "to_user", "acknowledgement"))


@dataclass(frozen=True, slots=True)
class Moment:
    """One point of the story."""

    at: datetime
    title: str
    sub: str
    mark: str = field(default="")


def story(incident: Incident, alerts: Sequence[Alert]) -> list[Moment]:
    """The attack in one glance: the gravest alerts in the order in which they happened, then our response."""
    first_of_rule: dict[str, Alert] = {}
    for alert in reversed(alerts):
        first_of_rule.setdefault(alert.rule_name or alert.title, alert)
    worst = sorted(
        first_of_rule.values(), key=lambda a: (-SEVERITY_RANK[a.severity], a.event_at or a.created_at)
    )
    moments = [
        Moment(
            at=alert.event_at or alert.created_at,
            title=alert.title,
            sub=alert.hostname or alert.username or alert.source_ip or alert.source,
            mark=f"sev-{alert.severity}",
        )
        for alert in worst[:STORY]
    ]
    for at, title in ((incident.contained_at, "Contained"), (incident.closed_at, "Closed")):
        if at is not None:
            moments.append(Moment(at=at, title=title, sub="", mark="resp"))
    moments.sort(key=lambda moment: moment.at)
    return moments if len(moments) > 1 else []
