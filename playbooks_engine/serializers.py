"""The public shapes of playbooks and runs, and the bodies that their paths take.

An answer's serializer is its schema; the ``show_`` function beside it makes the answer, as for incidents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson
from rest_framework import serializers

from opensoar.api.fields import Flag, Json, StrictSerializer, Text
from playbooks_engine.models import ActionResult, Approval, CallOutput, Playbook, PlaybookRun, Priority


class PlaybookSerializer(serializers.Serializer[Any]):
    """A registered playbook; ``partner: null`` runs for every partner's alerts."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    partner = serializers.CharField(allow_null=True)
    tenant_id = serializers.CharField(
        allow_null=True, help_text="Always null: partners take the tenants' place."
    )
    execution_order = serializers.IntegerField()
    priority = serializers.ChoiceField([priority.name.lower() for priority in Priority])
    module_path = serializers.CharField()
    function_name = serializers.CharField()
    trigger_type = serializers.CharField(allow_null=True, help_text="null: only people start it")
    trigger_config = serializers.DictField()
    on_failure = serializers.ChoiceField(["continue", "stop"])
    cron = serializers.CharField(allow_null=True, help_text="when trigger_type is schedule")
    lane = serializers.CharField(allow_null=True, help_text="runs that agree in this field take turns")
    isolated = serializers.BooleanField(help_text="runs in a process of its own until its file changes")
    enabled = serializers.BooleanField()
    missing = serializers.BooleanField(help_text="its file is gone")
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class ActionResultSerializer(serializers.Serializer[Any]):
    """One durable call of a run."""

    id = serializers.UUIDField()
    action_name = serializers.CharField()
    kind = serializers.ChoiceField(ActionResult.Kind.choices)
    status = serializers.ChoiceField(ActionResult.State.choices)
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    input_data = Json()
    output_data = Json()
    error = serializers.CharField(allow_null=True)
    attempt = serializers.IntegerField()
    repeated = serializers.BooleanField()
    correlation_id = serializers.UUIDField()


class ApprovalSerializer(serializers.Serializer[Any]):
    """What a run asks people."""

    id = serializers.UUIDField()
    run_id = serializers.UUIDField()
    playbook_name = serializers.CharField()
    summary = serializers.CharField()
    of = Json(help_text="what would be done")
    policy = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(Approval.State.choices)
    on_timeout = serializers.ChoiceField(["deny", "approve"], help_text="what nobody's answer means")
    expires_at = serializers.DateTimeField()
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    comment = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class LogSerializer(serializers.Serializer[Any]):
    """A line that a playbook logged."""

    at = serializers.DateTimeField()
    level = serializers.CharField()
    text = serializers.CharField()


class RunSerializer(serializers.Serializer[Any]):
    """One execution of a playbook with its calls, while it runs too."""

    id = serializers.UUIDField()
    playbook_id = serializers.UUIDField()
    playbook_name = serializers.CharField()
    alert_id = serializers.UUIDField(allow_null=True)
    incident_id = serializers.UUIDField(allow_null=True)
    observable_id = serializers.UUIDField(allow_null=True)
    sequence_id = serializers.UUIDField()
    sequence_position = serializers.IntegerField()
    sequence_total = serializers.IntegerField()
    correlation_id = serializers.UUIDField()
    status = serializers.ChoiceField(PlaybookRun.State.choices)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    traceback = serializers.CharField(allow_null=True)
    question = serializers.DictField(
        allow_null=True, help_text="why it needs attention, and the answers it takes"
    )
    input_data = Json()
    result = Json()
    requested_by = serializers.CharField(allow_null=True, help_text="who started it by hand")
    retry_of = serializers.UUIDField(allow_null=True)
    waits_for = serializers.CharField(allow_null=True, help_text="why it waits, in words")
    wake_at = serializers.DateTimeField(allow_null=True, help_text="when it goes on by itself")
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    approvals = ApprovalSerializer(many=True)
    action_results = ActionResultSerializer(many=True)
    created_at = serializers.DateTimeField()


class TriggeredSerializer(serializers.Serializer[Any]):
    """A run that was queued; ``celery_task_id`` is its sequence, under the public API's name."""

    message = serializers.CharField()
    celery_task_id = serializers.UUIDField()
    run_id = serializers.UUIDField()


class ReloadedSerializer(serializers.Serializer[Any]):
    """How many playbooks can run, and whether every worker has loaded them."""

    count = serializers.IntegerField()
    message = serializers.CharField()
    complete = serializers.BooleanField()


class PlaybookPatch(StrictSerializer):
    """The switch, and whose alerts it runs for (null: everybody's)."""

    enabled = Flag(required=False)
    partner = Text(required=False, allow_null=True, allow_blank=True, max_length=200)
    tenant_id = Json(required=False, help_text="null; give partner instead")

    def validate_tenant_id(self, value: Any) -> None:
        if value is not None:
            raise serializers.ValidationError("Partners take the tenants' place: give partner")


