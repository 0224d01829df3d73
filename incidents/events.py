"""What other apps may react to."""

from __future__ import annotations

from dataclasses import dataclass

from incidents.models import Incident
from opensoar.actors import Actor
from opensoar.events import DomainEvent


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """An incident as it is now, who changed it and which fields."""

    incident: Incident
    actor: Actor
    changed: frozenset[str]


incident_opened: DomainEvent[IncidentChange] = DomainEvent("incident_opened")
incident_updated: DomainEvent[IncidentChange] = DomainEvent(
    "incident_updated"
)  # any semantic edit, also closing
incident_closed: DomainEvent[IncidentChange] = DomainEvent("incident_closed")
