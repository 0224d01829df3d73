"""Sequences, runs and the journal of calls: rows are the queue. See docs/engine.md for who writes which state."""

from __future__ import annotations

from typing import Any

import orjson
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models import Alert, Observable
from incidents.models import Incident
from opensoar.accounts.models import Partner
from opensoar.actors import Actor
from opensoar.ids import uuid7
from playbooks_engine.models.playbooks import Playbook, PlaybookVersion, Priority
from playbooks_engine.querysets import ApprovalQuerySet, RunQuerySet


class Sequence(models.Model):
    """The runs that one event triggered, executed in ascending position. The unit that a worker claims."""

    class State(models.TextChoices):
        READY = "ready", _("Ready")
        RUNNING = "running", _("Running")
        WAITING = "waiting", _("Waiting")
        HELD = "held", _("Held")
        DONE = "done", _("Done")
        CANCELLED = "cancelled", _("Cancelled")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="+")
    alert = models.ForeignKey(Alert, null=True, on_delete=models.CASCADE, related_name="sequences")
    incident = models.ForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="sequences")
    observable = models.ForeignKey(Observable, null=True, on_delete=models.CASCADE, related_name="+")
    event = models.CharField(max_length=40)  # alert_created, manual, retry, ...
    correlation_id = models.UUIDField()
    state = models.CharField(max_length=10, choices=State, default=State.READY)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.DEFAULT)
    total = models.PositiveSmallIntegerField()
    fence = models.PositiveBigIntegerField(default=0)  # raised at each claim and rescue
    claimed_by = models.UUIDField(null=True)  # a WorkerBeat; no foreign key, dead workers' rows go
    claims = models.PositiveIntegerField(default=0)
    # When a waiting one is ready again; NULL: when its turn in its lanes comes.
    wake_at = models.DateTimeField(null=True)
    waits_for = models.CharField(max_length=300, blank=True)  # for people
    lanes = ArrayField(models.CharField(max_length=300), default=list)  # sorted; see LaneTicket
    isolated = models.BooleanField(default=False)  # claimed by a process of its own
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=(Q(state="running") & Q(claimed_by__isnull=False))
                | (~Q(state="running") & Q(claimed_by__isnull=True)),
                name="sequence_running_is_claimed",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["ready", "running", "waiting", "held", "done", "cancelled"]),
                name="sequence_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["priority", "id"], name="sequence_ready", condition=Q(state="ready")),
            models.Index(fields=["claimed_by"], name="sequence_claimed", condition=Q(state="running")),
            models.Index(fields=["wake_at"], name="sequence_wake", condition=Q(state="waiting")),
        ]


LIVE_STATES = ("running", "waiting", "needs_attention")
FINAL_STATES = ("success", "failed", "cancelled", "skipped")


