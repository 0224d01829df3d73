"""The verbs of runs: start, decide, cancel, retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from alerts.models import Alert, AlertEntry
from incidents.models import Incident
from opensoar import clock, timeline
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid, NotAllowed, NotFound
from opensoar.ids import uuid7
from playbooks_engine import bell, lanes
from playbooks_engine.models import (
    LIVE_STATES,
    ActionAttempt,
    ActionResult,
    Approval,
    CallOutput,
    Playbook,
    PlaybookRun,
    Sequence,
)
from playbooks_engine.preparation import cancelled_text
from playbooks_engine.snapshots import alert_snapshot, incident_snapshot
from playbooks_engine.timeline_kinds import RunCancelled, RunDecided
from playbooks_engine.turns import wake

MAX_INPUT_BYTES = 1_000_000


def start_run(
    *,
    actor: Actor,
    playbook: Playbook,
    alert: Alert | None = None,
    incident: Incident | None = None,
    input: Any = None,
) -> PlaybookRun:
    """Queue one run by hand, on an alert, on an incident, or on its input alone.

    Raises:
        NotFound: the playbook's file is gone.
        Conflict: the playbook is switched off.
        NotAllowed: the playbook belongs to another partner than the alert or incident.
        Invalid: the input is not JSON, or too large; or both an alert and an incident are given.
    """
    if alert is not None and incident is not None:
        raise Invalid(_("A run is about an alert or an incident, not both"), field="incident_id")
    if playbook.missing_since is not None:
        raise NotFound(_("Playbook not loaded in registry"))
    if not playbook.enabled:
        raise Conflict(_("The playbook is switched off. Switch it on first."))
    subject = alert or incident
    partner_id = subject.partner_id if subject else playbook.partner_id or _own_partner(actor)
    if playbook.partner_id is not None and playbook.partner_id != partner_id:
        raise NotAllowed(_("Playbook tenant scope does not match alert"))
    sequence = Sequence(
        partner_id=partner_id,
        alert=alert,
        incident=incident,
        event="manual",
        correlation_id=alert.correlation_id if alert else uuid7(),
        priority=playbook.priority,
    )
    if playbook.lane and subject is not None:
        known = alert_snapshot(alert) if alert else incident_snapshot(incident)  # type: ignore[arg-type]
        sequence.lanes = lanes.lanes_of(partner_id, [playbook.lane], known)
    with transaction.atomic():
        return _queue(actor, sequence, PlaybookRun(playbook=playbook, input=_encoded(input)))


def _queue(actor: Actor, sequence: Sequence, run: PlaybookRun) -> PlaybookRun:
    """Store a sequence of one run that somebody asked for."""
    sequence.total, sequence.created_at = 1, clock.now()
    sequence.isolated = run.playbook.isolated_since is not None
    lanes.issue([sequence])
    sequence.save(force_insert=True)
    run.sequence, run.position, run.created_at = sequence, 1, clock.now()
    run.requested_kind, run.requested_by, run.requested_name = actor.kind, actor.id, actor.name
    run.save(force_insert=True)
    transaction.on_commit(bell.ring, robust=True)
    return run


def _encoded(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        raise Invalid(_("The input must be JSON."), field="input_data") from None
    if len(text) > MAX_INPUT_BYTES:
        raise Invalid(_("The input is larger than 1 MB."), field="input_data")
    return text


def _own_partner(actor: Actor) -> Any:
    """Whose run it is when it is about nothing: the actor's only partner, else the default one."""
    if actor.partner_ids is None or DEFAULT_PARTNER_ID in actor.partner_ids:
        return DEFAULT_PARTNER_ID
    return min(actor.partner_ids)


@dataclass(slots=True)
class _Locked:
    """A run with its sequence, the sequence's runs and its alert, locked in the order that everybody keeps."""

    alert: Alert | None
    sequence: Sequence
    runs: list[PlaybookRun]
    run: PlaybookRun

    @property
    def open_runs(self) -> list[PlaybookRun]:
        return [run for run in self.runs if not run.is_final]

    def record(self, kind: timeline.Kind, actor: Actor) -> None:
        if self.alert is not None:
            timeline.record(AlertEntry, self.alert, timeline.Draft(kind=kind, actor=actor))


