"""Pages of playbooks and runs: what runs in which order, what it did, and the switch."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from alerts.access import get_alert_for
from opensoar.errors import Invalid, ServiceError
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from playbooks_engine import pages, services
from playbooks_engine.access import get_playbook_for, get_run_for
from playbooks_engine.models import PlaybookRun

READ, MANAGE, EXECUTE = "playbooks:read", "playbooks:manage", "playbooks:execute"
PAGE_SIZE = 50
MOVING = {PlaybookRun.State.PENDING, PlaybookRun.State.RUNNING, PlaybookRun.State.WAITING}
STOP_POLLING = 286  # htmx's own status


@require_safe
@require_capability(READ)
def playbook_list(request: AuthenticatedRequest) -> HttpResponse:
    """Every playbook in execution order, and the files that cannot be imported."""
    context = {"playbooks": pages.playbooks(request.actor), "broken": pages.broken_files()}
    return render(request, "playbooks/list.html", context)


@require_safe
@require_capability(READ)
def playbook_detail(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """One playbook: its source, its last runs, and the form that runs it by hand."""
    playbook = get_playbook_for(request.actor, pk, READ)
    runs = pages.runs(request.actor).filter(playbook=playbook)[:20]
    return render(request, "playbooks/detail.html", {"playbook": playbook, "runs": runs})


@require_POST
@require_capability(MANAGE)
def switch(request: AuthenticatedRequest, pk: UUID, enabled: bool) -> HttpResponse:
    """On or off."""
    playbook = get_playbook_for(request.actor, pk, MANAGE)
    services.set_enabled(actor=request.actor, playbook=playbook, enabled=enabled)
    messages.success(request, _("Switched on.") if enabled else _("Switched off."))
    return redirect("playbooks:list")


@require_POST
@require_capability(EXECUTE)
def run(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Run it by hand, on an alert or on its input."""
    playbook = get_playbook_for(request.actor, pk, EXECUTE)
    wanted = request.POST.get("alert", "").strip()
    try:
        alert = get_alert_for(request.actor, wanted, "alerts:read") if wanted else None
        value = _json(request.POST.get("input", "").strip())
        started = services.start_run(actor=request.actor, playbook=playbook, alert=alert, input=value)
    except ServiceError as error:
        messages.error(request, error.detail)
        return redirect("playbooks:detail", pk=pk)
    return redirect("runs:detail", pk=started.pk)


def _json(text: str) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        raise Invalid(_('The input must be JSON, such as {"host": "ws-1"}.'), field="input") from None


@require_safe
@require_capability(READ)
def run_list(request: AuthenticatedRequest) -> HttpResponse:
    """Runs, newest first."""
    page = Paginator(pages.runs(request.actor), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "runs/list.html", {"page": page})


@require_safe
@require_capability(READ)
def run_detail(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """One run with every step, while it runs too."""
    shown = get_run_for(request.actor, pk, READ)
    return render(request, "runs/detail.html", _run_context(shown))


@require_safe
@require_capability(READ)
def run_live(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """The part of the run page that changes while it runs; when there is nothing to wait for, the page anew."""
    shown = get_run_for(request.actor, pk, READ)
    if shown.state not in MOVING:
        return HttpResponse(status=STOP_POLLING, headers={"HX-Refresh": "true"})
    return render(request, "runs/detail.html#live", _run_context(shown))


def _run_context(run: PlaybookRun) -> dict[str, Any]:
    return {"run": run, "rows": [run], "steps": pages.steps(run), "moving": run.state in MOVING}


@require_POST
@require_capability(EXECUTE)
def decide(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Answer a run that needs attention."""
    asked = get_run_for(request.actor, pk, EXECUTE)
    try:
        value = _json(request.POST.get("value", "").strip())
        decision = request.POST.get("decision", "")
        services.decide_run(actor=request.actor, run=asked, decision=decision, value=value)
        messages.success(request, _("Decided."))
    except ServiceError as error:
        messages.error(request, error.detail)
    return redirect("runs:detail", pk=pk)
