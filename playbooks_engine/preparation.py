"""What a claimed sequence does next: start its next run, or resume the one that was under way."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg
from django.db import connection, transaction
from django.db.models import F

from alerts.models import Alert, AlertEntry
from opensoar import clock, timeline
from opensoar.actors import Actor
from playbooks_engine import lanes, loader
from playbooks_engine.codec import encode_arguments
from playbooks_engine.journal import Claim, held_claims
from playbooks_engine.masking import Secrets
from playbooks_engine.models import (
    ActionAttempt,
    ActionResult,
    CallOutput,
    PlaybookRun,
    PlaybookVersion,
    Sequence,
)
from playbooks_engine.registry import PlaybookSpec, Registry
from playbooks_engine.run_parts import Call, Question
from playbooks_engine.secrets import secrets_for
from playbooks_engine.snapshots import (
    alert_snapshot,
    incident_snapshot,
    observable_snapshot,
    read_for_snapshots,
)
from playbooks_engine.timeline_kinds import PlaybookStarted

DEATHS = 3  # of its worker process, after which a run is not tried again without a person
SLOTS_LOCK = 7_041_003  # pg_advisory_xact_lock, with the playbook: who starts looks at a count that stands
# Between two looks for a free slot (max_concurrent=), longer each time: who gives one up wakes who waits longest.
SLOT_SECONDS, MAX_SLOT_SECONDS = 1.0, 30.0
# Written out, because to compile them takes longer than to answer them, and the first action of every alert waits.
SEQUENCES = "SELECT * FROM playbooks_engine_sequence WHERE id = ANY(%s)"
ALERTS = "SELECT * FROM alerts_alert WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
UNUSED = (
    "result", "traceback", "question", "playbook__description", "playbook__conditions", "playbook__module_path",
    "playbook__trigger", "playbook__cron", "playbook__created_at", "playbook__updated_at",
)  # fmt: skip
START = """
UPDATE playbooks_engine_playbookrun SET state = %s, started_at = %s, source_id = %s, subject = %s WHERE id = %s"""


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
    playbook_id: uuid.UUID
    claims: int  # of its sequence so far
    lanes: tuple[str, ...]
    actor: Actor
    spec: PlaybookSpec | None = None
    subject: Mapping[str, Any] | None = None
    subject_kind: str = "input"  # alert | incident | observable | input
    input: Any = None
    journal: dict[str, Call] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=lambda: Secrets({}))
    mentions_secrets: bool = False
    deadline: datetime | None = None  # when its timeout is over
    resumed: bool = False
    refusal: str = ""  # why it is not executed at all
    refusal_state: str = "failed"
    question: Question | None = None  # it needs a person before it goes on
    no_slot: bool = False  # as many of its playbook run as may: look again in a moment


class NotLoaded(Exception):
    """A version that this process has not executed yet."""

    def __init__(self, version_id: uuid.UUID) -> None:
        super().__init__(str(version_id))
        self.version_id = version_id


#: What versions declare, and whether their sources mention secrets; versions never change.
_loaded: dict[uuid.UUID, tuple[Registry, bool]] = {}
MAX_LOADED = 256


def _load(version_id: uuid.UUID, failed: dict[uuid.UUID, loader.LoadError]) -> None:
    version = PlaybookVersion.objects.get(pk=version_id)
    mentions = any("secret" in text for text in version.sources.values())
    try:
        registry = loader.load_version(version.sources, version.entry)
    except loader.LoadError as error:
        failed[version_id] = error
        return
    while len(_loaded) >= MAX_LOADED:
        del _loaded[next(iter(_loaded))]
    _loaded[version_id] = (registry, mentions)


def next_jobs(claims: Iterable[Claim], versions: Mapping[str, uuid.UUID]) -> dict[Claim, Job | None]:
    """Start or resume the next run of each sequence; ``None`` when all of its runs are final (it is then done).

    ``versions`` maps playbook names to the version that this worker has loaded. A claim that is not ours any more is
    left out. A fixed number of queries for whatever starts; what resumes reads its own journal.
    """
    claims = list(claims)
    failed: dict[uuid.UUID, loader.LoadError] = {}
    while True:
        try:
            return _next_jobs(claims, versions, failed)
        except NotLoaded as error:  # executed here, where nothing is locked: it is its author's code
            _load(error.version_id, failed)


def _next_jobs(
    claims: list[Claim], versions: Mapping[str, uuid.UUID], failed: Mapping[uuid.UUID, loader.LoadError]
) -> dict[Claim, Job | None]:
    with transaction.atomic():
        asked = [claim.sequence_id for claim in claims]
        sequences = {sequence.pk: sequence for sequence in Sequence.objects.raw(SEQUENCES, [asked])}
        alerts = _locked_alerts(sequences.values())
        lanes.lock(lane for sequence in sequences.values() for lane in sequence.lanes)
        held = held_claims(claims)
        by_sequence: dict[uuid.UUID, list[PlaybookRun]] = {}
        for run in (
            PlaybookRun.objects.filter(sequence_id__in=[claim.sequence_id for claim in held])
            .select_related("playbook")
            .defer(*UNUSED)
            .order_by("sequence_id", "position")
        ):
            by_sequence.setdefault(run.sequence_id, []).append(run)
        batch = _Batch(versions, alerts, failed)
        jobs = {
            claim: batch.next_of(claim, sequences[claim.sequence_id], by_sequence[claim.sequence_id])
            for claim in sorted(held, key=lambda claim: _next_playbook(by_sequence[claim.sequence_id]))
        }
        batch.store()
        return jobs


def _next_playbook(runs: Iterable[PlaybookRun]) -> str:
    """By which claims are taken in one order everywhere: slots are locked by playbook."""
    return next((str(run.playbook_id) for run in runs if not run.is_final), "")


def _locked_alerts(sequences: Iterable[Sequence]) -> dict[uuid.UUID, Alert]:
    """The sequences' alerts, locked in order (without joins, see alerts.services.locks), with what snapshots need."""
    ids = {sequence.alert_id for sequence in sequences if sequence.alert_id}
    if not ids:
        return {}
    rows = list(Alert.objects.raw(ALERTS, [list(ids)]))
    read_for_snapshots(rows)
    return {alert.pk: alert for alert in rows}


