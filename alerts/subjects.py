"""A stored alert as conditions know it."""

from __future__ import annotations

from typing import Any

from alerts.models import Alert


def subject_of(alert: Alert, payload: Any) -> dict[str, Any]:
    """The fields of ``alert`` by the names a playbook knows them by; ``payload`` is a body of it. Wants ``partner``."""
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
        "raw_payload": payload,
        "normalized": alert.normalized,
        "correlation_id": str(alert.correlation_id),
        "created_at": alert.created_at,
        "updated_at": alert.updated_at,
        "resolved_at": alert.resolved_at,
        "resolve_reason": alert.resolve_reason,
    }
