"""What a playbook sees of alerts, incidents and observables: JSON types, with the names of the public API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import prefetch_related_objects

from alerts.models import Alert, AlertCounter, AlertObservable, Delivery, Observable
from incidents.models import Incident, IncidentAlert

MAX_ALERTS = 100  # ids of alerts in a snapshot, the newest


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def read_for_snapshots(alerts: Sequence[Alert]) -> None:
    """Read what snapshots of ``alerts`` need besides their rows, in four queries however many they are."""
    prefetch_related_objects(alerts, "partner", "assigned_to", "counter")
    latest = {alert.pk: _counter(alert) for alert in alerts}
    deliveries = Delivery.objects.in_bulk(
        [counter.last_delivery_id for counter in latest.values() if counter is not None]
    )
    for alert in alerts:
        counter = latest[alert.pk]
        alert.latest = deliveries.get(counter.last_delivery_id) if counter else None  # type: ignore[attr-defined]


def _counter(alert: Alert) -> AlertCounter | None:
    return getattr(alert, "counter", None)  # RelatedObjectDoesNotExist is an AttributeError


def alert_snapshot(alert: Alert) -> dict[str, Any]:
    """The alert's fields as they are now (``playbooks_engine.alert.FIELDS``)."""
    if not hasattr(alert, "latest"):
        read_for_snapshots([alert])
    counter, latest = _counter(alert), alert.latest  # type: ignore[attr-defined]
    owner = alert.assigned_to
    return {
        "id": str(alert.pk),
        "source": alert.source,
        "source_id": alert.source_id,
        "title": alert.title,
        "description": alert.description,
        "severity": alert.severity,
        "status": alert.status,
        "determination": alert.determination,
        "source_ip": alert.source_ip,
        "dest_ip": alert.dest_ip,
        "hostname": alert.hostname,
        "username": alert.username,
        "rule_name": alert.rule_name,
        "tags": alert.tags,
        "iocs": alert.iocs,
        "partner": alert.partner.public_slug,
        "raw_payload": latest.payload if latest else None,
        "normalized": alert.normalized,
        "duplicate_count": counter.duplicate_count if counter else 1,
        "first_seen": _iso(counter.first_seen if counter else alert.created_at),
        "last_seen": _iso(counter.last_seen if counter else alert.created_at),
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
        "correlation_id": str(alert.correlation_id),
        "created_at": _iso(alert.created_at),
        "updated_at": _iso(alert.updated_at),
        "resolved_at": _iso(alert.resolved_at),
        "resolve_reason": alert.resolve_reason,
    }


def incident_snapshot(incident: Incident) -> dict[str, Any]:
    """The incident's fields as they are now (``playbooks_engine.incident.Incident.FIELDS``)."""
    owner = incident.assigned_to
    links = IncidentAlert.objects.filter(incident_id=incident.pk).order_by("-alert_id")
    return {
        "id": str(incident.pk),
        "number": incident.number,
        "reference": incident.reference,
        "title": incident.title,
        "description": incident.description,
        "severity": incident.severity,
        "status": incident.status,
        "determination": incident.determination,
        "impact": incident.impact,
        "summary": incident.summary,
        "partner": incident.partner.public_slug,
        "tags": incident.tags,
        "techniques": incident.techniques,
        "tlp": incident.tlp,
        "pap": incident.pap,
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
        "alerts": [str(pk) for pk in links.values_list("alert_id", flat=True)[:MAX_ALERTS]],
        "created_at": _iso(incident.created_at),
        "updated_at": _iso(incident.updated_at),
        "contained_at": _iso(incident.contained_at),
        "closed_at": _iso(incident.closed_at),
    }


def observable_snapshot(observable: Observable) -> dict[str, Any]:
    """The observable's fields as they are now (``playbooks_engine.incident.Observable.FIELDS``)."""
    links = AlertObservable.objects.filter(observable_id=observable.pk).order_by("-alert_id")
    return {
        "id": str(observable.pk),
        "type": observable.type,
        "value": observable.value,
        "internal": observable.internal,
        "source": observable.source,
        "tags": observable.tags,
        "partner": observable.partner.public_slug,
        "verdict": observable.verdict,
        "enrichment_status": observable.enrichment_status,
        "alerts": [str(pk) for pk in links.values_list("alert_id", flat=True)[:MAX_ALERTS]],
        "first_seen": _iso(observable.created_at),
    }
