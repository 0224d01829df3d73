"""Suggested incidents: accept, add to an incident, dismiss."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from incidents.access import get_incident_for
from incidents.suggestions import accept_suggestion, dismiss_suggestion
from incidents.views.pages import render_list
from opensoar.access import require
from opensoar.errors import Conflict, Invalid, NotFound
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability


@require_POST
@require_capability("alerts:read")
def accept(request: AuthenticatedRequest, suggestion_id: str) -> HttpResponse:
    """Open an incident with the suggestion's alerts, or add them to the one whose number was given."""
    number = request.POST.get("incident", "").strip()
    require(request.actor, "incidents:update" if number else "incidents:create")
    try:
        existing = get_incident_for(request.actor, number, "incidents:update") if number else None
        incident = accept_suggestion(
            actor=request.actor,
            suggestion_id=suggestion_id,
            title=request.POST.get("title", "").strip() or None,
            owner=request.actor.user_id if "mine" in request.POST else None,
            incident=existing,
        )
    except (Conflict, Invalid, NotFound) as error:
        messages.error(request, error.detail)
        return render_list(request, status=422 if isinstance(error, NotFound) else error.status)
    messages.success(request, _("The alerts are in %(incident)s.") % {"incident": incident})
    return redirect("incidents:detail", number=incident.number)


@require_POST
@require_capability("incidents:create")
def dismiss(request: AuthenticatedRequest, suggestion_id: str) -> HttpResponse:
    """Say no, with a reason."""
    try:
        dismiss_suggestion(
            actor=request.actor, suggestion_id=suggestion_id, reason=request.POST.get("reason", "")
        )
    except (Invalid, NotFound) as error:
        messages.error(request, error.detail)
        return render_list(request, status=422)
    messages.success(request, _("Dismissed. It comes back when another alert joins."))
    return redirect("incidents:list")
