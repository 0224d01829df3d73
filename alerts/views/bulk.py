"""One verb on many alerts of the queue."""

from __future__ import annotations

from typing import Any

from django import forms as django_forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from alerts import forms, pages
from alerts.pages import people_for
from alerts.services import bulk
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.errors import Invalid
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.verbs import posted, verb

UPDATE = "alerts:update"
ask = require_http_methods(["GET", "HEAD", "POST"])


def _chosen(request: AuthenticatedRequest) -> list[str]:
    return request.POST.getlist("alert") or request.GET.getlist("alert")


def _on_many(
    request: AuthenticatedRequest, form: django_forms.Form, action: str, title: str, **arguments: Any
) -> HttpResponse:
    """Run ``action`` on the chosen alerts and say how it went; ``arguments`` turn form fields into the service's."""
    ids = _chosen(request)

    def act(data: dict[str, Any]) -> None:
        if not ids:
            raise Invalid(_("Choose at least one alert."))
        values = {name: read(data) for name, read in arguments.items()}
        result = bulk(actor=request.actor, alert_ids=ids, action=action, **values)
        if result["errors"] and not result["updated"]:
            raise Invalid(" ".join(result["errors"][:5]))
        for error in result["errors"][:5]:
            messages.warning(request, error)

    only = pages.rows_by_id(request.actor, ids) if len(ids) == 1 else []
    count = only[0].title if only else ngettext("%d alert", "%d alerts", len(ids)) % len(ids)
    return verb(
        request, form, act, title=f"{title}: {count}", button=title, done=f"{title}: {count}.",
        back=reverse("alerts:list"), fresh=lambda: fresh_rows(request, ids),
    )  # fmt: skip


def fresh_rows(request: AuthenticatedRequest, ids: list[str]) -> HttpResponse:
    """The rows of these alerts as they are now, out of band."""
    rows = pages.rows_by_id(request.actor, ids)
    pages.add_incidents(request.actor, rows)
    return render(request, "alerts/list.html#rows", {"rows": rows})


@ask
@require_capability(UPDATE)
def claim(request: AuthenticatedRequest) -> HttpResponse:
    """Make them mine."""
    return _on_many(request, django_forms.Form(posted(request)), "claim", _("Claim"))


@ask
@require_capability(UPDATE)
def assign(request: AuthenticatedRequest) -> HttpResponse:
    """Give them to somebody."""
    chosen = pages.rows_by_id(request.actor, _chosen(request)[:1])
    people = people_for(chosen[0].partner_id if chosen else DEFAULT_PARTNER_ID)
    form = forms.AssignForm(
        posted(request), people=people, me=request.user, initial={"user": str(request.user.pk)}
    )
    return _on_many(request, form, "assign", _("Assign"), assigned_to=lambda data: data["user"])


@ask
@require_capability(UPDATE)
def resolve(request: AuthenticatedRequest) -> HttpResponse:
    """Say what they were."""
    return _on_many(
        request,
        forms.ResolveForm(posted(request)),
        "resolve",
        _("Resolve"),
        determination=lambda data: data["determination"],
        resolve_reason=lambda data: data["reason"],
    )


@ask
@require_capability(UPDATE)
def severity(request: AuthenticatedRequest) -> HttpResponse:
    """Give them one severity."""
    form = forms.SeverityForm(posted(request))
    return _on_many(
        request, form, "change_severity", _("Change severity"), severity=lambda data: data["severity"]
    )
