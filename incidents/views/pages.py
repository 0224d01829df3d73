"""The incident list with suggestions on top, and the incident page."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from incidents import pages
from incidents.access import get_incident_for
from incidents.filters import IncidentFilter
from incidents.forms import FORMS, VerbForm
from incidents.models import Incident
from incidents.suggestions import suggestions
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability

PAGE_SIZE = 50


@require_safe
@require_capability("incidents:read")
def incident_list(request: AuthenticatedRequest) -> HttpResponse:
    """Suggestions, then the incidents that the filter leaves, newest first."""
    return render_list(request)


@require_safe
@require_capability("incidents:read")
def detail(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """The shared working surface of one incident."""
    return render_incident(request, get_incident_for(request.actor, number, "incidents:read"))


def render_list(request: AuthenticatedRequest, *, status: int = 200) -> HttpResponse:
    """The list page; after a refused verb with its status."""
    chosen = IncidentFilter(request.GET, queryset=pages.incident_rows(request.actor), actor=request.actor)
    page = Paginator(chosen.qs, PAGE_SIZE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "filter": chosen,
        "page": page,
        "query": query.urlencode(),
        "suggestions": suggestions(request.actor) if request.actor.can("alerts:read") else [],
        "may_create": request.actor.can("incidents:create"),
        "may_update": request.actor.can("incidents:update"),
    }
    return render(request, "incidents/list.html", context, status=status)


def render_incident(
    request: AuthenticatedRequest,
    incident: Incident,
    *,
    bound: VerbForm | None = None,
    status: int = 200,
    **extra: Any,
) -> HttpResponse:
    """The page; ``bound`` is a form that was refused, shown with its errors in its place."""
    actor = request.actor
    may_update = actor.can("incidents:update")
    alerts = pages.linked_alerts(actor, incident)
    people = pages.people(incident.partner_id) if may_update else []
    recent = pages.recent_alerts(actor, incident) if may_update else []
    forms = {form.name: form(incident=incident, people=people, alerts=recent) for form in FORMS}
    if bound is not None:
        bound.offer(people, recent)
        forms[bound.name] = bound
    context = {
        "incident": incident,
        "alerts": alerts,
        "entries": pages.shared_timeline(incident, alerts),
        "observables": pages.observables_of(actor, incident),
        "handoffs": pages.handoffs_of(incident),
        "forms": forms,
        "refused": bound,
        "may_update": may_update,
        "may_see_runs": actor.can("playbooks:read"),
        **extra,
    }
    return render(request, "incidents/detail.html", context, status=status)
