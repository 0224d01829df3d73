"""Incidents hold observables: how ``POST /observables`` puts one on an incident."""

from __future__ import annotations

from alerts.holders import register_holder
from alerts.models import Observable
from alerts.services.observables import TypedValue
from incidents import services
from incidents.access import get_incident_for
from opensoar.actors import Actor


def put_on_incident(
    *, actor: Actor, pk: str, values: list[TypedValue], source: str | None
) -> list[Observable]:
    """Put the values on the incident of that id or number."""
    incident = get_incident_for(actor, pk, "incidents:update")
    return services.add_observables(actor=actor, incident=incident, values=values, source=source)


register_holder("incident_id", put_on_incident)
