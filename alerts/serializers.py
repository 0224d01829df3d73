"""The public shapes of alerts, and the bodies that their paths take."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from alerts.models import Alert
from opensoar.api.fields import StrictSerializer, Text, tags


class AlertPatch(StrictSerializer):
    """Any of what can be edited."""

    status = Text(required=False)
    severity = Text(required=False)
    determination = Text(required=False)
    resolve_reason = Text(required=False)
    tags = tags(required=False)
    partner = Text(required=False, allow_null=True)
    assigned_to = Text(required=False, allow_null=True, allow_blank=True)


class AssignIn(StrictSerializer):
    """The new owner; null for nobody."""

    assigned_to = Text(allow_null=True, allow_blank=True)


class ResolveIn(StrictSerializer):
    """What it was, and why it is done."""

    determination = Text()
    reason = Text(required=False, allow_null=True)


class ReasonIn(StrictSerializer):
    """Why."""

    reason = Text(required=False, allow_null=True)


class BulkIn(serializers.Serializer[Any]):
    """One verb on many alerts."""

    alert_ids = serializers.ListField(child=Text(max_length=100), max_length=1000)
    action = Text()
    determination = Text(required=False, allow_null=True)
    resolve_reason = Text(required=False, allow_null=True)
    severity = Text(required=False, allow_null=True)


def show_alert(alert: Alert) -> dict[str, Any]:
    """The public Alert shape, and what is ours."""
    owner = alert.assigned_to
    counter = getattr(alert, "counter", None)
    return {
        "id": str(alert.pk),
        "source": alert.source,
        "source_id": alert.source_id,
        "title": alert.title,
        "description": alert.description,
        "severity": alert.severity,
        "status": alert.status,
        "source_ip": alert.source_ip,
        "dest_ip": alert.dest_ip,
        "hostname": alert.hostname,
        "username": alert.username,
        "rule_name": alert.rule_name,
        "iocs": alert.iocs,
        "tags": alert.tags,
        "partner": alert.partner.public_slug,
        "determination": alert.determination,
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
        "duplicate_count": counter.duplicate_count if counter else 1,
        "correlation_id": str(alert.correlation_id),
        "resolved_at": alert.resolved_at,
        "resolve_reason": alert.resolve_reason,
        "version": alert.version,
        "created_at": alert.created_at,
        "updated_at": alert.updated_at,
    }


def show_alerts(rows: list[Alert]) -> list[dict[str, Any]]:
    """Many alerts."""
    return [show_alert(alert) for alert in rows]