class RunIn(StrictSerializer):
    """What a run by hand is about, and what the playbook gets as ``input``."""

    alert_id = Text(required=False, allow_null=True)
    incident_id = Text(required=False, allow_null=True)
    input_data = Json(required=False)


class RunOnIn(StrictSerializer):
    """The playbook to run on something, and its input."""

    playbook_id = Text()
    input_data = Json(required=False)


class CancelIn(StrictSerializer):
    """Whether the rest of its sequence is cancelled with it."""

    sequence = Flag(required=False)


class RetryIn(StrictSerializer):
    """Whether the playbook's file as it is now is run, in place of the source the run had."""

    current_source = Flag(required=False)


class ApprovalDecisionIn(StrictSerializer):
    """What is said about the decision."""

    comment = Text(required=False, allow_blank=True, max_length=2000)


class DecideIn(StrictSerializer):
    """The answer to a run that needs attention; ``value`` is the result of a call that is ``done``."""

    decision = serializers.ChoiceField(["done", "not_done", "again", "cancel"])
    value = Json(required=False)


def show_playbook(playbook: Playbook) -> dict[str, Any]:
    """The public Playbook shape, and what is ours."""
    return {
        "id": str(playbook.pk),
        "name": playbook.name,
        "description": playbook.description or None,
        "partner": playbook.partner.slug if playbook.partner else None,
        "tenant_id": None,
        "execution_order": playbook.order,
        "priority": Priority(playbook.priority).name.lower(),
        "module_path": playbook.module_path,
        "function_name": playbook.function_name,
        "trigger_type": playbook.trigger,
        "trigger_config": {"conditions": playbook.conditions},
        "on_failure": playbook.on_failure,
        "cron": playbook.cron or None,
        "lane": playbook.lane or None,
        "isolated": playbook.isolated_since is not None,
        "enabled": playbook.enabled,
        "missing": playbook.missing_since is not None,
        "version": playbook.version,
        "created_at": playbook.created_at,
    }


def show_runs(rows: Iterable[PlaybookRun]) -> list[dict[str, Any]]:
    """Many runs; wants ``with_related`` and their calls prefetched. One query for results that lie apart."""
    rows = list(rows)
    large = [call.pk for run in rows for call in run.calls.all() if call.large]
    outputs = dict(CallOutput.objects.filter(pk__in=large).values_list("pk", "data")) if large else {}
    return [_run(run, outputs) for run in rows]


def show_run(run: PlaybookRun) -> dict[str, Any]:
    """The public Run shape, and what is ours."""
    return show_runs([run])[0]


def _run(run: PlaybookRun, outputs: Mapping[UUID, str]) -> dict[str, Any]:
    sequence = run.sequence
    return {
        "id": str(run.pk),
        "playbook_id": str(run.playbook_id),
        "playbook_name": run.playbook.name,
        "alert_id": str(sequence.alert_id) if sequence.alert_id else None,
        "incident_id": str(sequence.incident_id) if sequence.incident_id else None,
        "observable_id": str(sequence.observable_id) if sequence.observable_id else None,
        "sequence_id": str(sequence.pk),
        "sequence_position": run.position,
        "sequence_total": sequence.total,
        "correlation_id": str(sequence.correlation_id),
        "status": run.state,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": run.error or None,
        "traceback": run.traceback or None,
        "question": run.question,
        "input_data": _json(run.input),
        "result": run.result_value,
        "requested_by": run.requested_name or None,
        "retry_of": str(run.retry_of_id) if run.retry_of_id else None,
        "waits_for": (not run.is_final and sequence.waits_for) or None,
        "wake_at": None if run.is_final else sequence.wake_at,
        "cancel_requested_at": run.cancel_requested_at,
        "approvals": [show_approval(approval, run.playbook.name) for approval in run.approvals.all()],
        "action_results": [_call(call, outputs.get(call.pk, call.output)) for call in run.calls.all()],
        "created_at": run.created_at,
    }


def _call(call: ActionResult, output: str | None) -> dict[str, Any]:
    return {
        "id": str(call.pk),
        "action_name": call.name,
        "kind": call.kind,
        "status": call.state,
        "started_at": call.started_at,
        "finished_at": call.finished_at,
        "duration_ms": call.duration_ms,
        "input_data": call.input_value,
        "output_data": _json(output),
        "error": call.error or None,
        "attempt": call.attempts,
        "repeated": call.repeated,
        "correlation_id": str(call.idempotency_key),
    }


def show_approval(approval: Approval, playbook_name: str = "") -> dict[str, Any]:
    """The public Approval shape."""
    return {
        "id": str(approval.pk),
        "run_id": str(approval.run_id),
        "playbook_name": playbook_name or approval.run.playbook.name,
        "summary": approval.summary,
        "of": _json(approval.of),
        "policy": approval.policy or None,
        "status": approval.state,
        "on_timeout": approval.on_timeout,
        "expires_at": approval.expires_at,
        "decided_by": approval.decided_name or None,
        "decided_at": approval.decided_at,
        "comment": approval.comment,
        "created_at": approval.created_at,
    }


def _json(text: str | None) -> Any:
    return orjson.loads(text) if text else None