class PlaybookRun(models.Model):
    """One execution of a playbook. Final states never change."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        RUNNING = "running", _("Running")
        WAITING = "waiting", _("Waiting")
        NEEDS_ATTENTION = "needs_attention", _("Needs attention")
        SUCCESS = "success", _("Success")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")
        SKIPPED = "skipped", _("Skipped")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sequence = models.ForeignKey(Sequence, on_delete=models.CASCADE, related_name="runs")
    position = models.PositiveSmallIntegerField()
    playbook = models.ForeignKey(Playbook, on_delete=models.PROTECT, related_name="runs")
    # Set when the run first starts; a resumed run continues with the source it began with.
    source = models.ForeignKey(PlaybookVersion, null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=15, choices=State, default=State.PENDING)
    # JSON text, not jsonb: what a playbook saw and returned may hold NUL escapes, and is kept to the letter.
    subject = models.TextField(null=True)  # the trigger's object as it was at first start
    input = models.TextField(null=True)  # what a person or the API passed
    result = models.TextField(null=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    question = models.JSONField(null=True)  # why it needs attention, and the answers it takes
    requested_kind = models.CharField(max_length=10, blank=True)
    requested_by = models.UUIDField(null=True)
    requested_name = models.CharField(max_length=150, blank=True)
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="retries")
    cancel_requested_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    deaths = models.PositiveSmallIntegerField(default=0)  # worker processes that ended under it
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        constraints = [
            models.UniqueConstraint(fields=["sequence", "position"], name="run_unique_position"),
            # Exactly one run of a sequence is live at a time.
            models.UniqueConstraint(
                fields=["sequence"], condition=Q(state__in=LIVE_STATES), name="run_one_live_per_sequence"
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "pending", "running", "waiting", "needs_attention",
                        "success", "failed", "cancelled", "skipped",
                    ]
                ),
                name="run_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=FINAL_STATES, finished_at__isnull=False)
                | (~Q(state__in=FINAL_STATES) & Q(finished_at__isnull=True)),
                name="run_finished_at_matches_state",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["playbook", "-id"], name="run_playbook"),
            models.Index(
                fields=["playbook", "sequence"],
                name="run_slots",
                condition=Q(state__in=["pending", "running", "waiting"]),
            ),
            models.Index(
                fields=["cancel_requested_at"],
                name="run_cancel",
                condition=Q(cancel_requested_at__isnull=False, state__in=LIVE_STATES),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.playbook.name} {self.id}"

    def was_started_by(self, actor: Actor) -> bool:
        """Whether the actor asked for this run by hand."""
        return actor.id is not None and (self.requested_kind, self.requested_by) == (actor.kind, actor.id)

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL_STATES

    @property
    def is_next(self) -> bool:
        """Whether what its sequence waits for is what it waits for."""
        return self.state == self.State.WAITING or (self.state == self.State.PENDING and self.position == 1)

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds from its start to its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds() * 1000)

    @property
    def result_value(self) -> Any:
        """The result as the playbook returned it."""
        return orjson.loads(self.result) if self.result else None


class ActionResult(models.Model):
    """One durable call of a run: its journal line. Key = task lineage and position (engine.md rule 6)."""

    class State(models.TextChoices):
        STARTED = "started", _("Started")
        SUCCESS = "success", _("Success")
        FAILED = "failed", _("Failed")
        UNKNOWN = "unknown", _("Unknown")

    class Kind(models.TextChoices):
        ACTION = "action", _("Action")
        HELPER = "helper", _("Helper")
        SLEEP = "sleep", _("Sleep")
        APPROVAL = "approval", _("Approval")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(PlaybookRun, on_delete=models.CASCADE, related_name="calls")
    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ACTION)
    name = models.CharField(max_length=200)
    args_digest = models.BinaryField()
    input = models.TextField(null=True)  # JSON
    output = models.TextField(null=True)  # JSON; large ones are in CallOutput
    large = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    error_value = models.TextField(null=True)  # JSON: class path and arguments, so that replay raises alike
    state = models.CharField(max_length=10, choices=State, default=State.STARTED)
    attempts = models.PositiveSmallIntegerField(default=1)
    repeated = models.BooleanField(default=False)  # called again because an earlier outcome is unknown
    ended_run = models.BooleanField(default=False)  # its failure is what the run failed with
    decision = models.CharField(
        max_length=10, blank=True
    )  # a person's answer to "outcome unknown": again | not_done
    idempotent = models.BooleanField(null=True)
    idempotency_key = models.UUIDField()
    wake_at = models.DateTimeField(null=True)  # a sleep, an approval or a retry waits until then
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "key"], name="call_unique_key"),
            models.CheckConstraint(
                condition=Q(state__in=["started", "success", "failed", "unknown"]), name="call_state_known"
            ),
        ]

    @property
    def input_value(self) -> Any:
        """The arguments."""
        return orjson.loads(self.input) if self.input else None

    @property
    def output_value(self) -> Any:
        """The result, wherever it is stored."""
        if self.large:
            return orjson.loads(CallOutput.objects.get(pk=self.pk).data)
        return orjson.loads(self.output) if self.output else None

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds from the first intent to the outcome."""
        if self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds() * 1000)


class CallOutput(models.Model):
    """A result too large for the journal line."""

    id = models.UUIDField(primary_key=True)
    data = models.TextField()


class ActionAttempt(models.Model):
    """One try of a call. No incoming foreign keys: attempts may be partitioned by id."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    call_id = models.UUIDField()
    run_id = models.UUIDField()
    number = models.PositiveSmallIntegerField()
    worker_id = models.UUIDField()
    fence = models.PositiveBigIntegerField()
    state = models.CharField(max_length=10, default="started")
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["call_id"], name="attempt_call")]


class Approval(models.Model):
    """A question that a playbook asks people and waits for; its call is the journal line of the same run and id."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        APPROVED = "approved", _("Approved")
        DENIED = "denied", _("Denied")
        EXPIRED = "expired", _("Expired")
        CANCELLED = "cancelled", _("Cancelled")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)  # its call's id
    run = models.ForeignKey(PlaybookRun, on_delete=models.CASCADE, related_name="approvals")
    summary = models.TextField()
    of = models.TextField(null=True)  # JSON: what is to be approved, for people
    policy = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    on_timeout = models.CharField(max_length=10, default="deny")
    expires_at = models.DateTimeField()
    decided_kind = models.CharField(max_length=10, blank=True)
    decided_by = models.UUIDField(null=True)
    decided_name = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "approved", "denied", "expired", "cancelled"]),
                name="approval_state_known",
            ),
            models.CheckConstraint(
                condition=Q(on_timeout__in=["deny", "approve"]), name="approval_on_timeout_known"
            ),
        ]
        indexes = [
            models.Index(fields=["run"], name="approval_pending", condition=Q(state="pending")),
        ]


class RunLog(models.Model):
    """A line that a playbook logged. Not journalled: one that is written again on replay is the same row."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(PlaybookRun, on_delete=models.CASCADE, related_name="logs")
    key = models.CharField(max_length=220)  # lineage and number of the line in it
    level = models.CharField(max_length=10)
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="runlog_unique_key")]


class LaneTicket(models.Model):
    """A sequence's place in a lane: the lowest id of each lane has its turn. Issued under the lane's lock."""

    id = models.BigAutoField(primary_key=True)
    lane = models.CharField(max_length=300)
    sequence = models.ForeignKey(Sequence, on_delete=models.CASCADE, related_name="tickets")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["lane", "sequence"], name="laneticket_unique")]
        indexes = [models.Index(fields=["lane", "id"], name="laneticket_lane")]
