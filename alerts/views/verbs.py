"""The verbs of the alert page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms as django_forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from alerts import forms, services
from alerts.access import get_alert_for
from alerts.iocs import parse_text
from alerts.models import Alert, AlertEntry
from alerts.pages import people_for
from alerts.views.pages import fresh
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.timeline import last_change
from opensoar.web.verbs import Fresh, posted, verb

UPDATE = "alerts:update"
ask = require_http_methods(["GET", "HEAD", "POST"])


def on_alert(
    request: AuthenticatedRequest,
    alert: Alert,
    form: django_forms.Form,
    service: Callable[..., object],
    **texts: Any,
) -> HttpResponse:
    """One verb on ``alert``: the form's fields are the service's arguments; afterwards its page, or its fresh panels."""

    def act(data: dict[str, Any]) -> None:
        service(actor=request.actor, alert=alert, **data)

    return verb(
        request,
        form,
        act,
        told=lambda: last_change(AlertEntry, alert),
        back=reverse("alerts:detail", args=[alert.pk]),
        fresh=lambda: fresh(request, alert),
        **texts,
    )


@require_POST
@require_capability(UPDATE)
def claim(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Make it mine, unless somebody else was faster."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    form = django_forms.Form(request.POST)
    return on_alert(
        request, alert, form, services.claim_alert,
        title=_("Claim"), button=_("Claim"), done=_("The alert is yours."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def assign(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Give it to somebody, or to nobody."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    initial = {"user": str(alert.assigned_to_id or request.user.pk), "expected_version": alert.version}
    people = people_for(alert.partner_id)
    form = forms.AssignForm(posted(request), people=people, me=request.user, initial=initial)
    return on_alert(
        request,
        alert,
        form,
        services.assign_alert,
        title=_("Assign"),
        button=_("Assign"),
        done=_("Owner changed."),
    )


@ask
@require_capability(UPDATE)
def resolve(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Say what it was; that ends the work on it."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    initial = {"determination": alert.determination, "expected_version": alert.version}
    form = forms.ResolveForm(posted(request), initial=initial)
    return on_alert(
        request,
        alert,
        form,
        services.resolve_alert,
        title=_("Resolve"),
        button=_("Resolve"),
        done=_("Alert resolved."),
    )


@ask
@require_capability(UPDATE)
def reopen(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """It is not over."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    form = forms.ReopenForm(posted(request))
    return on_alert(
        request,
        alert,
        form,
        services.reopen_alert,
        title=_("Reopen"),
        button=_("Reopen"),
        done=_("Alert reopened."),
    )


@ask
@require_capability(UPDATE)
def show_again(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Bring it back into the queue."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    form = forms.ReopenForm(posted(request))
    return on_alert(
        request, alert, form, services.show_alert_again, title=_("Show again"), button=_("Show again"),
        done=_("The alert is in the queue again."), note=_("Its playbooks start, as if it came now."),
    )  # fmt: skip


@ask
@require_capability(UPDATE)
def edit(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Correct severity, determination and tags."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    initial = {
        "severity": alert.severity,
        "determination": alert.determination,
        "tags": ", ".join(alert.tags),
        "expected_version": alert.version,
    }
    form = forms.DetailsForm(posted(request), initial=initial)
    return on_alert(
        request, alert, form, services.update_alert, title=_("Edit alert"), button=_("Save"), done=_("Saved.")
    )


@ask
@require_capability(UPDATE)
def comment(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Say something."""
    alert = get_alert_for(request.actor, pk, UPDATE)
    form = forms.CommentForm(posted(request))
    return on_alert(
        request,
        alert,
        form,
        services.comment_alert,
        title=_("Comment"),
        button=_("Comment"),
        done=_("Comment added."),
    )


@ask
@require_capability("observables:manage")
def observables(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Add what is recognised in pasted text."""
    alert = get_alert_for(request.actor, pk, UPDATE)

    def add(values: list[tuple[str, str]]) -> None:
        services.add_observables(actor=request.actor, alert=alert, values=values)

    back = reverse("alerts:detail", args=[alert.pk])
    return ask_observables(request, add, back=back, fresh=lambda: fresh(request, alert))


def ask_observables(
    request: AuthenticatedRequest,
    add: Callable[[list[tuple[str, str]]], None],
    *,
    back: str,
    fresh: Fresh,
) -> HttpResponse:
    """The form for pasted text; with ``preview`` it only shows what is recognised, else that is added."""
    form = forms.ObservablesForm(posted(request))
    preview = "preview" in request.POST
    found = parse_text(request.POST.get("text", ""))
    if preview and request.htmx:
        return render(request, "alerts/_recognised.html", {"recognised": found})

    def act(data: dict[str, Any]) -> None:
        add(services.recognised(data["text"]))

    return verb(
        request, form, act, title=_("Add observables"), button=_("Add observables"), done=_("Observables added."),
        back=back, fresh=fresh, ask=preview, fields_template="alerts/_observables_fields.html", recognised=found,
    )  # fmt: skip
