"""What belongs to an incident: alerts and observables. Lock order: the incident, then alerts by id."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext as _

from alerts.models import Alert, AlertEntry, Observable
from alerts.services.locks import lock_alerts
from alerts.services.observables import TypedValue, added_draft, observables_for
from alerts.timeline_kinds import IncidentLinked, IncidentUnlinked
from incidents.models import Incident, IncidentAlert, IncidentObservable
from incidents.services.common import begin, finish
from incidents.timeline_kinds import AlertLinked, AlertUnlinked
from opensoar import clock, timeline
from opensoar.actors import Actor
from opensoar.edits import Edit
from opensoar.errors import Conflict, Invalid, NotFound
from opensoar.text import limited_text
from opensoar.timeline import Draft


@transaction.atomic
def link_alert(*, actor: Actor, incident: Incident, alert: Alert) -> Incident:
    """Make an alert part of an incident; :class:`Conflict` if it is already, :class:`Invalid` across partners."""
    edit = begin(actor, incident)
    if not put_alerts(edit, [alert]):
        raise Conflict(_("Alert already linked to this incident"))
    return _finish_links(edit)


@transaction.atomic
def link_alerts(
    *, actor: Actor, incident: Incident, alerts: Iterable[Alert], why: str = ""
) -> tuple[Incident, int]:
    """Make many alerts part of an incident, those that are not yet; how many were new.

    ``why`` stands on both timelines, where it was no person who judged.
    """
    edit = begin(actor, incident)
    linked = put_alerts(edit, alerts, why)
    return _finish_links(edit), len(linked)


@transaction.atomic
def unlink_alert(*, actor: Actor, incident: Incident, alert: Alert) -> Incident:
    """Take an alert out of an incident; :class:`NotFound` if it is not in there."""
    edit = begin(actor, incident)
    locked = lock_alerts(actor, [alert.pk])[0]
    removed, _per_model = IncidentAlert.objects.filter(incident=edit.subject, alert=locked).delete()
    if not removed:
        raise NotFound(_("Link not found"))
    kind = AlertUnlinked(alert_id=str(locked.pk), severity=locked.severity, source=locked.source)
    edit.note(kind, text=locked.title)
    gone = IncidentUnlinked(incident_id=str(edit.subject.pk), number=edit.subject.number)
    timeline.record(AlertEntry, locked, Draft(kind=gone, actor=actor))
    return _finish_links(edit)


def put_alerts(edit: Edit, alerts: Iterable[Alert], why: str = "") -> list[Alert]:
    """Link to the locked incident of ``edit`` those alerts that are not linked yet, with entries on both sides."""
    incident: Incident = edit.subject
    locked = lock_alerts(edit.actor, {alert.pk for alert in alerts})
    if any(alert.partner_id != incident.partner_id for alert in locked):
        raise Invalid(_("The alert belongs to another partner than the incident"), field="alert_id")
    known = set(
        IncidentAlert.objects.filter(incident=incident, alert__in=locked).values_list("alert_id", flat=True)
    )
    new = [alert for alert in locked if alert.pk not in known]
    now = clock.now()
    IncidentAlert.objects.bulk_create(
        [IncidentAlert(incident=incident, alert=alert, linked_at=now) for alert in new]
    )
    linked = IncidentLinked(incident_id=str(incident.pk), number=incident.number)
    for alert in new:
        kind = AlertLinked(alert_id=str(alert.pk), severity=alert.severity, source=alert.source)
        edit.note(kind, text=f"{alert.title} ({why})" if why else alert.title)
        timeline.record(AlertEntry, alert, Draft(kind=linked, actor=edit.actor, text=why or None))
    techniques = list(dict.fromkeys([*incident.techniques, *(t for alert in new for t in alert.techniques)]))
    edit.set(techniques=techniques)
    return new


@transaction.atomic
def add_observables(
    *, actor: Actor, incident: Incident, values: Iterable[TypedValue], source: str | None = None
) -> list[Observable]:
    """Put observables on an incident; all of them are returned, one entry lists those that are new to it."""
    edit = begin(actor, incident)
    source = limited_text(source, field="source", limit=100) if source else None
    rows = observables_for(actor, edit.subject.partner_id, values, source)
    links = IncidentObservable.objects.filter(incident=edit.subject)
    known = set(links.values_list("observable_id", flat=True))
    added = [row for row in rows if row.pk not in known]
    if added:
        now = clock.now()
        links.bulk_create(
            [IncidentObservable(incident=edit.subject, observable=row, added_at=now) for row in added]
        )
        edit.drafts.append(added_draft(actor, added))
        _finish_links(edit)
    return rows


def _finish_links(edit: Edit) -> Incident:
    """Membership is nobody's edit: it raises no version, so it makes nobody's open form stale."""
    return finish(edit, was=edit.subject.status, versioned=False)
