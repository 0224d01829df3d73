"""The incident list with suggestions on top, the incident page, and what of them is live."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from incidents import pages
from incidents.access import get_incident_for
from incidents.filters import IncidentFilter
from incidents.models import ALLOWED, Incident
from incidents.suggestions import suggestions
from opensoar.typing import AuthenticatedRequest
from opensoar.web.chips import chips
from opensoar.web.decorators import require_capability
from opensoar.web.live import poll, seen_in, stamped, watch
from opensoar.web.paging import page_of, slice_of
from opensoar.web.timeline import display_names

READ = "incidents:read"


@require_safe
@require_capability(READ)
def incident_list(request: AuthenticatedRequest) -> HttpResponse:
    """Suggestions, then the incidents that the filter leaves, newest first."""
    chosen = _filter(request)
    page = page_of(request, chosen.qs)
    context = {
        "filter": chosen,
        "chips": chips(chosen.form, chosen.data),
        "page": page,
        "seen": seen_in(page.items, *pages.WATCHED),
        **_suggestions(request),
    }
    return render(request, "incidents/list.html", context)


@require_safe
@require_capability(READ)
def go(request: AuthenticatedRequest) -> HttpResponse:
    """To the incident whose number was typed (``1042``, ``INC-1042``), else to the queue, searched for the words."""
    words = request.GET.get("q", "").strip()[:200]
    number = words.upper().removeprefix("INC-")
    if number.isascii() and number.isdigit() and len(number) < 18:
        found = pages.incident_rows(request.actor).filter(number=int(number)).first()
        if found is not None:
            return redirect("incidents:detail", number=found.number)
    return redirect(f"{reverse('alerts:list')}?{urlencode({'q': words, 'status': ''})}")


@require_safe
@require_capability(READ)
def list_live(request: AuthenticatedRequest) -> HttpResponse:
    """The rows, if anything changed."""
    rows = _filter(request).qs

    def changed() -> HttpResponse:
        return render(request, "incidents/list.html#rows", {"oob": True, "page": page_of(request, rows)})

    return poll(request, watch(slice_of(request, rows).values_list(*pages.WATCHED)), changed)


@require_safe
@require_capability("alerts:read")
def suggested(request: AuthenticatedRequest) -> HttpResponse:
    """The suggestions as they are now; the page asks every 30 s."""
    return fresh_suggestions(request)


def fresh_suggestions(request: AuthenticatedRequest) -> HttpResponse:
    """The suggestions, out of band: the answer to a verb on one of them."""
    return render(request, "incidents/list.html#suggestions", {"oob": True, **_suggestions(request)})


def _suggestions(request: AuthenticatedRequest) -> dict[str, Any]:
    found = suggestions(request.actor) if request.actor.can("alerts:read") else []
    may = request.actor.can
    return {
        "suggestions": found,
        "may_create": may("incidents:create"),
        "may_update": may("incidents:update"),
    }


def _filter(request: AuthenticatedRequest) -> IncidentFilter:
    return IncidentFilter(request.GET, queryset=pages.incident_rows(request.actor), actor=request.actor)


@require_safe
@require_capability(READ)
def detail(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """The shared working surface of one incident."""
    return render(request, "incidents/detail.html", panels(request, number))


@require_safe
@require_capability(READ)
def live(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """The panels of the incident page, if anything happened since it was made."""
    incident = get_incident_for(request.actor, number, READ)
    return poll(request, pages.watch_incident(request.actor, number), lambda: fresh(request, incident))


def fresh(request: AuthenticatedRequest, incident: Incident) -> HttpResponse:
    """The panels of the incident page as they are now, out of band: the answer to a verb."""
    context = {"oob": True, **panels(request, incident.number)}
    return stamped(render(request, "incidents/detail.html#live", context), context["seen"])


def panels(request: AuthenticatedRequest, number: int) -> dict[str, Any]:
    """What the live parts of the incident page show; ``?show=`` narrows the timeline to one group."""
    actor = request.actor
    now = pages.watch_incident(actor, number)  # first: what happens meanwhile, the next poll tells
    incident = get_incident_for(actor, number, READ)
    alerts = pages.linked_alerts(actor, incident)
    show = request.GET.get("show", "")
    limit = pages.ALL_ENTRIES if "all" in request.GET else pages.SHOWN_ENTRIES
    handoffs = pages.handoffs_of(incident)
    told = pages.shared_timeline(incident, alerts, handoffs, group=show, limit=limit)
    groups = pages.group_counts(incident, alerts)
    waiting = [note for note in handoffs if not hasattr(note, "acknowledgement")]
    return {
        "incident": incident,
        "seen": now.seen,
        "steps": _steps(incident),
        "story": pages.story(incident, alerts),
        "alerts": alerts,
        "names": display_names(),
        "show": show,
        "groups": groups,
        "total": sum(number for _group, number in groups),
        "entries": told,
        "more": "all" not in request.GET and sum(n for _group, n in groups) > limit,
        "waiting_handoff": waiting[0] if waiting else None,
        "observables": pages.observables_of(actor, incident),
        "may_update": actor.can("incidents:update"),
    }


def _steps(incident: Incident) -> list[dict[str, Any]]:
    """The stepper: what was passed, where it is, and where it may go."""
    order = Incident.Status.values
    at = order.index(incident.status)
    return [
        {
            "status": status,
            "current": status == incident.status,
            "passed": order.index(status) < at,
            "allowed": incident.is_open and status in ALLOWED[incident.status],
        }
        for status in order
    ]
