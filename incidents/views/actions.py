"""The verbs of the incident page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms as django_forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from alerts.access import get_alert_for
from alerts.forms import AssignForm
from alerts.pages import people_for
from alerts.views.verbs import ask_observables
from incidents import forms, pages, services
from incidents.access import get_handoff_for, get_incident_for
from incidents.models import Incident, IncidentEntry
from incidents.views.pages import fresh
from opensoar.errors import NotFound
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.timeline import last_change
from opensoar.web.verbs import posted, verb

UPDATE = "incidents:update"
ask = require_http_methods(["GET", "HEAD", "POST"])

type Form = django_forms.Form


def on_incident(
    request: AuthenticatedRequest,
    incident: Incident,
    form: Form,
    service: Callable[..., object],
    **texts: Any,
) -> HttpResponse:
    """One verb on ``incident``; the form's fields are the service's arguments."""

    def act(data: dict[str, Any]) -> None:
        service(actor=request.actor, incident=incident, **data)

    return verb(
        request,
        form,
        act,
        back=reverse("incidents:detail", args=[incident.number]),
        fresh=lambda: fresh(request, incident),
        told=lambda: last_change(IncidentEntry, incident),
        **texts,
    )


@ask
@require_capability(UPDATE)
def assign(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Give the incident to somebody, or to nobody."""
    incident = get_incident_for(request.actor, number, UPDATE)
    form = AssignForm(
        posted(request),
        people=people_for(incident.partner_id),
        me=request.user,
        initial={
            "user": str(incident.assigned_to_id or request.user.pk),
            "expected_version": incident.version,
        },
    )
    return on_incident(
        request, incident, form, services.assign_incident,
        title=_("Assign owner"), button=_("Assign"), done=_("Owner changed."),
    )  # fmt: skip


@require_POST
@require_capability(UPDATE)
def move(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """To another status of work."""
    incident = get_incident_for(request.actor, number, UPDATE)
    return on_incident(
        request, incident, forms.MoveForm(request.POST), services.move_incident,
        title=_("Change status"), button=_("Change status"), done=_("Status changed."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def edit(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Correct title, severity, description, tags and markings."""
    incident = get_incident_for(request.actor, number, UPDATE)
    names = ("title", "severity", "description", "tlp", "pap")
    initial = {name: getattr(incident, name) for name in names}
    initial |= {"tags": ", ".join(incident.tags), "expected_version": incident.version}
    form = forms.DetailsForm(posted(request), initial=initial)
    return on_incident(
        request, incident, form, services.update_incident,
        title=_("Edit incident"), button=_("Save"), done=_("Saved."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def close(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Close with determination, impact and summary."""
    incident = get_incident_for(request.actor, number, UPDATE)
    form = forms.CloseForm(posted(request), initial={"expected_version": incident.version})
    return on_incident(
        request, incident, form, services.close_incident,
        title=_("Close incident"), button=_("Close incident"), done=_("Incident closed."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def reopen(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Work a closed incident again."""
    incident = get_incident_for(request.actor, number, UPDATE)
    form = forms.ReopenForm(posted(request), initial={"expected_version": incident.version})
    return on_incident(
        request, incident, form, services.reopen_incident,
        title=_("Reopen"), button=_("Reopen"), done=_("Incident reopened."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def comment(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Write a comment."""
    incident = get_incident_for(request.actor, number, UPDATE)
    return on_incident(
        request, incident, forms.CommentForm(posted(request)), services.comment_incident,
        title=_("Comment"), button=_("Comment"), done=_("Comment added."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def handoff(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Leave a handoff note."""
    incident = get_incident_for(request.actor, number, UPDATE)
    form = forms.HandoffForm(posted(request), people=people_for(incident.partner_id))
    return on_incident(
        request, incident, form, services.hand_off,
        title=_("Handoff note"), button=_("Hand over"), done=_("Handed over."),
        note=_("From %(name)s") % {"name": request.user},
    )  # fmt: skip


@require_POST
@require_capability(UPDATE)
def acknowledge(request: AuthenticatedRequest, number: int, handoff_id: str) -> HttpResponse:
    """The receiver has taken over."""
    note = get_handoff_for(request.actor, handoff_id, UPDATE)
    if note.incident.number != number:
        raise NotFound(_("Handoff not found"))

    def service(*, actor: Any, incident: Incident) -> None:
        services.acknowledge_handoff(actor=actor, handoff=note)

    return on_incident(
        request, note.incident, django_forms.Form(request.POST), service,
        title=_("Acknowledge"), button=_("Acknowledge"), done=_("Handoff acknowledged."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def link(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Make an alert part of the incident; found by typing."""
    incident = get_incident_for(request.actor, number, UPDATE)
    words = request.POST.get("q", request.GET.get("q", ""))[:200]
    found = pages.alerts_to_link(request.actor, incident, words)
    if request.htmx and "q" in request.GET:
        return render(request, "incidents/_alert_options.html", {"found": found, "q": words})

    def service(*, actor: Any, incident: Incident, alert: str) -> None:
        chosen = get_alert_for(actor, alert.strip(), "alerts:read")
        services.link_alert(actor=actor, incident=incident, alert=chosen)

    return on_incident(
        request, incident, forms.LinkAlertForm(posted(request)), service, ask="search" in request.POST,
        title=_("Link alert to %(incident)s") % {"incident": incident}, button=_("Link alert"), done=_("Alert linked."),
        fields_template="incidents/_link_fields.html", options="incidents/_alert_options.html", found=found, q=words,
        hint=_("Title, rule, host, user, observable, or an alert's id"),
    )  # fmt: skip


@require_POST
@require_capability(UPDATE)
def unlink(request: AuthenticatedRequest, number: int, alert_id: str) -> HttpResponse:
    """Take an alert out of the incident."""
    incident = get_incident_for(request.actor, number, UPDATE)
    alert = get_alert_for(request.actor, alert_id, "alerts:read")

    def service(*, actor: Any, incident: Incident) -> None:
        services.unlink_alert(actor=actor, incident=incident, alert=alert)

    return on_incident(
        request, incident, django_forms.Form(request.POST), service,
        title=_("Unlink"), button=_("Unlink"), done=_("Alert unlinked."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def observables(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Add what is recognised in pasted text."""
    incident = get_incident_for(request.actor, number, UPDATE)

    def add(values: list[tuple[str, str]]) -> None:
        services.add_observables(actor=request.actor, incident=incident, values=values)

    back = reverse("incidents:detail", args=[incident.number])
    return ask_observables(request, add, back=back, fresh=lambda: fresh(request, incident))
