"""What a claimed sequence does next: start its next run, or resume the one that was running."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db import transaction
from django.db.models import F

from alerts.models import Alert, AlertEntry
from opensoar import clock, timeline
from opensoar.actors import Actor
from playbooks_engine import loader
from playbooks_engine.codec import encode_arguments
from playbooks_engine.journal import Claim, check_fence
from playbooks_engine.models import ActionAttempt, ActionResult, CallOutput, PlaybookRun, Sequence
from playbooks_engine.registry import PlaybookSpec
from playbooks_engine.runner import Call
from playbooks_engine.snapshots import alert_snapshot, incident_snapshot
from playbooks_engine.timeline_kinds import PlaybookStarted


@dataclass(slots=True)
class Job:
    """A run ready to be executed in this process."""

    claim: Claim
    run_id: uuid.UUID
    name: str
    position: int
    total: int
    is_last: bool
    alert_id: uuid.UUID | None
    actor: Actor
    spec: PlaybookSpec | None = None
    subject: Mapping[str, Any] | None = None
    subject_kind: str = "input"  # alert | incident | input
    input: Any = None
    journal: dict[str, Call] = field(default_factory=dict)
    resumed: bool = False
    refusal: str = ""  # why it is not executed at all
    refusal_state: str = "failed"


def next_job(claim: Claim, versions: Mapping[str, uuid.UUID]) -> Job | None:
    """Start or resume the sequence's next run; ``None`` when all of them are final (the sequence is then done).

    ``versions`` maps playbook names to the version that this worker has loaded. Called in a helper thread.

    Raises:
        LostClaim: the sequence is not ours any more.
    """
    with transaction.atomic():
        sequence = Sequence.objects.select_related("incident").get(pk=claim.sequence_id)
        alert = (
            Alert.objects.select_for_update(of=("self",)).get(pk=sequence.alert_id)
            if sequence.alert_id
            else None
        )
        check_fence(claim)
        runs = list(sequence.runs.select_related("playbook", "source").order_by("position"))
        open_runs = [run for run in runs if not run.is_final]
        if not open_runs:
            Sequence.objects.filter(pk=sequence.pk).update(
                state=Sequence.State.DONE, claimed_by=None, finished_at=clock.now()
            )
            return None
        run = open_runs[0]
        actor = Actor(
            kind="playbook", id=run.pk, name=run.playbook.name, partner_ids=frozenset({sequence.partner_id})
        )
        job = Job(
            claim=claim, run_id=run.pk, name=run.playbook.name, position=run.position, total=sequence.total,
            is_last=len(open_runs) == 1, alert_id=sequence.alert_id, actor=actor,
        )  # fmt: skip
        if run.state == PlaybookRun.State.PENDING:
            _start(job, run, sequence, alert, versions)
        else:
            _resume(job, run, sequence)
        return job


def _start(
    job: Job, run: PlaybookRun, sequence: Sequence, alert: Alert | None, versions: Mapping[str, uuid.UUID]
) -> None:
    if run.playbook.missing_since is not None or run.playbook.name not in versions:
        job.refusal = f"The playbook {run.playbook.name!r} is not among the loaded files any more."
        return
    if not run.playbook.enabled:
        job.refusal, job.refusal_state = "The playbook was switched off before its turn came.", "skipped"
        return
    subject = _snapshot(sequence, alert)
    run.source_id = versions[run.playbook.name]
    run.subject = encode_arguments(subject) if subject is not None else None
    run.state = PlaybookRun.State.RUNNING
    run.started_at = clock.now()
    run.save(update_fields=["source", "subject", "state", "started_at"])
    if alert is not None:
        kind = PlaybookStarted(
            playbook=run.playbook.name, run_id=str(run.pk), position=run.position, total=sequence.total
        )
        timeline.record(AlertEntry, alert, timeline.Draft(kind=kind, actor=job.actor))
    _load_source(job, run, sequence)


def _resume(job: Job, run: PlaybookRun, sequence: Sequence) -> None:
    job.resumed = True
    job.journal = load_journal(run)
    _load_source(job, run, sequence)


def _load_source(job: Job, run: PlaybookRun, sequence: Sequence) -> None:
    """The very source the run started with."""
    version = run.source
    assert version is not None
    try:
        registry = loader.load_version(version.sources, version.entry)
        # A run that began under an old name (aliases=) finds it in its own source only by what was declared there.
        declared = registry.playbooks.values()
        job.spec = registry.get(run.playbook.name) or next(
            (spec for spec in declared if spec.function_name == run.playbook.function_name), None
        )
    except loader.LoadError as error:
        job.refusal, job.refusal_state = str(error), "needs_attention"
        return
    if job.spec is None:
        job.refusal = f"The stored source does not declare {run.playbook.name!r}."
        job.refusal_state = "needs_attention"
        return
    job.subject = orjson.loads(run.subject) if run.subject else None
    job.subject_kind = "alert" if sequence.alert_id else "incident" if sequence.incident_id else "input"
    job.input = orjson.loads(run.input) if run.input else None


def _snapshot(sequence: Sequence, alert: Alert | None) -> dict[str, Any] | None:
    if alert is not None:
        return alert_snapshot(alert)
    if sequence.incident is not None:
        return incident_snapshot(sequence.incident)
    return None


def load_journal(run: PlaybookRun) -> dict[str, Call]:
    """What the run did so far, by key."""
    calls = list(ActionResult.objects.filter(run=run))
    outputs = dict(
        CallOutput.objects.filter(pk__in=[c.pk for c in calls if c.large]).values_list("pk", "data")
    )
    failed: dict[uuid.UUID, int] = {}
    last: dict[uuid.UUID, str] = {}
    for attempt in ActionAttempt.objects.filter(call_id__in=[c.pk for c in calls]).order_by(
        "number", F("id")
    ):
        last[attempt.call_id] = attempt.state
        if attempt.state == "failed":
            failed[attempt.call_id] = failed.get(attempt.call_id, 0) + 1
    return {
        call.key: Call(
            id=call.pk, key=call.key, name=call.name, args_digest=bytes(call.args_digest), state=call.state,
            output=outputs.get(call.pk, call.output), error_value=call.error_value, attempts=call.attempts,
            failed_attempts=failed.get(call.pk, 0), interrupted=last.get(call.pk, "started") != "failed",
            decision=call.decision, idempotency_key=call.idempotency_key,
        )
        for call in calls
    }  # fmt: skip
