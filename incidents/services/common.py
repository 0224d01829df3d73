"""What every change of an incident begins and ends with."""

from __future__ import annotations

from django.utils.translation import gettext as _

from incidents import events
from incidents.models import Incident, IncidentEntry
from opensoar.actors import Actor
from opensoar.edits import Edit, check_version
from opensoar.errors import NotFound


def lock_incident(actor: Actor, incident: Incident) -> Incident:
    """The incident's row, locked and read anew; :class:`NotFound` if it is foreign. Locked before any alert.

    No joins: after waiting for a lock PostgreSQL re-reads the locked row only, and a joined one would be of before.
    """
    locked = Incident.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=incident.pk).first()
    if locked is None:
        raise NotFound(_("Incident not found"))
    return locked


def begin(
    actor: Actor, incident: Incident, expected_version: int | None = None, text: str | None = None
) -> Edit:
    """Lock, compare the version, and gather changes."""
    locked = lock_incident(actor, incident)
    check_version(locked, expected_version)
    return Edit(subject=locked, actor=actor, entries=IncidentEntry, text=text)


def finish(edit: Edit, *, was: str, versioned: bool = True) -> Incident:
    """Save, then tell the subscribers; ``was`` is the status the edit began with."""
    incident: Incident = edit.subject
    if not edit.changed and not edit.drafts:
        return incident
    edit.save(versioned=versioned)
    change = events.IncidentChange(incident=incident, actor=edit.actor, changed=frozenset(edit.changed))
    events.incident_updated.emit(change)
    if incident.status != was and not incident.is_open:
        events.incident_closed.emit(change)
    return incident
