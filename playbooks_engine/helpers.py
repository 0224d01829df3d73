"""The durable helpers: what ``update_current_alert`` and its kin do, through the services that pages and API use.

Each runs in a helper thread inside one short transaction that also writes its journal line, so a helper's effect and
the record of it are stored together or not at all.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Min, Q
from django.utils import timezone

from alerts import services as alert_services
from alerts.models import Alert, AlertEntry
from incidents.models import Incident
from opensoar.accounts.models import DEFAULT_PARTNER_ID, Partner
from opensoar.accounts.services import get_or_create_partner
from opensoar.actors import Actor
from opensoar.errors import ServiceError
from playbooks_engine import helpers_incidents  # noqa: F401 - enters its helpers into the table
from playbooks_engine.helper_base import HELPERS, Subject, active_user, alert_of, helper, id_of_alert
from playbooks_engine.history import WINDOW_DAYS
from playbooks_engine.snapshots import alert_snapshot

__all__ = ["Subject", "perform"]


def _partner(slug: str | None, actor: Actor) -> dict[str, Any]:
    """The ``partner`` keyword for a service: absent means "leave it"."""
    if slug is None:
        return {}
    if slug in ("", "default"):
        return {"partner": Partner.objects.get(pk=DEFAULT_PARTNER_ID)}
    partner = get_or_create_partner(slug, actor=actor)
    if partner is None:
        raise ValueError(f"unknown partner {slug!r}, and the settings refuse to create partners")
    return {"partner": partner}


def _summary(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": str(alert.pk),
        "status": alert.status,
        "determination": alert.determination,
        "partner": alert.partner.public_slug,
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
    }


@helper
def update_current_alert(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Change status, determination or partner, as the API's PATCH would."""
    alert = alert_services.update_alert(
        actor=actor,
        alert=alert_of(about),
        status=arguments.get("status"),
        determination=arguments.get("determination"),
        resolve_reason=arguments.get("reason"),
        detail=arguments.get("activity_detail"),
        metadata=arguments.get("activity_metadata"),
        **_partner(arguments.get("partner"), actor),
    )
    return _summary(alert)


@helper
def resolve_current_alert(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Resolve with a determination."""
    return update_current_alert(actor, about, {**arguments, "status": "resolved"})


def comment_result(entry: AlertEntry, text: str) -> dict[str, Any]:
    """What ``add_current_alert_comment`` returns."""
    return {
        "alert_id": str(entry.subject_id),
        "comment_id": str(entry.pk),
        "action": entry.action,
        "detail": text,
    }


@helper
def add_current_alert_comment(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Comment on the alert."""
    alert = Alert(pk=id_of_alert(about))  # the service reads it, locked
    entry = alert_services.comment_alert(
        actor=actor, alert=alert, text=arguments["text"], metadata=arguments.get("metadata")
    )
    return comment_result(entry, arguments["text"])


@helper
def assign_current_alert(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Assign to an active analyst, or to nobody."""
    user = None
    if arguments.get("analyst_id"):
        user = active_user(pk=arguments["analyst_id"])
    elif arguments.get("username"):
        user = active_user(username__iexact=arguments["username"])
    alert = alert_services.assign_alert(actor=actor, alert=alert_of(about), user=user)
    owner = alert.assigned_to
    return {
        "alert_id": str(alert.pk),
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
    }


@helper
def refresh_alert(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """The alert's fields as they are now."""
    return alert_snapshot(alert_of(about))


@helper
def ip_history(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """What the run's partner has seen of an address."""
    ip = arguments["ip"]
    return _history(actor, about.alert_id, ip, Q(source_ip=ip) | Q(dest_ip=ip))


@helper
def host_history(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """What the run's partner has seen of a host."""
    hostname = arguments["hostname"]
    return _history(actor, about.alert_id, hostname, Q(hostname__iexact=hostname))


def _history(actor: Actor, alert_id: UUID | None, subject: str, match: Q) -> dict[str, Any]:
    ever = Alert.objects.visible_to(actor).filter(match)
    if alert_id is not None:
        ever = ever.exclude(pk=alert_id)
    window = ever.filter(created_at__gte=timezone.now() - timedelta(days=WINDOW_DAYS))
    seen = ever.aggregate(first=Min("created_at"), last=Max("created_at"))
    determinations = dict.fromkeys(Alert.Determination.values, 0) | _counts(window, "determination")
    linked = Incident.objects.visible_to(actor).filter(alerts__in=window).distinct()
    return {
        "subject": subject,
        "window_days": WINDOW_DAYS,
        "alerts": sum(determinations.values()),
        "by_determination": determinations,
        "by_severity": _counts(window, "severity"),
        "first_seen": seen["first"].isoformat() if seen["first"] else None,
        "last_seen": seen["last"].isoformat() if seen["last"] else None,
        "incidents": linked.count(),
        "recent_incidents": list(linked.order_by("-id").values("number", "title", "severity", "status")[:5]),
        "users": _most_frequent(window, "username"),
        "addresses": _most_frequent(window, "source_ip"),
    }


def _counts(alerts: Any, name: str) -> dict[str, int]:
    return dict(alerts.order_by().values_list(name).annotate(n=Count("pk")))


def _most_frequent(alerts: Any, name: str) -> list[str]:
    found = alerts.exclude(**{f"{name}__isnull": True}).order_by().values_list(name).annotate(n=Count("pk"))
    return [value for value, _ in found.order_by("-n", name)[:10]]


def perform(name: str, actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Do one helper inside the caller's transaction, which must not go on where this raises.

    Raises:
        ValueError, RuntimeError: what the SDK documents; a service's refusal becomes a ``ValueError``.
    """
    try:
        return HELPERS[name](actor, about, arguments)
    except ServiceError as error:
        raise ValueError(error.detail) from error
