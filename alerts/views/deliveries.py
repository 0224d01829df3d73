"""The ledger: what was delivered, what became of it, and quarantined ones tried again; how each source speaks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms as django_forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import pages, replay
from alerts.access import get_delivery_for
from alerts.filters import DeliveryFilter
from alerts.health_pages import sources_of
from alerts.ingest import Unavailable
from alerts.models import Delivery
from opensoar.errors import Conflict, Invalid
from opensoar.typing import AuthenticatedRequest
from opensoar.web.chips import chips
from opensoar.web.decorators import require_capability
from opensoar.web.forms import styled
from opensoar.web.paging import keyset_of
from opensoar.web.verbs import posted, verb

READ, REPLAY = "alerts:read", "alerts:update"
SHOWN_CHARACTERS = 100_000


@require_safe
@require_capability(READ)
def delivery_list(request: AuthenticatedRequest) -> HttpResponse:
    """What was delivered, newest first."""
    chosen = _filter(request)
    valid = chosen.is_valid()
    page = keyset_of(request, chosen.qs.listed() if valid else chosen.queryset.none())
    pages.add_partner_names(page.items)
    context = {
        "filter": chosen,
        "chips": chips(chosen.form, chosen.data),
        "page": page,
        "partners": pages.partners(request.actor),
        "may_replay": request.actor.can(REPLAY) and any(row.state == "quarantined" for row in page.items),
    }
    return render(request, "deliveries/list.html", context)


@require_safe
@require_capability(READ)
def delivery(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """One body as it came."""
    found = get_delivery_for(request.actor, pk, READ)
    payload = found.payload
    pages.add_partner_names([found])
    text = bytes(found.body).decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    context = {
        "delivery": found,
        "payload": payload if isinstance(payload, dict) else None,
        "text": text[:SHOWN_CHARACTERS],
        "may_replay": request.actor.can(REPLAY) and found.state == Delivery.State.QUARANTINED,
    }
    name = "deliveries/detail.html#drawer" if request.htmx else "deliveries/detail.html"
    return render(request, name, context)


@require_POST
@require_capability(REPLAY)
def replay_one(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Parse a quarantined one again."""
    found = get_delivery_for(request.actor, pk, REPLAY)
    place = reverse("deliveries:detail", args=[pk])

    def act(_data: dict[str, Any]) -> str:
        try:
            after = replay.replay_delivery(actor=request.actor, delivery=found)
        except Unavailable as error:
            raise Conflict(_("Nothing can be stored just now; try again")) from error
        if after.state == Delivery.State.QUARANTINED:
            raise Invalid(_("It stays in quarantine: %s") % after.reason)
        return reverse("alerts:detail", args=[after.alert_id])

    return verb(
        request, django_forms.Form(request.POST), act, title=_("Replay"), button=_("Replay"),
        done=_("Replayed: this is its alert."), back=place,
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability(REPLAY)
def replay_matching(request: AuthenticatedRequest) -> HttpResponse:
    """Parse again what is in quarantine and matches the filter of the list."""
    chosen = _filter(request)
    back = f"{reverse('deliveries:list')}?{request.GET.urlencode()}"
    # What makes no sense in a filter would otherwise narrow nothing.
    found = chosen.qs if chosen.is_valid() else chosen.queryset.none()

    def act(_data: dict[str, Any]) -> str:
        try:
            states = replay.replay_all(actor=request.actor, found=found, limit=replay.AT_ONCE)
        except Unavailable as error:
            raise Conflict(_("Nothing can be stored just now; try again")) from error
        for state, text in _STAYED.items():
            if states[state]:
                messages.warning(request, text % states[state])
        if states["replayed"]:
            messages.info(request, _("%d replayed.") % states["replayed"])
        return back

    count = replay.quarantined(request.actor, found)[: replay.COUNTED + 1].count()
    told = ngettext("%d delivery in quarantine matches.", "%d deliveries in quarantine match.", count) % count
    more = _("The oldest %d of them now; manage.py replay_deliveries takes all.") % replay.AT_ONCE
    return verb(
        request, django_forms.Form(posted(request)), act, title=_("Replay all that match"), button=_("Replay"),
        done=_("Tried again with today's code."), back=back, explained=told if count <= replay.AT_ONCE else f"{told} {more}",
    )  # fmt: skip


_STAYED = {
    "quarantined": _lazy("%d stay in quarantine, with the reason of today."),
    "left": _lazy("%d more match; do it again, or use manage.py replay_deliveries."),
}


@require_safe
@require_capability(READ)
def source_list(request: AuthenticatedRequest) -> HttpResponse:
    """How each source usually speaks, and which are silent."""
    rows = sources_of(request.actor)
    context = {"rows": rows, "several_partners": len({row.partner for row in rows}) > 1}
    return render(request, "deliveries/sources.html", context)


def _filter(request: AuthenticatedRequest) -> DeliveryFilter:
    chosen = DeliveryFilter(request.GET, queryset=pages.deliveries(request.actor), request=request)
    fields = chosen.form.fields
    fields["body"].help_text = _("Exact text, in what came between From and Until: a day at most.")
    for name in ("received_at__gte", "received_at__lt"):
        fields[name].help_text, fields[name].widget.input_type = "", "datetime-local"
    styled(chosen.form)
    return chosen