class _Batch:
    """Runs that start or resume together: their rows are written at the end, in few statements."""

    def __init__(
        self, versions: Mapping[str, uuid.UUID], alerts: Mapping[uuid.UUID, Alert],
        failed: Mapping[uuid.UUID, loader.LoadError],
    ) -> None:  # fmt: skip
        self._versions = versions
        self._alerts = alerts
        self._failed = failed  # versions that cannot be loaded
        self._started: list[PlaybookRun] = []
        self._resumed: list[uuid.UUID] = []
        self._slots: Counter[uuid.UUID] = Counter()  # taken in this batch, by playbook; not in the table yet
        self._entries: list[tuple[Alert, timeline.Draft]] = []
        self._replayed: dict[uuid.UUID, Job] = {}  # by run: what they did so far is read for all at once

    def next_of(self, claim: Claim, sequence: Sequence, runs: list[PlaybookRun]) -> Job | None:
        """What the sequence does next."""
        open_runs = [run for run in runs if not run.is_final]
        if not open_runs:
            _finish(sequence, runs)
            return None
        run = open_runs[0]
        actor = Actor(
            kind="playbook", id=run.pk, name=run.playbook.name, partner_ids=frozenset({sequence.partner_id})
        )
        job = Job(
            claim=claim, run_id=run.pk, name=run.playbook.name, position=run.position, total=sequence.total,
            is_last=len(open_runs) == 1, alert_id=sequence.alert_id, incident_id=sequence.incident_id,
            partner_id=sequence.partner_id, playbook_id=run.playbook_id, claims=sequence.claims,
            lanes=tuple(sequence.lanes), actor=actor,
        )  # fmt: skip
        if run.cancel_requested_at is not None:
            job.refusal, job.refusal_state = cancelled_text(run.cancelled_by), PlaybookRun.State.CANCELLED
        elif run.deaths >= DEATHS:
            job.question = Question(
                reason="worker_died",
                text=f"Tried {run.deaths} times: its worker ended while this run was under way, or it could not be "
                "started or carried on (the worker's log says why). It may use too much memory, block or crash the "
                "interpreter, so it is not tried again without you.",
                choices=("again", "cancel"),
            )
        elif run.state == PlaybookRun.State.PENDING:
            self._start(job, run, sequence)
        else:
            self._resume(job, run, sequence)
        return job

    def _start(self, job: Job, run: PlaybookRun, sequence: Sequence) -> None:
        name = run.playbook.name
        if run.source_id is None:
            if run.playbook.missing_since is not None or name not in self._versions:
                job.refusal = f"The playbook {name!r} is not among the loaded files any more."
                return
            if not run.playbook.enabled:
                job.refusal = "The playbook was switched off before its turn came."
                job.refusal_state = "skipped"
                return
            run.source_id = self._versions[name]
        if not self._load_source(job, run, sequence) or not self._take_slot(job, run):
            return
        alert = self._alerts.get(sequence.alert_id) if sequence.alert_id else None
        if run.subject is None:  # a retry brings its own
            subject = _snapshot(sequence, alert)
            run.subject = encode_arguments(subject) if subject is not None else None
        run.state, run.started_at = PlaybookRun.State.RUNNING, clock.now()
        self._started.append(run)
        if alert is not None:
            kind = PlaybookStarted(
                playbook=name, run_id=str(run.pk), position=run.position, total=sequence.total
            )
            self._entries.append((alert, timeline.Draft(kind=kind, actor=job.actor)))
        if run.retry_of_id is not None:
            self._replayed[run.pk] = job
        _pass_on(job, run)

    def _resume(self, job: Job, run: PlaybookRun, sequence: Sequence) -> None:
        job.resumed = True
        if not self._load_source(job, run, sequence):
            return
        if run.state == PlaybookRun.State.WAITING:
            if not self._take_slot(job, run):
                return
            self._resumed.append(run.pk)
        self._replayed[run.pk] = job
        _pass_on(job, run)

    def _load_source(self, job: Job, run: PlaybookRun, sequence: Sequence) -> bool:
        """The very source the run started with."""
        assert run.source_id is not None
        try:
            registry, job.mentions_secrets = self._registry(run.source_id)
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

    def _registry(self, version_id: uuid.UUID) -> tuple[Registry, bool]:
        if version_id in self._failed:
            raise self._failed[version_id]
        if version_id not in _loaded:
            raise NotLoaded(version_id)
        return _loaded[version_id]

    def _take_slot(self, job: Job, run: PlaybookRun) -> bool:
        """Whether one more run of its playbook may be under way (``max_concurrent=``)."""
        assert job.spec is not None
        if job.spec.max_concurrent is None:
            return True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (SLOTS_LOCK, str(run.playbook_id))
            )
        running = PlaybookRun.objects.filter(playbook=run.playbook_id, state=PlaybookRun.State.RUNNING)
        taken = running.exclude(pk=run.pk).count() + self._slots[run.playbook_id]
        job.no_slot = taken >= job.spec.max_concurrent
        self._slots[run.playbook_id] += not job.no_slot
        return not job.no_slot

    def store(self) -> None:
        """Write what has changed."""
        if self._started:
            rows = [(r.state, r.started_at, r.source_id, r.subject, r.pk) for r in self._started]
            psycopg.Cursor(connection.connection).executemany(START, rows)
        if self._resumed:
            PlaybookRun.objects.filter(pk__in=self._resumed).update(state=PlaybookRun.State.RUNNING)
        timeline.record_many(AlertEntry, self._entries)
        for run_id, journal in load_journals(self._replayed).items():
            self._replayed[run_id].journal = journal


