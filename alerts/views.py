"""The queue, the alert page and its verbs: get, check, service, back to the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from alerts import forms, services
from alerts.access import get_alert_for
from alerts.filters import AlertFilter
from alerts.iocs import parse_text
from alerts.models import Alert, AlertEntry
from alerts.pages import deliveries_of, observables_of, person_named, queue
from opensoar.errors import ServiceError
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.timeline import timeline_of

READ, UPDATE = "alerts:read", "alerts:update"
PAGE_SIZE = 50


@require_safe
@require_capability(READ)
def alert_list(request: AuthenticatedRequest) -> HttpResponse:
    """The queue: what the filter leaves, gravest first, then newest."""
    chosen = AlertFilter(request.GET, queryset=queue(request.actor), request=request)
    page = Paginator(chosen.qs, PAGE_SIZE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return render(request, "alerts/list.html", {"filter": chosen, "page": page, "query": query.urlencode()})


@require_safe
@require_capability(READ)
def detail(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """One alert with everything about it."""
    return _page(request, get_alert_for(request.actor, pk, READ))


def _page(
    request: AuthenticatedRequest, alert: Alert, *, bound: forms.VerbForm | None = None, status: int = 200
) -> HttpResponse:
    shown: dict[str, forms.VerbForm] = {
        "assign": forms.AssignForm(
            initial={"username": alert.assigned_to.username if alert.assigned_to else ""}
        ),
        "resolve": forms.ResolveForm(),
        "reopen": forms.ReopenForm(),
        "severity": forms.SeverityForm(initial={"severity": alert.severity}),
        "comment": forms.CommentForm(),
        "observables": forms.ObservablesForm(),
    }
    if bound is not None:
        shown[type(bound).__name__.removesuffix("Form").lower()] = bound
    context = {
        "alert": alert,
        "forms": shown,
        "refused": bound,
        "entries": timeline_of(AlertEntry, alert),
        "observables": observables_of(request.actor, alert),
        "deliveries": deliveries_of(request.actor, alert),
        "incidents": alert.incidents.visible_to(request.actor) if request.actor.can("incidents:read") else [],
    }
    return render(request, "alerts/detail.html", context, status=status)


def _verb(
    request: AuthenticatedRequest,
    pk: UUID,
    form_class: type[forms.VerbForm],
    act: Callable[[Alert, dict[str, Any]], object],
    said: str,
) -> HttpResponse:
    """One verb: a refusal shows the page again with the reason beside the field, success goes back to it."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    form = form_class(request.POST)
    if form.is_valid():
        try:
            act(alert, form.cleaned_data)
        except ServiceError as error:
            form.add_error(None, error.detail)
        else:
            messages.success(request, said)
            return redirect("alerts:detail", pk=pk)
    fresh = get_alert_for(request.actor, pk, UPDATE)
    return _page(request, fresh, bound=form, status=422)


@require_POST
@require_capability(UPDATE)
def claim(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Make it mine, unless somebody else was faster."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    try:
        services.claim_alert(actor=request.actor, alert=alert)
        messages.success(request, _("The alert is yours."))
    except ServiceError as error:
        messages.error(request, error.detail)
    return redirect("alerts:detail", pk=pk)


@require_POST
@require_capability(UPDATE)
def assign(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    def act(alert: Alert, data: dict[str, Any]) -> None:
        services.assign_alert(actor=request.actor, alert=alert, user=person_named(data["username"]))

    return _verb(request, pk, forms.AssignForm, act, _("Owner changed."))


@require_POST
@require_capability(UPDATE)
def resolve(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    def act(alert: Alert, data: dict[str, Any]) -> None:
        services.resolve_alert(
            actor=request.actor,
            alert=alert,
            determination=data["determination"],
            reason=data["reason"] or None,
        )

    return _verb(request, pk, forms.ResolveForm, act, _("Alert resolved."))


@require_POST
@require_capability(UPDATE)
def reopen(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    def act(alert: Alert, data: dict[str, Any]) -> None:
        services.reopen_alert(actor=request.actor, alert=alert, reason=data["reason"] or None)

    return _verb(request, pk, forms.ReopenForm, act, _("Alert reopened."))


@require_POST
@require_capability(UPDATE)
def severity(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    def act(alert: Alert, data: dict[str, Any]) -> None:
        services.update_alert(actor=request.actor, alert=alert, severity=data["severity"])

    return _verb(request, pk, forms.SeverityForm, act, _("Severity changed."))


@require_POST
@require_capability(UPDATE)
def comment(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    def act(alert: Alert, data: dict[str, Any]) -> None:
        services.comment_alert(actor=request.actor, alert=alert, text=data["text"])

    return _verb(request, pk, forms.CommentForm, act, _("Comment added."))


@require_POST
@require_capability("observables:manage")
def observables(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    def act(alert: Alert, data: dict[str, Any]) -> None:
        found = [(item.type, item.value) for item in parse_text(data["text"])]
        services.add_observables(actor=request.actor, alert=alert, values=found)

    return _verb(request, pk, forms.ObservablesForm, act, _("Observables added."))
