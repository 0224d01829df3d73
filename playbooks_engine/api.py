"""REST: playbooks, their runs and what is asked of a person."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.access import get_alert_for
from incidents.access import get_incident_for
from opensoar.api.base import ApiView
from opensoar.api.pagination import PAGE_PARAMETERS, paginate
from opensoar.errors import Invalid
from playbooks_engine import services
from playbooks_engine.access import get_playbook_for, get_run_for
from playbooks_engine.models import ActionResult, Playbook, PlaybookRun, Priority

READ, MANAGE, EXECUTE = "playbooks:read", "playbooks:manage", "playbooks:execute"
Anything = OpenApiTypes.OBJECT


class PlaybookPatch(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()


class RunIn(serializers.Serializer[Any]):
    alert_id = serializers.CharField(required=False, allow_null=True)
    incident_id = serializers.CharField(required=False, allow_null=True)
    input_data = serializers.JSONField(required=False, allow_null=True)


class DecideIn(serializers.Serializer[Any]):
    decision = serializers.ChoiceField(choices=["done", "not_done", "again", "cancel"])
    value = serializers.JSONField(required=False, allow_null=True)


def show_playbook(playbook: Playbook) -> dict[str, Any]:
    """The public Playbook shape, and what is ours."""
    return {
        "id": str(playbook.pk),
        "name": playbook.name,
        "description": playbook.description,
        "partner": playbook.partner.public_slug if playbook.partner else None,
        "execution_order": playbook.order,
        "priority": Priority(playbook.priority).name.lower(),
        "module_path": playbook.module_path,
        "function_name": playbook.function_name,
        "trigger_type": playbook.trigger,
        "trigger_config": {"conditions": playbook.conditions},
        "on_failure": playbook.on_failure,
        "enabled": playbook.enabled,
        "missing": playbook.missing_since is not None,
        "version": playbook.version,
        "created_at": playbook.created_at,
    }


def show_call(call: ActionResult) -> dict[str, Any]:
    """The public ActionResult shape, and what is ours."""
    return {
        "id": str(call.pk),
        "action_name": call.name,
        "kind": call.kind,
        "status": call.state,
        "started_at": call.started_at,
        "finished_at": call.finished_at,
        "duration_ms": call.duration_ms,
        "input_data": call.input_value,
        "output_data": call.output_value,
        "error": call.error or None,
        "attempt": call.attempts,
        "repeated": call.repeated,
        "correlation_id": str(call.idempotency_key),
    }


def show_run(run: PlaybookRun) -> dict[str, Any]:
    """The public Run shape, and what is ours."""
    sequence = run.sequence
    return {
        "id": str(run.pk),
        "playbook_id": str(run.playbook_id),
        "playbook_name": run.playbook.name,
        "alert_id": str(sequence.alert_id) if sequence.alert_id else None,
        "incident_id": str(sequence.incident_id) if sequence.incident_id else None,
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
        "result": run.result_value,
        "action_results": [show_call(call) for call in run.calls.all()],
        "created_at": run.created_at,
    }


def show_runs(rows: list[PlaybookRun]) -> list[dict[str, Any]]:
    """Many runs."""
    return [show_run(run) for run in rows]


class PlaybooksView(ApiView):
    capability = READ

    @extend_schema(operation_id="playbooks_list", responses=Anything)
    def get(self, request: Request) -> Response:
        """Every playbook, in the order in which one event would run them."""
        rows = Playbook.objects.visible_to(self.actor).select_related("partner")
        return Response([show_playbook(row) for row in rows])


class PlaybookView(ApiView):
    capabilities = {"GET": READ, "PATCH": MANAGE}

    @extend_schema(operation_id="playbook_get", responses=Anything)
    def get(self, request: Request, pk: str) -> Response:
        """One playbook."""
        return Response(show_playbook(get_playbook_for(self.actor, pk, READ)))

    @extend_schema(operation_id="playbook_patch", request=PlaybookPatch, responses=Anything)
    def patch(self, request: Request, pk: str) -> Response:
        """Switch it on or off."""
        playbook = get_playbook_for(self.actor, pk, MANAGE)
        body = self.body(PlaybookPatch)
        services.set_enabled(actor=self.actor, playbook=playbook, enabled=body["enabled"])
        return Response(show_playbook(get_playbook_for(self.actor, pk, MANAGE)))


class RunPlaybookView(ApiView):
    capability = EXECUTE

    @extend_schema(operation_id="playbook_run", request=RunIn, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Run it by hand, on an alert, on an incident, or on its input alone."""
        playbook = get_playbook_for(self.actor, pk, EXECUTE)
        body = self.body(RunIn)
        alert = get_alert_for(self.actor, body["alert_id"], "alerts:read") if body.get("alert_id") else None
        wanted = body.get("incident_id")
        incident = get_incident_for(self.actor, wanted, "incidents:read") if wanted else None
        run = services.start_run(
            actor=self.actor, playbook=playbook, alert=alert, incident=incident, input=body.get("input_data")
        )
        return Response(
            {
                "message": f"Playbook '{playbook.name}' triggered",
                "celery_task_id": str(run.sequence_id),
                "run_id": str(run.pk),
            }
        )


class ReloadView(ApiView):
    capability = MANAGE

    @extend_schema(operation_id="playbooks_reload", request=None, responses=Anything)
    def post(self, request: Request) -> Response:
        """Have every worker load the files anew; waits up to five seconds for them."""
        reached = services.wait_for_reload(services.request_reload())
        count = Playbook.objects.runnable().count()
        message = (
            f"Reloaded {count} playbook(s)" if reached else _("Asked; not every worker has answered yet")
        )
        return Response({"count": count, "message": message, "complete": reached})


class RunsView(ApiView):
    capability = READ

    @extend_schema(operation_id="runs_list", parameters=PAGE_PARAMETERS, responses=Anything)
    def get(self, request: Request) -> Response:
        """Runs, newest first; ``status`` and ``playbook_id`` filter."""
        rows = PlaybookRun.objects.visible_to(self.actor).with_related().prefetch_related("calls")
        if status := request.query_params.get("status"):
            if status not in PlaybookRun.State.values:
                raise Invalid(_("Invalid status"), field="status")
            rows = rows.filter(state=status)
        if playbook := request.query_params.get("playbook_id"):
            rows = rows.filter(playbook=get_playbook_for(self.actor, playbook, READ))
        return paginate(request, rows, "runs", show_runs)


class RunView(ApiView):
    capability = READ

    @extend_schema(operation_id="run_get", responses=Anything)
    def get(self, request: Request, pk: str) -> Response:
        """One run with its calls, while it runs too."""
        return Response(show_run(get_run_for(self.actor, pk, READ)))


class DecideView(ApiView):
    capability = EXECUTE

    @extend_schema(operation_id="run_decide", request=DecideIn, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Answer a run that needs attention: done, not_done, again, cancel."""
        run = get_run_for(self.actor, pk, EXECUTE)
        body = self.body(DecideIn)
        services.decide_run(actor=self.actor, run=run, decision=body["decision"], value=body.get("value"))
        return Response(show_run(get_run_for(self.actor, pk, EXECUTE)))


class AlertRunsView(ApiView):
    capability = READ

    @extend_schema(operation_id="alert_runs", responses=Anything)
    def get(self, request: Request, pk: UUID) -> Response:
        """The runs of one alert, oldest first."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        runs = PlaybookRun.objects.visible_to(self.actor).with_related().prefetch_related("calls")
        rows = list(runs.filter(sequence__alert=alert).order_by("sequence_id", "position"))
        return Response({"runs": show_runs(rows), "total": len(rows)})
