"""Pages of playbooks and runs: what runs in which order, what it did, and the switch."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms as django_forms
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts.access import get_alert_for
from alerts.models import Alert
from alerts.views.pages import fresh as fresh_alert
from incidents.access import get_incident_for
from incidents.models import Incident
from incidents.views.pages import fresh as fresh_incident
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability
from opensoar.web.live import poll, stamped
from opensoar.web.paging import page_of
from opensoar.web.verbs import posted, verb
from playbooks_engine import forms, pages, run_page, services
from playbooks_engine.access import get_approval_for, get_playbook_for, get_run_for
from playbooks_engine.models import PlaybookRun

STOP_POLLING = 286  # htmx's own status
READ, MANAGE, EXECUTE = "playbooks:read", "playbooks:manage", "playbooks:execute"
DECIDE = "approvals:decide"


@require_safe
@require_capability(READ)
def playbook_list(request: AuthenticatedRequest) -> HttpResponse:
    """Every playbook in execution order, and the files that cannot be imported."""
    return render(request, "playbooks/list.html", _list_context(request))


def _list_context(request: AuthenticatedRequest) -> dict[str, Any]:
    return {"playbooks": pages.playbooks(request.actor), "broken": pages.broken_files()}


@require_safe
@require_capability(READ)
def playbook_detail(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """One playbook: its source and its last runs."""
    playbook = get_playbook_for(request.actor, pk, READ)
    rows = pages.runs(request.actor).filter(playbook=playbook)[:20]
    return render(request, "playbooks/detail.html", {"playbook": playbook, "runs": rows})


@require_POST
@require_capability(MANAGE)
def switch(request: AuthenticatedRequest, pk: UUID, enabled: bool) -> HttpResponse:
    """On or off."""
    playbook = get_playbook_for(request.actor, pk, MANAGE)

    def act(_data: dict[str, Any]) -> None:
        services.set_enabled(actor=request.actor, playbook=playbook, enabled=enabled)

    def fresh() -> HttpResponse:
        return render(request, "playbooks/list.html#live", {"oob": True, **_list_context(request)})

    done = _("%s is switched on.") if enabled else _("%s is switched off.")
    return verb(
        request, django_forms.Form(request.POST), act, back=reverse("playbooks:list"), fresh=fresh,
        title=_("Switch"), button=_("Switch"), done=done % playbook.name,
    )  # fmt: skip


@require_POST
@require_capability(MANAGE)
def reload(request: AuthenticatedRequest) -> HttpResponse:
    """Have every worker load the files anew."""

    def act(_data: dict[str, Any]) -> str:
        services.request_reload()
        return reverse("playbooks:list")

    return verb(
        request, django_forms.Form(request.POST), act, back=reverse("playbooks:list"),
        title=_("Reload"), button=_("Reload"), done=_("The workers load the files anew."),
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability(EXECUTE)
def start(request: AuthenticatedRequest) -> HttpResponse:
    """Run a playbook by hand: on an alert, on an incident, or on its input alone."""
    alert, incident = _subject(request)
    subject = alert or incident
    playbooks = pages.runnable(request.actor, subject.partner_id if subject else None)
    form = forms.RunForm(
        posted(request), playbooks=playbooks, initial={"playbook": request.GET.get("playbook", "")}
    )
    started: list[PlaybookRun] = []

    def act(data: dict[str, Any]) -> str | None:
        playbook = get_playbook_for(request.actor, data["playbook"], EXECUTE)
        started.append(
            services.start_run(
                actor=request.actor, playbook=playbook, alert=alert, incident=incident, input=data["input"]
            )
        )
        return None if request.htmx and subject else reverse("runs:detail", args=[started[0].pk])

    def fresh() -> HttpResponse:
        return fresh_alert(request, alert) if alert else fresh_incident(request, incident)  # type: ignore[arg-type]

    note = _("On %(subject)s") % {"subject": incident or alert.title[:60]} if subject else ""  # type: ignore[union-attr]
    return verb(
        request, form, act, back=_back(alert, incident), fresh=fresh if subject else None, note=note,
        title=_("Run playbook"), button=_("Run playbook"), done=_("The run is queued."),
    )  # fmt: skip


def _subject(request: AuthenticatedRequest) -> tuple[Alert | None, Incident | None]:
    alert, incident = request.GET.get("alert"), request.GET.get("incident")
    return (
        get_alert_for(request.actor, alert, "alerts:read") if alert else None,
        get_incident_for(request.actor, incident, "incidents:read") if incident else None,
    )


def _back(alert: Alert | None, incident: Incident | None) -> str:
    if alert is not None:
        return reverse("alerts:detail", args=[alert.pk])
    return reverse("incidents:detail", args=[incident.number]) if incident else reverse("playbooks:list")


@require_safe
@require_capability(READ)
def run_list(request: AuthenticatedRequest) -> HttpResponse:
    """Runs, newest first; ``?state=``, ``?playbook=``, ``?alert=``, ``?incident=`` narrow them."""
    found = pages.runs(request.actor)
    states = [state for state in request.GET.getlist("state") if state in PlaybookRun.State.values]
    if states:
        found = found.filter(state__in=states)
    if name := request.GET.get("playbook"):
        found = found.filter(playbook__name=name)
    alert, incident = _subject(request)
    if alert or incident:
        found = found.filter(sequence__alert=alert) if alert else found.filter(sequence__incident=incident)
    names = pages.names(request.actor)
    context = {
        "page": page_of(request, found),
        "states": PlaybookRun.State.choices,
        "chosen": states,
        "names": names,
        "name": name,
        "about": alert or incident,
    }
    return render(request, "runs/list.html", context)


@require_safe
@require_capability(READ)
def panel(request: AuthenticatedRequest) -> HttpResponse:
    """The newest runs on ``?alert=`` or ``?incident=``, for their pages."""
    alert, incident = _subject(request)
    return render(
        request, "runs/_panel_rows.html", pages.panel(request.actor, alert=alert, incident=incident)
    )


@require_safe
@require_capability(READ)
def run_detail(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """One run with every step, while it runs too."""
    name = "runs/detail.html#step" if request.htmx and "step" in request.GET else "runs/detail.html"
    return render(request, name, _run_context(request, pk))


@require_safe
@require_capability(READ)
def run_live(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """The parts of the run page that change while it runs."""
    run = get_run_for(request.actor, pk, READ)
    response = poll(request, run_page.watch_run(request.actor, pk), lambda: _fresh_run(request, pk))
    if run.is_final:
        response.status_code = STOP_POLLING
    return response


def _fresh_run(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    context = _run_context(request, pk)
    return stamped(render(request, "runs/detail.html#live", {"oob": True, **context}), context["seen"])


def _run_context(request: AuthenticatedRequest, pk: UUID) -> dict[str, Any]:
    now = run_page.watch_run(request.actor, pk)  # first: what happens meanwhile, the next poll tells
    run = get_run_for(request.actor, pk, READ)
    steps, sequence = run_page.steps(run), run_page.sequence_of(run)
    asks, answered = run_page.approvals(run)
    return {
        "run": run,
        "asks": asks,
        "is_own": run.was_started_by(request.actor),
        "answered": answered,
        "waiting": run_page.waiting(run, sequence, asks),
        "retries": run.retries.order_by("id"),
        "steps": steps,
        "axis": run_page.axis(run, steps),
        "done": sum(step.call.state == "success" for step in steps),
        "step": run_page.detail(run, request.GET.get("step", ""), steps),
        "sequence": sequence,
        "logs": run_page.logs(run),
        "input": run_page.readable(run.input),
        "result": run_page.readable(run.result),
        "seen": now.seen,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability(EXECUTE)
def decide(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Answer a run that needs attention: ``?decision=`` says which answer is to be confirmed."""
    run = get_run_for(request.actor, pk, EXECUTE)
    decision = request.POST.get("decision", request.GET.get("decision", ""))
    form_class = forms.DoneForm if decision == "done" else forms.DecideForm
    form = form_class(posted(request), initial={"decision": decision})
    title, button = forms.decision_texts().get(decision, (_("Decide"), _("Decide")))

    def act(data: dict[str, Any]) -> None:
        services.decide_run(actor=request.actor, run=run, **data)

    def fresh() -> HttpResponse:
        return _fresh_run(request, pk)

    return verb(
        request, form, act, back=reverse("runs:detail", args=[pk]), fresh=fresh,
        title=title, button=button, done=f"{button}.", ask=request.method == "GET",
        explained=(run.question or {}).get("text", ""), fields_template="runs/_decide_fields.html",
        keep=_("Not now"),
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability(EXECUTE)
def cancel(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Cancel a run, or the rest of its sequence with it."""
    run = get_run_for(request.actor, pk, EXECUTE)
    form = forms.CancelForm(posted(request), alone=run.sequence.total == 1)

    ends = _("It ends at once. Nothing that it did is undone.")
    interrupted = _(
        "What is under way is interrupted; its outcome stays unknown, and it is not made again. "
        "Nothing that it did is undone."
    )

    def act(data: dict[str, Any]) -> None:
        services.cancel_run(actor=request.actor, run=run, **data)

    return verb(
        request, form, act, back=reverse("runs:detail", args=[pk]), fresh=lambda: _fresh_run(request, pk),
        title=_("Cancel run"), button=_("Cancel run"), done=_("The run is cancelled."), note=run.playbook.name,
        keep=_("Keep it"), explained=interrupted if run.state == PlaybookRun.State.RUNNING else ends,
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability(EXECUTE)
def retry(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Run a failed run once more, from the step that failed."""
    run = get_run_for(request.actor, pk, EXECUTE)
    form = forms.RetryForm(posted(request))

    def act(data: dict[str, Any]) -> str:
        again = services.retry_run(actor=request.actor, run=run, **data)
        return reverse("runs:detail", args=[again.pk])

    return verb(
        request, form, act, back=reverse("runs:detail", args=[pk]), title=_("Retry run"), button=_("Retry"),
        note=run.playbook.name, done=_("The run is queued once more."), explained=_("What it had finished is not done again."),
    )  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@require_capability(DECIDE)
def approve(request: AuthenticatedRequest, pk: UUID) -> HttpResponse:
    """Approve or deny what a run asks: ``?decision=`` says which."""
    approval = get_approval_for(request.actor, pk, DECIDE)
    yes = request.POST.get("decision", request.GET.get("decision", "")) != "deny"
    form = forms.ApprovalForm(posted(request), initial={"decision": "approve" if yes else "deny"})

    def act(data: dict[str, Any]) -> None:
        services.decide_approval(
            actor=request.actor,
            approval=approval,
            approve=data["decision"] == "approve",
            comment=data["comment"],
        )

    return verb(
        request, form, act, back=reverse("runs:detail", args=[approval.run_id]),
        fresh=lambda: _fresh_run(request, approval.run_id),
        title=_("Approve") if yes else _("Deny"), button=_("Approve") if yes else _("Deny"),
        done=_("Approved.") if yes else _("Denied."), note=approval.run.playbook.name,
        asked=run_page.asked(approval), fields_template="runs/_approval_fields.html",
    )  # fmt: skip