def _finish(sequence: Sequence, runs: list[PlaybookRun]) -> None:
    """None of its runs is left."""
    cancelled = all(run.state == PlaybookRun.State.CANCELLED for run in runs)
    state = Sequence.State.CANCELLED if cancelled else Sequence.State.DONE
    Sequence.objects.filter(pk=sequence.pk).update(state=state, claimed_by=None, finished_at=clock.now())
    lanes.leave([(sequence.pk, sequence.lanes)])


def cancelled_text(name: str) -> str:
    """What a cancelled run says of itself."""
    return f"Cancelled by {name or 'a person'}."


def _pass_on(job: Job, run: PlaybookRun) -> None:
    """What the executing side gets of the run's row."""
    assert job.spec is not None
    job.subject = orjson.loads(run.subject) if run.subject else None
    job.input = orjson.loads(run.input) if run.input else None
    if job.spec.timeout is not None and run.started_at is not None:
        job.deadline = run.started_at + timedelta(seconds=job.spec.timeout)
    if job.mentions_secrets:
        job.secrets = secrets_for(job.partner_id)


def _snapshot(sequence: Sequence, alert: Alert | None) -> dict[str, Any] | None:
    if alert is not None:
        return alert_snapshot(alert)
    if sequence.incident is not None:
        return incident_snapshot(sequence.incident)
    return observable_snapshot(sequence.observable) if sequence.observable is not None else None


def load_journals(run_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, dict[str, Call]]:
    """What runs did so far, by run and key."""
    journals: dict[uuid.UUID, dict[str, Call]] = {run_id: {} for run_id in run_ids}
    if not journals:
        return journals
    calls = list(ActionResult.objects.filter(run__in=journals))
    large = [call.pk for call in calls if call.large]
    outputs = dict(CallOutput.objects.filter(pk__in=large).values_list("pk", "data")) if large else {}
    failed: Counter[uuid.UUID] = Counter()
    last: dict[uuid.UUID, str] = {}
    attempts = ActionAttempt.objects.filter(call_id__in=[call.pk for call in calls]).order_by(
        "number", F("id")
    )
    for call_id, state in attempts.values_list("call_id", "state"):
        last[call_id] = state
        failed[call_id] += state == "failed"
    for call in calls:
        journals[call.run_id][call.key] = Call(
            id=call.pk, key=call.key, name=call.name, args_digest=bytes(call.args_digest), state=call.state,
            output=outputs.get(call.pk, call.output), error_value=call.error_value, attempts=call.attempts,
            failed_attempts=failed[call.pk], interrupted=last.get(call.pk, "started") != "failed",
            decision=call.decision, idempotency_key=call.idempotency_key, wake_at=call.wake_at,
        )  # fmt: skip
    return journals
