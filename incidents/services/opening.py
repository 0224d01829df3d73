"""Opening an incident, from nothing or from alerts (escalation)."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from alerts.models import Alert, Severity
from incidents import events
from incidents.models import Incident, IncidentEntry
from incidents.services.editing import set_owner
from incidents.services.links import put_alerts
from incidents.timeline_kinds import IncidentCreated
from opensoar import clock
from opensoar.accounts.models import DEFAULT_PARTNER_ID, Partner, User
from opensoar.accounts.services import resolve_partner
from opensoar.actors import Actor
from opensoar.edits import Edit
from opensoar.errors import Invalid
from opensoar.text import choice, limited_text, required_text, tag_list


@transaction.atomic
def open_incident(
    *,
    actor: Actor,
    title: str,
    severity: str = "medium",
    description: str | None = None,
    tags: Iterable[str] = (),
    partner: Partner | str | None = None,
    owner: User | UUID | str | None = None,
    alerts: Iterable[Alert] = (),
    tlp: str | None = None,
    pap: str | None = None,
    suggestion_id: str | None = None,
) -> Incident:
    """A new incident with its alerts linked and its owner set, all or nothing.

    Without ``partner`` it is the alerts' partner, else the actor's only one, else the default one if the actor sees it.
    """
    alerts = list(alerts)
    incident = Incident(
        partner=_partner_for(actor, partner, alerts),
        title=required_text(title, field="title", limit=500),
        description=limited_text(description, field="description") or None if description else None,
        severity=choice(severity, Severity.values, field="severity"),
        tags=tag_list(tags),
        tlp=choice(tlp or Incident.Tlp.AMBER, Incident.Tlp.values, field="tlp"),
        pap=choice(pap or Incident.Pap.AMBER, Incident.Pap.values, field="pap"),
        created_at=clock.now(),
    )
    incident.save(force_insert=True)
    edit = Edit(subject=incident, actor=actor, entries=IncidentEntry)
    created = IncidentCreated(
        severity=incident.severity, alert_count=len(alerts), suggestion_id=suggestion_id
    )
    edit.note(created, text=incident.title)
    put_alerts(edit, alerts)
    set_owner(edit, owner)
    edit.save(versioned=False)
    events.incident_opened.emit(events.IncidentChange(incident=incident, actor=actor, changed=frozenset()))
    return incident


def _partner_for(actor: Actor, partner: Partner | str | None, alerts: list[Alert]) -> Partner:
    if partner is not None and partner != "":
        chosen = resolve_partner(partner, actor=actor)
    elif alerts:
        chosen = alerts[0].partner
    else:
        chosen = _own_partner(actor)
    if any(alert.partner_id != chosen.pk for alert in alerts):
        raise Invalid(_("An incident and its alerts belong to one partner"), field="partner")
    return chosen


def _own_partner(actor: Actor) -> Partner:
    """Where an incident goes that names no partner."""
    ids = actor.partner_ids
    if ids is not None and len(ids) == 1:
        return Partner.objects.get(pk=next(iter(ids)))
    if actor.sees_partner(DEFAULT_PARTNER_ID):
        return Partner.objects.get(pk=DEFAULT_PARTNER_ID)
    names = ", ".join(Partner.objects.filter(pk__in=ids or ()).values_list("slug", flat=True))
    raise Invalid(_("Name the incident's partner, one of: %(names)s") % {"names": names}, field="partner")