def _lock(run: PlaybookRun) -> _Locked:
    found = Sequence.objects.get(pk=run.sequence_id)
    alert = Alert.objects.select_for_update(of=("self",)).get(pk=found.alert_id) if found.alert_id else None
    lanes.lock(found.lanes)
    sequence = Sequence.objects.select_for_update(of=("self",)).get(pk=found.pk)
    runs = list(sequence.runs.select_for_update(of=("self",)).select_related("playbook").order_by("position"))
    return _Locked(alert, sequence, runs, next(row for row in runs if row.pk == run.pk))


def decide_run(*, actor: Actor, run: PlaybookRun, decision: str, value: Any = None) -> PlaybookRun:
    """Answer a run that needs attention.

    ``done``: the call happened, ``value`` is its result. ``not_done``: it did not happen, make it. ``again``: make it
    once more, or run on. ``cancel``: end this run; the next in order goes on.

    Raises:
        Conflict: the run asks nothing (any more).
        Invalid: an answer that its question does not take.
    """
    with transaction.atomic():
        locked = _lock(run)
        if locked.run.state != PlaybookRun.State.NEEDS_ATTENTION:
            raise Conflict(_("This run does not ask anything (any more)."))
        question = locked.run.question or {}
        if decision not in question.get("choices", []):
            allowed = ", ".join(question.get("choices", []))
            raise Invalid(
                _("Invalid decision. Must be one of: %(allowed)s") % {"allowed": allowed}, field="decision"
            )
        if decision == "cancel":
            _end_cancelled(locked.run, actor)
        else:
            if question.get("call_id"):
                _answer_call(question["call_id"], decision, value)
            begun = locked.run.started_at is not None
            PlaybookRun.objects.filter(pk=run.pk).update(
                state=PlaybookRun.State.RUNNING if begun else PlaybookRun.State.PENDING,
                question=None,
                deaths=0,
            )
        _go_on(locked, wakes=True)
        name = (question.get("detail") or {}).get("name")
        locked.record(
            RunDecided(playbook=locked.run.playbook.name, run_id=str(run.pk), call=name, decision=decision),
            actor,
        )
        _audit(actor, "run_decided", run, decision=decision)
    return PlaybookRun.objects.with_related().get(pk=run.pk)


def _answer_call(call_id: str, decision: str, value: Any) -> None:
    if decision != "done":
        ActionResult.objects.filter(pk=call_id).update(decision=decision)
        return
    now = clock.now()
    ActionResult.objects.filter(pk=call_id).update(
        state=ActionResult.State.SUCCESS, output=_encoded(value) or "null", finished_at=now, decision=decision
    )
    ActionAttempt.objects.filter(call_id=call_id, state="unknown").update(state="success", finished_at=now)


def cancel_run(*, actor: Actor, run: PlaybookRun, whole_sequence: bool = False) -> PlaybookRun:
    """Cancel a run, or with it every other run of its sequence that has not ended.

    What is pending or waits ends at once. What runs ends at its next call, or at once where a call is awaited; the
    call it interrupts is unknown and never made again.

    Raises:
        Conflict: nothing of it is left to cancel.
    """
    with transaction.atomic():
        locked = _lock(run)
        targets = [row for row in locked.open_runs if whole_sequence or row.pk == run.pk]
        if not targets:
            raise Conflict(_("This run has ended."))
        waited = any(target.state in LIVE_STATES for target in targets)
        for target in targets:
            if target.state == PlaybookRun.State.RUNNING:
                target.cancel_requested_at, target.cancelled_by = clock.now(), actor.name
                target.save(update_fields=["cancel_requested_at", "cancelled_by"])
            else:
                _end_cancelled(target, actor)
            locked.record(RunCancelled(playbook=target.playbook.name, run_id=str(target.pk)), actor)
        _go_on(locked, wakes=waited)
        _audit(actor, "run_cancelled", run, whole_sequence=whole_sequence)
    return PlaybookRun.objects.with_related().get(pk=run.pk)


