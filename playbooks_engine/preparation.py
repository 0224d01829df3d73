"""What a claimed sequence does next: start its next run, or resume the one that was under way."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import F

from alerts.models import Alert, AlertEntry
from opensoar import clock, timeline
from opensoar.actors import Actor
from playbooks_engine import lanes, loader
from playbooks_engine.codec import encode_arguments
from playbooks_engine.journal import Claim, check_fence
from playbooks_engine.models import ActionAttempt, ActionResult, CallOutput, PlaybookRun, Sequence
from playbooks_engine.registry import PlaybookSpec
from playbooks_engine.run_parts import Call, Question
from playbooks_engine.secrets import secrets_for
from playbooks_engine.snapshots import alert_snapshot, incident_snapshot, observable_snapshot
from playbooks_engine.timeline_kinds import PlaybookStarted

DEATHS = 3  # of its worker process, after which a run is not tried again without a person
SLOTS_LOCK = 7_041_003  # pg_advisory_xact_lock, with the playbook: who starts looks at a count that stands
SLOT_SECONDS = 1.0  # between two looks for a free slot (max_concurrent=)


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
    incident_id: uuid.UUID | None
    partner_id: uuid.UUID
    lanes: tuple[str, ...]
    actor: Actor
    spec: PlaybookSpec | None = None
    subject: Mapping[str, Any] | None = None
    subject_kind: str = "input"  # alert | incident | observable | input
    input: Any = None
    journal: dict[str, Call] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    deadline: datetime | None = None  # when its timeout is over
    resumed: bool = False
    refusal: str = ""  # why it is not executed at all
    refusal_state: str = "failed"
    question: Question | None = None  # it needs a person before it goes on
    no_slot: bool = False  # as many of its playbook run as may: look again in a moment


def next_job(claim: Claim, versions: Mapping[str, uuid.UUID]) -> Job | None:
    """Start or resume the sequence's next run; ``None`` when all of them are final (the sequence is then done).

    ``versions`` maps playbook names to the version that this worker has loaded. Called in a helper thread.

    Raises:
        LostClaim: the sequence is not ours any more.
    """
    with transaction.atomic():
        sequence = Sequence.objects.select_related("incident", "observable").get(pk=claim.sequence_id)
        alert = (
            Alert.objects.select_for_update(of=("self",)).get(pk=sequence.alert_id)
            if sequence.alert_id
            else None
        )
        lanes.lock(sequence.lanes)
        check_fence(claim)
        runs = list(sequence.runs.select_related("playbook", "source").order_by("position"))
        open_runs = [run for run in runs if not run.is_final]
        if not open_runs:
            state = Sequence.State.DONE
            if all(run.state == PlaybookRun.State.CANCELLED for run in runs):
                state = Sequence.State.CANCELLED
            Sequence.objects.filter(pk=sequence.pk).update(
                state=state, claimed_by=None, finished_at=clock.now()
            )
            lanes.leave([(sequence.pk, sequence.lanes)])
            return None
        run = open_runs[0]
        actor = Actor(
            kind="playbook", id=run.pk, name=run.playbook.name, partner_ids=frozenset({sequence.partner_id})
        )
        job = Job(
            claim=claim, run_id=run.pk, name=run.playbook.name, position=run.position, total=sequence.total,
            is_last=len(open_runs) == 1, alert_id=sequence.alert_id, incident_id=sequence.incident_id,
            partner_id=sequence.partner_id, lanes=tuple(sequence.lanes), actor=actor,
        )  # fmt: skip
        if run.cancel_requested_at is not None:
            job.refusal, job.refusal_state = cancelled_text(run.cancelled_by), PlaybookRun.State.CANCELLED
        elif run.state == PlaybookRun.State.PENDING:
            _start(job, run, sequence, alert, versions)
        else:
            _resume(job, run, sequence)
        return job


def cancelled_text(name: str) -> str:
    """What a cancelled run says of itself."""
    return f"Cancelled by {name or 'a person'}."


def _start(
    job: Job, run: PlaybookRun, sequence: Sequence, alert: Alert | None, versions: Mapping[str, uuid.UUID]
) -> None:
    name = run.playbook.name
    if run.source is None:
        if run.playbook.missing_since is not None or name not in versions:
            job.refusal = f"The playbook {name!r} is not among the loaded files any more."
            return
        if not run.playbook.enabled:
            job.refusal, job.refusal_state = "The playbook was switched off before its turn came.", "skipped"
            return
        run.source_id = versions[name]
    if not _load_source(job, run, sequence) or not _take_slot(job, run):
        return
    if run.subject is None:  # a retry brings its own
        subject = _snapshot(sequence, alert)
        run.subject = encode_arguments(subject) if subject is not None else None
    run.state = PlaybookRun.State.RUNNING
    run.started_at = clock.now()
    run.save(update_fields=["source", "subject", "state", "started_at"])
    if alert is not None:
        kind = PlaybookStarted(playbook=name, run_id=str(run.pk), position=run.position, total=sequence.total)
        timeline.record(AlertEntry, alert, timeline.Draft(kind=kind, actor=job.actor))
    if run.retry_of_id is not None:
        job.journal = load_journal(run)
    _pass_on(job, run)


def _resume(job: Job, run: PlaybookRun, sequence: Sequence) -> None:
    job.resumed = True
    if run.deaths >= DEATHS:
        job.question = Question(
            reason="worker_died",
            text=f"The worker ended {run.deaths} times while this run was under way. It may use too much memory, block "
            "or crash the interpreter, so it is not tried again without you.",
            choices=("again", "cancel"),
        )
        return
    if not _load_source(job, run, sequence):
        return
    if run.state == PlaybookRun.State.WAITING:
        if not _take_slot(job, run):
            return
        run.state = PlaybookRun.State.RUNNING
        run.save(update_fields=["state"])
    job.journal = load_journal(run)
    _pass_on(job, run)


def _pass_on(job: Job, run: PlaybookRun) -> None:
    """What the executing side gets of the run's row."""
    assert job.spec is not None
    job.subject = orjson.loads(run.subject) if run.subject else None
    job.input = orjson.loads(run.input) if run.input else None
    if job.spec.timeout is not None and run.started_at is not None:
        job.deadline = run.started_at + timedelta(seconds=job.spec.timeout)
    if run.source is not None and _mentions_secrets(
        run.source.source_hash, tuple(run.source.sources.values())
    ):
        job.secrets = secrets_for(job.partner_id)


