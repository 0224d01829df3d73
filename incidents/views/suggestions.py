"""Suggested incidents: accept, add to an incident, dismiss."""

from __future__ import annotations

from typing import Any

from django import forms as django_forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts.access import get_alert_for
from incidents import forms, pages, services
from incidents.access import get_incident_for
from incidents.belonging import belongings
from incidents.suggestions import accept_suggestion, dismiss_suggestion, suggestion_named
from incidents.views.pages import fresh_suggestions
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.verbs import posted, verb


@require_POST
@require_capability("incidents:create")
def accept(request: AuthenticatedRequest, suggestion_id: str) -> HttpResponse:
    """Open an incident with the suggestion's alerts."""

    def act(_data: dict[str, Any]) -> str:
        incident = accept_suggestion(
            actor=request.actor, suggestion_id=suggestion_id, owner=request.actor.user_id
        )
        return reverse("incidents:detail", args=[incident.number])

    return verb(
        request, django_forms.Form(request.POST), act, back=reverse("incidents:list"),
        fresh=lambda: fresh_suggestions(request), title=_("Accept"), button=_("Accept"), done=_("Incident created; it is yours."),
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability("incidents:update")
def add(request: AuthenticatedRequest, suggestion_id: str) -> HttpResponse:
    """Add the suggestion's alerts to an incident that is found by typing."""
    words = request.POST.get("q", request.GET.get("q", ""))[:200]
    suggestion = suggestion_named(request.actor, suggestion_id)
    found = pages.incidents_to_link(request.actor, suggestion.alert_ids, suggestion.partner_id, words)
    if request.htmx and "q" in request.GET:
        return render(request, "incidents/_incident_options.html", {"found": found, "q": words})

    def act(data: dict[str, Any]) -> str:
        existing = get_incident_for(request.actor, data["incident"].strip(), "incidents:update")
        accept_suggestion(actor=request.actor, suggestion_id=suggestion_id, incident=existing)
        return reverse("incidents:detail", args=[existing.number])

    return verb(
        request, forms.LinkIncidentForm(posted(request)), act, back=reverse("incidents:list"),
        title=_("Add to incident"), button=_("Add to incident"), done=_("The alerts are in it."),
        ask="search" in request.POST, fields_template="incidents/_link_fields.html",
        options="incidents/_incident_options.html", found=found, q=words, hint=_("Number or title"),
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability("incidents:update")
def dismiss(request: AuthenticatedRequest, suggestion_id: str) -> HttpResponse:
    """Say no, with a reason where there is one to give."""
    suggestion = suggestion_named(request.actor, suggestion_id)

    def act(data: dict[str, Any]) -> None:
        dismiss_suggestion(actor=request.actor, suggestion_id=suggestion_id, reason=data["reason"])

    return verb(
        request, forms.DismissForm(posted(request)), act, back=reverse("incidents:list"),
        fresh=lambda: fresh_suggestions(request), title=_("Dismiss suggestion"), note=suggestion.title,
        button=_("Dismiss"),
        done=_("Dismissed. It comes back when another alert joins."),
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability("incidents:update")
def exclude(request: AuthenticatedRequest, suggestion_id: str) -> HttpResponse:
    """Keep one of the shared entities from grouping alerts, with a reason and for a time."""
    suggestion = suggestion_named(request.actor, suggestion_id)
    form = forms.ExcludeForm(posted(request), shared=suggestion.evidence.shared)

    def act(data: dict[str, Any]) -> None:
        kind, value = data["entity"]
        services.save_exclusion(
            actor=request.actor, entity=kind, value=value, reason=data["reason"], partner=suggestion.partner,
            expires_at=data["expires_at"],
        )  # fmt: skip

    return verb(
        request, form, act, back=reverse("incidents:list"), fresh=lambda: fresh_suggestions(request),
        title=_("Exclude an entity"), button=_("Exclude"),
        done=_("Excluded. Suggestions are made without it within seconds."),
    )  # fmt: skip


@require_safe
@require_capability("incidents:read")
def belongings_of(request: AuthenticatedRequest) -> HttpResponse:
    """Open incidents that the alert of ``?alert=`` possibly belongs to."""
    alert = get_alert_for(request.actor, request.GET.get("alert", ""), "alerts:read")
    link = f"{reverse('incidents:link-alerts')}?alert={alert.pk}"
    context = {"alert": alert, "link": link, "found": belongings(request.actor, alert)}
    return render(request, "incidents/_belongings.html", context)
