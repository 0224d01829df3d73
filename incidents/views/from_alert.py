"""From the alert page: escalate to a new incident, link to an existing one."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from alerts.access import get_alert_for
from incidents import services
from incidents.access import get_incident_for
from opensoar.errors import ServiceError
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability


@require_POST
@require_capability("incidents:create")
def escalate(request: AuthenticatedRequest, alert_id: UUID) -> HttpResponse:
    """A new incident with this alert; title and severity are the alert's where nothing else is said."""
    alert = get_alert_for(request.actor, alert_id, "alerts:read")
    try:
        incident = services.open_incident(
            actor=request.actor,
            title=request.POST.get("title", "").strip() or alert.title,
            severity=request.POST.get("severity") or alert.severity,
            owner=request.user if "mine" in request.POST else None,
            alerts=[alert],
        )
    except ServiceError as error:
        messages.error(request, error.detail)
        return redirect("alerts:detail", pk=alert_id)
    return redirect("incidents:detail", number=incident.number)


@require_POST
@require_capability("incidents:update")
def link(request: AuthenticatedRequest, alert_id: UUID) -> HttpResponse:
    """Make the alert part of the incident whose number was typed."""
    alert = get_alert_for(request.actor, alert_id, "alerts:read")
    try:
        incident = get_incident_for(
            request.actor, request.POST.get("incident", "").strip(), "incidents:update"
        )
        services.link_alert(actor=request.actor, incident=incident, alert=alert)
        messages.success(request, _("Linked to %(incident)s.") % {"incident": incident})
    except ServiceError as error:
        messages.error(request, error.detail)
    return redirect("alerts:detail", pk=alert_id)