@lru_cache(maxsize=256)
def _mentions_secrets(_source_hash: str, texts: tuple[str, ...]) -> bool:
    return any("secret" in text for text in texts)


def _take_slot(job: Job, run: PlaybookRun) -> bool:
    """Whether one more run of its playbook may be under way (``max_concurrent=``)."""
    assert job.spec is not None
    if job.spec.max_concurrent is None:
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (SLOTS_LOCK, str(run.playbook_id)))
    running = PlaybookRun.objects.filter(playbook=run.playbook_id, state=PlaybookRun.State.RUNNING)
    job.no_slot = running.exclude(pk=run.pk).count() >= job.spec.max_concurrent
    return not job.no_slot


def _load_source(job: Job, run: PlaybookRun, sequence: Sequence) -> bool:
    """The very source the run started with."""
    version = run.source
    assert version is not None
    try:
        registry = loader.load_version(version.sources, version.entry)
    except loader.LoadError as error:
        job.refusal, job.refusal_state = str(error), "needs_attention"
        return False
    # A run that began under an old name (aliases=) finds it in its own source only by what was declared there.
    declared = registry.playbooks.values()
    job.spec = registry.get(run.playbook.name) or next(
        (spec for spec in declared if spec.function_name == run.playbook.function_name), None
    )
    if job.spec is None:
        job.refusal = f"The stored source does not declare {run.playbook.name!r}."
        job.refusal_state = "needs_attention"
        return False
    kinds = {
        "alert": sequence.alert_id,
        "incident": sequence.incident_id,
        "observable": sequence.observable_id,
    }
    job.subject_kind = next((kind for kind, found in kinds.items() if found), "input")
    return True


def _snapshot(sequence: Sequence, alert: Alert | None) -> dict[str, Any] | None:
    if alert is not None:
        return alert_snapshot(alert)
    if sequence.incident is not None:
        return incident_snapshot(sequence.incident)
    return observable_snapshot(sequence.observable) if sequence.observable is not None else None


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
            decision=call.decision, idempotency_key=call.idempotency_key, wake_at=call.wake_at,
        )
        for call in calls
    }  # fmt: skip