def _end_cancelled(run: PlaybookRun, actor: Actor) -> None:
    calls = run.calls.filter(state=ActionResult.State.STARTED)
    ActionAttempt.objects.filter(call_id__in=calls.values("pk"), state="started").update(state="unknown")
    calls.update(state=ActionResult.State.UNKNOWN)
    run.approvals.filter(state=Approval.State.PENDING).update(state=Approval.State.CANCELLED)
    run.state, run.question, run.finished_at = PlaybookRun.State.CANCELLED, None, clock.now()
    run.error = cancelled_text(actor.name)
    run.cancelled_by = actor.name
    run.save(update_fields=["state", "question", "finished_at", "error", "cancelled_by"])


def _go_on(locked: _Locked, *, wakes: bool) -> None:
    """After a run of a sequence that no worker holds was decided: its next is ready, or it has ended.

    ``wakes``: what the sequence waits for is over; else it goes on waiting, for its turn in a lane, say.
    """
    sequence = locked.sequence
    if sequence.state == Sequence.State.RUNNING:
        return
    if not locked.open_runs:
        cancelled = all(run.state == PlaybookRun.State.CANCELLED for run in locked.runs)
        sequence.state = Sequence.State.CANCELLED if cancelled else Sequence.State.DONE
        sequence.finished_at, sequence.wake_at = clock.now(), None
        sequence.save(update_fields=["state", "finished_at", "wake_at"])
        lanes.leave([(sequence.pk, sequence.lanes)])
    elif wakes:
        wake([sequence])
    transaction.on_commit(bell.ring, robust=True)


def retry_run(*, actor: Actor, run: PlaybookRun, current_source: bool = False) -> PlaybookRun:
    """Run a failed or cancelled run once more, from the step that failed: what it had finished is not done again.

    The new run has the same input and the same source, or with ``current_source`` the source as it is now; where that
    calls other things than were recorded, the run stops and asks.

    Raises:
        Conflict: the run has not failed; its playbook is switched off, or its file is gone.
    """
    if run.state not in (PlaybookRun.State.FAILED, PlaybookRun.State.CANCELLED):
        raise Conflict(_("Only a failed or cancelled run can be retried."))
    playbook, before = Playbook.objects.get(pk=run.playbook_id), run.sequence
    if not playbook.is_runnable:
        raise Conflict(_("The playbook is switched off, or its file is gone."))
    source_id = playbook.current_id if current_source else run.source_id
    with transaction.atomic():
        sequence = Sequence(
            partner_id=before.partner_id, alert_id=before.alert_id, incident_id=before.incident_id,
            observable_id=before.observable_id, event="retry", correlation_id=before.correlation_id,
            priority=playbook.priority, lanes=[lane for lane in before.lanes if f":{playbook.lane}=" in lane],
        )  # fmt: skip
        again = _queue(
            actor, sequence,
            PlaybookRun(
                playbook=playbook, source_id=source_id, subject=run.subject, input=run.input, retry_of=run
            ),
        )  # fmt: skip
        _copy_journal(run, again)
        _audit(actor, "run_retried", run, retry=str(again.pk))
    return again


def _copy_journal(old: PlaybookRun, new: PlaybookRun) -> None:
    """What ``old`` had finished, but for the calls it failed with and what these had called.

    An action that it left under way may have happened: it is verified, asked about or marked as a repeat, as ever.
    """
    taken = Q(state__in=["success", "failed"]) | Q(state="unknown", kind="action")
    calls = list(old.calls.filter(taken).order_by("id"))
    open_again = tuple(call.key for call in calls if call.ended_run)
    inside = tuple(f"{key}/" for key in open_again)
    kept = [call for call in calls if call.key not in open_again and not call.key.startswith(inside)]
    large = dict(
        CallOutput.objects.filter(pk__in=[call.pk for call in kept if call.large]).values_list("pk", "data")
    )
    outputs = []
    for call in kept:
        data = large.get(call.pk)
        call.pk, call.run = uuid7(), new
        if data is not None:
            outputs.append(CallOutput(id=call.pk, data=data))
    ActionResult.objects.bulk_create(kept)
    CallOutput.objects.bulk_create(outputs)


def _audit(actor: Actor, action: str, run: PlaybookRun, **detail: Any) -> None:
    audit(actor=actor, action=action, object_kind="run", object_id=str(run.pk), detail=detail)
