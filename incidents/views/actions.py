"""The verbs of the incident page: plain form posts. Fetch, read the form, call the service, go back with a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from alerts.access import get_alert_for
from alerts.iocs import parse_text
from incidents import forms, services
from incidents.access import get_handoff_for, get_incident_for
from incidents.models import Incident
from incidents.views.pages import render_incident
from opensoar.errors import NotFound, ServiceError, Stale
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability

UPDATE = "incidents:update"
REFUSALS = {400, 404, 409, 412, 422}  # the form is shown again; anything else is a page of its own


def act(
    request: AuthenticatedRequest,
    number: int,
    form_class: type[forms.VerbForm],
    verb: Callable[[Incident, dict[str, Any]], object],
    done: str,
) -> HttpResponse:
    """One verb: its form, the service, the way back; a refusal shows the page again with what was typed."""
    incident = get_incident_for(request.actor, number, UPDATE)
    form = form_class(request.POST, incident=incident)
    status = 422
    if form.is_valid():
        try:
            verb(incident, form.cleaned_data)
        except ServiceError as error:
            if error.status not in REFUSALS:
                raise
            status = 422 if error.status in {400, 404} else error.status
            refuse(form, error)
        else:
            messages.success(request, done)
            return redirect("incidents:detail", number=number)
    return render_incident(
        request, get_incident_for(request.actor, number, UPDATE), bound=form, status=status
    )


def refuse(form: forms.VerbForm, error: ServiceError) -> None:
    """Put the service's sentence where it belongs. A stale form may be sent again once it was looked at."""
    field = getattr(error, "field", None)
    form.add_error(field if field in form.fields else None, error.detail)
    if isinstance(error, Stale):
        form.data = {**form.data.dict(), "expected_version": str(error.current)}  # type: ignore[attr-defined]


@require_POST
@require_capability(UPDATE)
def assign(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Give the incident to somebody, or to nobody."""
    verb = _service(request, services.assign_incident)
    return act(request, number, forms.AssignForm, verb, _("Owner changed."))


@require_POST
@require_capability(UPDATE)
def move(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """To another status of work."""
    return act(
        request, number, forms.MoveForm, _service(request, services.move_incident), _("Status changed.")
    )


@require_POST
@require_capability(UPDATE)
def severity(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Another severity."""
    verb = _service(request, services.update_incident)
    return act(request, number, forms.SeverityForm, verb, _("Severity changed."))


@require_POST
@require_capability(UPDATE)
def close(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Close with determination, impact and summary."""
    return act(
        request, number, forms.CloseForm, _service(request, services.close_incident), _("Incident closed.")
    )


@require_POST
@require_capability(UPDATE)
def reopen(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Work a closed incident again."""
    verb = _service(request, services.reopen_incident)
    return act(request, number, forms.ReopenForm, verb, _("Incident reopened."))


@require_POST
@require_capability(UPDATE)
def comment(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Write a comment."""
    verb = _service(request, services.comment_incident)
    return act(request, number, forms.CommentForm, verb, _("Comment added."))


@require_POST
@require_capability(UPDATE)
def handoff(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Leave a handoff note."""
    return act(request, number, forms.HandoffForm, _service(request, services.hand_off), _("Handed over."))


@require_POST
@require_capability(UPDATE)
def acknowledge(request: AuthenticatedRequest, number: int, handoff_id: str) -> HttpResponse:
    """The receiver has taken over."""
    note = get_handoff_for(request.actor, handoff_id, UPDATE)
    if note.incident.number != number:
        raise NotFound(_("Handoff not found"))
    services.acknowledge_handoff(actor=request.actor, handoff=note)
    messages.success(request, _("Handoff acknowledged."))
    return redirect("incidents:detail", number=number)


@require_POST
@require_capability(UPDATE)
def link(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Make an alert part of the incident."""

    def verb(incident: Incident, data: dict[str, Any]) -> object:
        alert = get_alert_for(request.actor, (data["alert"] or data["recent"]).strip(), "alerts:read")
        return services.link_alert(actor=request.actor, incident=incident, alert=alert)

    return act(request, number, forms.LinkForm, verb, _("Alert linked."))


@require_POST
@require_capability(UPDATE)
def unlink(request: AuthenticatedRequest, number: int, alert_id: str) -> HttpResponse:
    """Take an alert out of the incident."""
    incident = get_incident_for(request.actor, number, UPDATE)
    alert = get_alert_for(request.actor, alert_id, "alerts:read")
    services.unlink_alert(actor=request.actor, incident=incident, alert=alert)
    messages.success(request, _("Alert unlinked."))
    return redirect("incidents:detail", number=number)


@require_POST
@require_capability(UPDATE)
def observables(request: AuthenticatedRequest, number: int) -> HttpResponse:
    """Add what is recognised in pasted text; with ``preview`` only show what that would be."""
    incident = get_incident_for(request.actor, number, UPDATE)
    form = forms.ObservablesForm(request.POST, incident=incident)
    found = parse_text(form.cleaned_data["text"]) if form.is_valid() else []
    if form.is_valid() and not found:
        form.add_error("text", _("Nothing in this text looks like an observable."))
    if "preview" in request.POST or not found:
        status = 200 if found else 422
        return render_incident(request, incident, bound=form, status=status, recognised=found)

    def verb(incident: Incident, data: dict[str, Any]) -> object:
        values = [(value.type, value.value) for value in found]
        return services.add_observables(actor=request.actor, incident=incident, values=values)

    return act(request, number, forms.ObservablesForm, verb, _("Observables added."))


def _service(
    request: AuthenticatedRequest, service: Callable[..., object]
) -> Callable[[Incident, dict[str, Any]], object]:
    """``service`` as a verb whose arguments are the form's fields."""
    return lambda incident, data: service(actor=request.actor, incident=incident, **data)
