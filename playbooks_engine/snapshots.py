"""What a playbook sees of alerts, incidents and observables: JSON types, with the names of the public API."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import prefetch_related_objects

from alerts.models import Alert, AlertCounter, AlertObservable, Delivery, Observable
from alerts.subjects import subject_of
from incidents.models import Incident, IncidentAlert
from opensoar.accounts.models import Partner

MAX_ALERTS = 100  # ids of alerts in a snapshot, the newest


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


# Written out for speed, as in preparation.py.
COUNTERS = "SELECT * FROM alerts_alertcounter WHERE alert_id = ANY(%s)"
LATEST = """
SELECT d.* FROM alerts_delivery d JOIN alerts_alertcounter c ON c.last_delivery_id = d.id WHERE c.alert_id = ANY(%s)"""


def read_for_snapshots(alerts: Sequence[Alert]) -> None:
    """Read what snapshots of ``alerts`` need besides their rows, in few queries however many they are."""
    ids = [alert.pk for alert in alerts]
    counters = {counter.alert_id: counter for counter in AlertCounter.objects.raw(COUNTERS, [ids])}
    latest = {delivery.alert_id: delivery for delivery in Delivery.objects.raw(LATEST, [ids])}
    minute = int(time.monotonic() // 60)
    for alert in alerts:
        alert.partner = _partner(alert.partner_id, minute)
        alert.read = (counters.get(alert.pk), latest.get(alert.pk))  # type: ignore[attr-defined]
    prefetch_related_objects(alerts, "assigned_to")


@lru_cache(maxsize=4096)
def _partner(pk: UUID, _minute: int) -> Partner:
    """A partner, read once a minute: its row is asked for with every run, and hardly ever changes."""
    return Partner.objects.get(pk=pk)


def alert_snapshot(alert: Alert) -> dict[str, Any]:
    """The alert's fields as they are now (``playbooks_engine.alert.FIELDS``)."""
    if not hasattr(alert, "read"):
        read_for_snapshots([alert])
    counter, latest = alert.read  # type: ignore[attr-defined]
    owner = alert.assigned_to
    return subject_of(alert, latest.payload if latest else None) | {
        "duplicate_count": counter.duplicate_count if counter else 1,
        "first_seen": _iso(counter.first_seen if counter else alert.created_at),
        "last_seen": _iso(counter.last_seen if counter else alert.created_at),
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
        "created_at": _iso(alert.created_at),
        "updated_at": _iso(alert.updated_at),
        "resolved_at": _iso(alert.resolved_at),
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
