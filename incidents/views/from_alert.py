"""From alerts to an incident: a new one (escalate), or one that exists (link)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from alerts.access import get_alerts_for
from alerts.models import SEVERITY_RANK, Alert
from alerts.pages import people_for
from alerts.views.bulk import fresh_rows
from alerts.views.pages import fresh
from incidents import forms, pages, services
from incidents.access import get_incident_for
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.errors import Invalid
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.verbs import posted, verb

MOST = 200  # alerts at once
ask = require_http_methods(["GET", "HEAD", "POST"])


def _alerts(request: AuthenticatedRequest) -> list[Alert]:
    """The alerts that the address names. Raises :class:`Invalid` for too many, :class:`NotFound` for a stranger's."""
    ids = list(dict.fromkeys(request.GET.getlist("alert")))
    if len(ids) > MOST:
        raise Invalid(_("At most %(limit)d alerts at once") % {"limit": MOST})
    return get_alerts_for(request.actor, ids, "alerts:read")


def _of(alerts: list[Alert]) -> tuple[list[UUID], UUID | None]:
    """The alerts' ids and their partner."""
    return [alert.pk for alert in alerts], alerts[0].partner_id if alerts else None


def _back(alerts: list[Alert], otherwise: str) -> str:
    return reverse("alerts:detail", args=[alerts[0].pk]) if len(alerts) == 1 else reverse(otherwise)


@ask
@require_capability("incidents:create")
def create(request: AuthenticatedRequest) -> HttpResponse:
    """A new incident, with the alerts named by ``?alert=`` where there are any."""
    alerts = _alerts(request)
    worst = max(alerts, key=lambda alert: SEVERITY_RANK[alert.severity], default=None)
    people = people_for(worst.partner_id if worst else DEFAULT_PARTNER_ID)
    initial = {
        "title": worst.title if worst else "",
        "severity": worst.severity if worst else "medium",
        "owner": str(request.user.pk),
        "tlp": "amber",
        "pap": "amber",
    }
    form = forms.CreateForm(posted(request), people=people, me=request.user, initial=initial)
    near = (
        [i for i in pages.incidents_to_link(request.actor, *_of(alerts), "") if getattr(i, "shares", False)]
        if alerts
        else []
    )

    def act(data: dict[str, Any]) -> str:
        incident = services.open_incident(actor=request.actor, alerts=alerts, **data)
        return reverse("incidents:detail", args=[incident.number])

    note = ngettext("Links %d alert.", "Links %d alerts.", len(alerts)) % len(alerts) if alerts else ""
    return verb(
        request, form, act, back=_back(alerts, "incidents:list"), done=_("Incident created."), note=note,
        title=_("Escalate to an incident") if alerts else _("New incident"), button=_("Create incident"),
        fields_template="incidents/_create_fields.html", near=near[:1], alerts=alerts,
    )  # fmt: skip


@ask
@require_capability("incidents:update")
def link(request: AuthenticatedRequest) -> HttpResponse:
    """Make the alerts named by ``?alert=`` part of an incident that is found by typing."""
    alerts = _alerts(request)
    words = request.POST.get("q", request.GET.get("q", ""))[:200]
    found = pages.incidents_to_link(request.actor, *_of(alerts), words)
    if request.htmx and "q" in request.GET:
        return render(request, "incidents/_incident_options.html", {"found": found, "q": words})

    def act(data: dict[str, Any]) -> None:
        if not alerts:
            raise Invalid(_("Choose at least one alert."))
        incident = get_incident_for(request.actor, data["incident"].strip(), "incidents:update")
        if len(alerts) == 1:
            services.link_alert(actor=request.actor, incident=incident, alert=alerts[0])
        else:
            services.link_alerts(actor=request.actor, incident=incident, alerts=alerts)

    def shown() -> HttpResponse:
        return (
            fresh(request, alerts[0])
            if len(alerts) == 1
            else fresh_rows(request, [str(a.pk) for a in alerts])
        )

    return verb(
        request, forms.LinkIncidentForm(posted(request)), act, back=_back(alerts, "alerts:list"), fresh=shown,
        title=_("Link to incident"), button=_("Link to incident"), done=_("Linked."), ask="search" in request.POST,
        fields_template="incidents/_link_fields.html", options="incidents/_incident_options.html", found=found, q=words,
        hint=_("Number or title"),
    )  # fmt: skip
