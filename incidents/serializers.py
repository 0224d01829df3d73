"""The public shapes of incidents, and the bodies that their paths take."""

from __future__ import annotations

from typing import Any

from alerts.serializers import show_alerts
from incidents.models import Incident
from incidents.suggestions import Suggestion
from opensoar.api.fields import StrictSerializer, Text, tags


class IncidentIn(StrictSerializer):
    """A new incident."""

    title = Text()
    description = Text(required=False, allow_null=True, allow_blank=True)
    severity = Text(required=False)
    tags = tags(required=False)


class IncidentPatch(StrictSerializer):
    """Any of what can be edited."""

    title = Text(required=False)
    description = Text(required=False, allow_blank=True)
    severity = Text(required=False)
    status = Text(required=False)
    tags = tags(required=False)
    assigned_to = Text(required=False, allow_null=True, allow_blank=True)


class FromAlertIn(StrictSerializer):
    """An incident to link to, or the title of a new one."""

    incident_id = Text(required=False, allow_null=True)
    title = Text(required=False, allow_null=True)
    description = Text(required=False, allow_null=True, allow_blank=True)
    severity = Text(required=False)
    tags = tags(required=False)


class LinkIn(StrictSerializer):
    """An alert."""

    alert_id = Text()


class CloseIn(StrictSerializer):
    """What it was, what it did, and what there is to say."""

    determination = Text()
    impact = Text()
    summary = Text()


class HandoffIn(StrictSerializer):
    """To whom, and what they need to know."""

    to_user = Text()
    text = Text()


class AcceptIn(StrictSerializer):
    """The title of the new incident."""

    title = Text(required=False, allow_null=True)


class DismissIn(StrictSerializer):
    """Why not."""

    reason = Text(required=False, allow_blank=True)


def show_incident(incident: Incident) -> dict[str, Any]:
    """The public Incident shape, and what is ours; wants ``with_related``."""
    owner = incident.assigned_to
    return {
        "id": str(incident.pk),
        "number": incident.number,
        "title": incident.title,
        "description": incident.description,
        "severity": incident.severity,
        "status": incident.status,
        "partner": incident.partner.public_slug,
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
        "tags": incident.tags,
        "alert_count": getattr(incident, "alert_count", 0),
        "determination": incident.determination,
        "impact": incident.impact,
        "summary": incident.summary,
        "closed_at": incident.closed_at,
        "version": incident.version,
        "created_at": incident.created_at,
        "updated_at": incident.updated_at,
    }


def show_incidents(rows: list[Incident]) -> list[dict[str, Any]]:
    """Many incidents."""
    return [show_incident(incident) for incident in rows]


def show_suggestion(found: Suggestion) -> dict[str, Any]:
    """A suggestion; ``source_ip`` as the public API has it."""
    return {
        "id": found.id,
        "entity": found.entity,
        "value": found.value,
        "source_ip": found.value if found.entity == "source_ip" else None,
        "alert_count": len(found.alert_ids),
        "severity": found.severity,
        "score": found.score,
        "explanation": found.explanation,
        "alerts": show_alerts(found.alerts),
    }
