"""The queue, the alert page and what of them is live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from alerts import forms, pages
from alerts.access import get_alert_for
from alerts.filters import AlertFilter
from alerts.models import Alert, AlertEntry
from alerts.rules import rule_record
from opensoar.ids import first_id_at
from opensoar.typing import AuthenticatedRequest
from opensoar.web.chips import chips
from opensoar.web.decorators import require_capability
from opensoar.web.live import poll, seen_in, stamped
from opensoar.web.paging import page_of
from opensoar.web.timeline import display_names, timeline_of

READ = "alerts:read"


@require_safe
@require_capability(READ)
def alert_list(request: AuthenticatedRequest) -> HttpResponse:
    """The queue: what the filter leaves, gravest first, then newest."""
    chosen = _filter(request)
    page = page_of(request, chosen.qs)
    pages.add_incidents(request.actor, page.items)
    context = {
        "filter": chosen,
        "chips": chips(chosen.form, chosen.data),
        "page": page,
        "seen": seen_in(page.items, *pages.WATCHED),
        # An id is given shortly before its row can be seen.
        "since": first_id_at(timezone.now() - timedelta(seconds=2)),
        "partners": pages.partners(request.actor),
    }
    name = "alerts/list.html#queue" if request.htmx else "alerts/list.html"
    return render(request, name, context)


@require_safe
@require_capability(READ)
def queue_live(request: AuthenticatedRequest) -> HttpResponse:
    """What became of the rows that a page shows, and how many alerts came after it was made."""
    ids = request.GET.get("rows", "").split(",")
    known = pages.row_ids(ids)
    others = _filter(request).qs.exclude(pk__in=known)
    newer = pages.newer_than(others, request.GET.get("since", ""))

    def changed() -> HttpResponse:
        rows = pages.rows_by_id(request.actor, ids)
        pages.add_incidents(request.actor, rows)
        query = request.GET.copy()
        for name in ("rows", "since", "page"):
            query.pop(name, None)
        context = {"oob": True, "rows": rows, "news": pages.news_of(newer), "query": query.urlencode()}
        return render(request, "alerts/list.html#live", context)

    return poll(request, pages.watch_alerts(request.actor, known, newer), changed)


def _filter(request: AuthenticatedRequest) -> AlertFilter:
    return AlertFilter(request.GET, queryset=pages.queue(request.actor), request=request)


@require_safe
@require_capability(READ)
def detail(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """One alert with everything about it."""
    alert = get_alert_for(request.actor, pk, READ)
    context = {"comment": forms.CommentForm(), **panels(request, alert)}
    return render(request, "alerts/detail.html", context)


@require_safe
@require_capability(READ)
def live(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """The panels of the alert page, if anything happened since it was made."""
    alert = get_alert_for(request.actor, pk, READ)
    return poll(request, pages.watch_alerts(request.actor, [alert.pk]), lambda: fresh(request, alert))


def fresh(request: AuthenticatedRequest, alert: Alert) -> HttpResponse:
    """The panels of the alert page as they are now, out of band: the answer to a verb."""
    alert = get_alert_for(request.actor, alert.pk, READ)
    context = {"oob": True, **panels(request, alert)}
    return stamped(render(request, "alerts/detail.html#live", context), context["seen"])


def panels(request: AuthenticatedRequest, alert: Alert) -> dict[str, Any]:
    """What the live parts of the alert page show."""
    actor = request.actor
    observables = pages.observables_of(actor, alert)
    return {
        "alert": alert,
        "seen": seen_in([alert], *pages.WATCHED),
        "entries": timeline_of(AlertEntry, alert),
        "names": display_names(),
        "observables": observables,
        "related": pages.related(actor, alert, observables),
        "suppression": pages.suppression_of(actor, alert),
        "rule": rule_record(actor, alert),
        "incidents": alert.incidents.visible_to(actor) if actor.can("incidents:read") else [],
    }


@require_safe
@require_capability(READ)
def deliveries(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """The bodies that made the alert, as they came."""
    alert = get_alert_for(request.actor, pk, READ)
    name = "alerts/deliveries.html#drawer" if request.htmx else "alerts/deliveries.html"
    context = {"alert": alert, "deliveries": pages.deliveries_of(request.actor, alert)}
    return render(request, name, context)
