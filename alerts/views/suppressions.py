"""Suppressions: the list, a new one with its preview, and the end of one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from alerts import pages, services
from alerts.access import get_alert_for, get_suppression_for
from alerts.forms import SuppressionForm
from alerts.models import Suppression
from alerts.suppression_pages import preview, show_hidden, suppressions
from alerts.views.pages import fresh
from opensoar.errors import ServiceError
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.forms import VerbForm
from opensoar.web.paging import page_of
from opensoar.web.verbs import posted, verb

READ, MANAGE = "alerts:read", "suppressions:manage"
ask = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
@require_capability(READ)
def suppression_list(request: AuthenticatedRequest) -> HttpResponse:
    """What hides alerts, newest first; ``?state=`` narrows, ``all`` shows those of before too."""
    actor = request.actor
    state = request.GET.get("state") or Suppression.State.ACTIVE
    page = page_of(request, suppressions(actor, state))
    show_hidden(actor, page.items)
    context = {"page": page, "states": [*Suppression.State.choices, ("all", _("All"))], "chosen": state}
    return render(request, "suppressions/list.html", context)


@ask
@require_capability(MANAGE)
def create(request: AuthenticatedRequest) -> HttpResponse:
    """Which alerts, why and for how long, with what that would have hidden; ``?alert=`` takes one as the pattern."""
    pattern = request.GET.get("alert")
    alert = get_alert_for(request.actor, pattern, READ) if pattern else None
    everybody = request.actor.partner_ids is None
    form = SuppressionForm(
        posted(request), alert=alert, partners=pages.partners(request.actor), everybody=everybody
    )
    wants_preview = "preview" in request.POST
    context = _previewed(request, form)
    if wants_preview and request.htmx:
        return render(request, "suppressions/_preview.html", context)

    def act(data: dict[str, Any]) -> None:
        services.create_suppression(actor=request.actor, **data)

    return verb(
        request, form, act, ask=wants_preview, button=_("Suppress"), done=_("New alerts like this are hidden."),
        title=_("Suppress alerts like this") if alert else _("New suppression"), alert=alert,
        back=reverse("alerts:detail", args=[alert.pk]) if alert else reverse("suppressions:list"),
        fresh=(lambda: fresh(request, alert)) if alert else None,
        fields_template="suppressions/_fields.html", **context,
    )  # fmt: skip


def _previewed(request: AuthenticatedRequest, form: SuppressionForm) -> dict[str, Any]:
    """What the conditions that are chosen so far would have hidden, or why that cannot be told."""
    conditions, partner = form.chosen()
    if not conditions:
        return {"found": None, "problem": ""}
    try:
        return {
            "found": preview(actor=request.actor, conditions=conditions, partner=partner),
            "problem": "",
        }
    except ServiceError as error:
        return {"found": None, "problem": error.detail}


@ask
@require_capability(MANAGE)
def end(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Hide nothing more."""
    suppression = get_suppression_for(request.actor, pk, MANAGE)
    back = reverse("suppressions:list")

    def act(_data: dict[str, Any]) -> str:
        services.end_suppression(actor=request.actor, suppression=suppression)
        return back

    return verb(
        request, VerbForm(posted(request)), act, back=back, title=_("End suppression"), button=_("End it"),
        done=_("It hides nothing more."), note=suppression.name, keep=_("Keep it"),
        explained=_("New alerts like these are shown again. What it hid stays hidden until it comes again."),
    )  # fmt: skip
