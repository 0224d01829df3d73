"""REST: playbooks, their runs and what is asked of a person."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django_filters import ChoiceFilter, FilterSet, UUIDFilter
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.access import get_alert_for
from incidents.access import get_incident_for
from opensoar.api.base import ETAG, IF_MATCH, ApiView, query_parameters, tagged
from opensoar.api.pagination import CURSOR_PARAMETER, PAGE_PARAMETERS, envelope, paginate
from playbooks_engine import serializers as shapes
from playbooks_engine import services
from playbooks_engine.access import get_approval_for, get_playbook_for, get_run_for
from playbooks_engine.models import Approval, Playbook, PlaybookRun
from playbooks_engine.querysets import RunQuerySet
from playbooks_engine.serializers import (
    PlaybookSerializer,
    RunSerializer,
    TriggeredSerializer,
    show_playbook,
    show_run,
    show_runs,
)

READ, MANAGE, EXECUTE = "playbooks:read", "playbooks:manage", "playbooks:execute"
DECIDE = "approvals:decide"


class ApiRunFilter(FilterSet):
    """What the list can be narrowed by."""

    status = ChoiceFilter(field_name="state", choices=PlaybookRun.State.choices)
    playbook_id = UUIDFilter(field_name="playbook_id")
    alert_id = UUIDFilter(field_name="sequence__alert_id")
    incident_id = UUIDFilter(field_name="sequence__incident_id")

    class Meta:
        model = PlaybookRun
        fields: tuple[str, ...] = ()


class PlaybooksView(ApiView):
    capability = READ

    @extend_schema(operation_id="playbooks_list", responses=PlaybookSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Every playbook, in the order in which one event would run them."""
        rows = Playbook.objects.visible_to(self.actor).select_related("partner")
        return Response([show_playbook(row) for row in rows])


class PlaybookView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "PATCH": MANAGE}

    @extend_schema(operation_id="playbook_get", responses=PlaybookSerializer, parameters=[ETAG])
    def get(self, request: Request, pk: str) -> Response:
        """One playbook."""
        playbook = get_playbook_for(self.actor, pk, READ)
        return tagged(show_playbook(playbook), playbook.version)

    @extend_schema(
        operation_id="playbook_patch",
        request=shapes.PlaybookPatch,
        responses=PlaybookSerializer,
        parameters=[IF_MATCH, ETAG],
    )
    def patch(self, request: Request, pk: str) -> Response:
        """Switch it on or off, and say whose alerts it runs for."""
        playbook = get_playbook_for(self.actor, pk, MANAGE)
        changes = self.body(shapes.PlaybookPatch)
        changes.pop("tenant_id", None)
        changed = services.update_playbook(
            actor=self.actor, playbook=playbook, expected_version=self.expected_version(), **changes
        )
        return tagged(show_playbook(changed), changed.version)


def _start(view: ApiView, playbook: Playbook, **about: Any) -> Response:
    run = services.start_run(actor=view.actor, playbook=playbook, **about)
    return Response(
        {
            "message": _("Playbook '%(name)s' triggered") % {"name": playbook.name},
            "celery_task_id": str(run.sequence_id),
            "run_id": str(run.pk),
        }
    )


class RunPlaybookView(ApiView):
    capability = EXECUTE

    @extend_schema(operation_id="playbook_run", request=shapes.RunIn, responses=TriggeredSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Run it by hand, on an alert, on an incident, or on its input alone."""
        playbook = get_playbook_for(self.actor, pk, EXECUTE)
        body = self.body(shapes.RunIn)
        alert_id, incident_id = body.get("alert_id"), body.get("incident_id")
        return _start(
            self,
            playbook,
            alert=get_alert_for(self.actor, alert_id, "alerts:read") if alert_id else None,
            incident=get_incident_for(self.actor, incident_id, "incidents:read") if incident_id else None,
            input=body.get("input_data"),
        )


class ReloadView(ApiView):
    capability = MANAGE

    @extend_schema(operation_id="playbooks_reload", request=None, responses=shapes.ReloadedSerializer)
    def post(self, request: Request) -> Response:
        """Have every worker load the files anew; waits up to five seconds for them."""
        reached = services.wait_for_reload(services.request_reload())
        count = Playbook.objects.runnable().count()
        message = (
            _("Reloaded %(count)d playbook(s)") % {"count": count}
            if reached
            else _("Asked; not every worker has answered yet")
        )
        return Response({"count": count, "message": message, "complete": reached})


def _runs(view: ApiView) -> RunQuerySet:
    return PlaybookRun.objects.visible_to(view.actor).with_related().prefetch_related("calls", "approvals")


class RunsView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="runs_list",
        parameters=[*PAGE_PARAMETERS, CURSOR_PARAMETER, *query_parameters(ApiRunFilter)],
        responses=envelope("runs", RunSerializer, cursor=True),
    )
    def get(self, request: Request) -> Response:
        """Runs, newest first."""
        return paginate(request, self.filtered(ApiRunFilter, _runs(self)), "runs", show_runs, cursor=True)


class RunView(ApiView):
    capability = READ

    @extend_schema(operation_id="run_get", responses=RunSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """One run with its calls, while it runs too."""
        return Response(show_run(get_run_for(self.actor, pk, READ)))


class DecideView(ApiView):
    capability = EXECUTE

    @extend_schema(operation_id="run_decide", request=shapes.DecideIn, responses=RunSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Answer a run that needs attention: done, not_done, again, cancel."""
        run = get_run_for(self.actor, pk, EXECUTE)
        body = self.body(shapes.DecideIn)
        services.decide_run(actor=self.actor, run=run, decision=body["decision"], value=body.get("value"))
        return Response(show_run(get_run_for(self.actor, pk, EXECUTE)))


class CancelView(ApiView):
    capability = EXECUTE

    @extend_schema(operation_id="run_cancel", request=shapes.CancelIn, responses=RunSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Cancel a run, or the whole rest of its sequence."""
        run = get_run_for(self.actor, pk, EXECUTE)
        whole = self.body(shapes.CancelIn).get("sequence", False)
        services.cancel_run(actor=self.actor, run=run, whole_sequence=whole)
        return Response(show_run(get_run_for(self.actor, pk, EXECUTE)))


class RetryView(ApiView):
    capability = EXECUTE

    @extend_schema(operation_id="run_retry", request=shapes.RetryIn, responses={201: RunSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Run a failed run once more, from the step that failed."""
        run = get_run_for(self.actor, pk, EXECUTE)
        body = self.body(shapes.RetryIn)
        again = services.retry_run(
            actor=self.actor, run=run, current_source=body.get("current_source", False)
        )
        return Response(show_run(get_run_for(self.actor, again.pk, EXECUTE)), status=201)


class RunLogsView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="run_logs",
        parameters=PAGE_PARAMETERS,
        responses=envelope("logs", shapes.LogSerializer),
    )
    def get(self, request: Request, pk: str) -> Response:
        """What a run logged, oldest first."""
        run = get_run_for(self.actor, pk, READ)
        rows = run.logs.values("at", "level", "text")
        return paginate(request, rows, "logs", list)


class ApiApprovalFilter(FilterSet):
    """What the list can be narrowed by."""

    status = ChoiceFilter(field_name="state", choices=Approval.State.choices)
    run_id = UUIDFilter(field_name="run_id")

    class Meta:
        model = Approval
        fields: tuple[str, ...] = ()


class ApprovalsView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="approvals_list",
        parameters=[*PAGE_PARAMETERS, *query_parameters(ApiApprovalFilter)],
        responses=envelope("approvals", shapes.ApprovalSerializer),
    )
    def get(self, request: Request) -> Response:
        """What runs ask people, newest first."""
        found = Approval.objects.visible_to(self.actor).select_related("run__playbook")
        rows = self.filtered(ApiApprovalFilter, found)
        return paginate(request, rows, "approvals", lambda page: [shapes.show_approval(row) for row in page])


class ApprovalDecisionView(ApiView):
    capability = DECIDE
    approve: ClassVar[bool]

    def decide(self, pk: str) -> Response:
        """Both doors."""
        approval = get_approval_for(self.actor, pk, DECIDE)
        comment = self.body(shapes.ApprovalDecisionIn).get("comment", "")
        decided = services.decide_approval(
            actor=self.actor, approval=approval, approve=self.approve, comment=comment
        )
        return Response(shapes.show_approval(decided))


class ApproveView(ApprovalDecisionView):
    approve = True

    @extend_schema(
        operation_id="approval_approve",
        request=shapes.ApprovalDecisionIn,
        responses=shapes.ApprovalSerializer,
    )
    def post(self, request: Request, pk: str) -> Response:
        """Let the run do what it asks for."""
        return self.decide(pk)


class DenyView(ApprovalDecisionView):
    approve = False

    @extend_schema(
        operation_id="approval_deny", request=shapes.ApprovalDecisionIn, responses=shapes.ApprovalSerializer
    )
    def post(self, request: Request, pk: str) -> Response:
        """Keep the run from what it asks for; the playbook decides how it goes on."""
        return self.decide(pk)


class AlertRunsView(ApiView):
    capability = READ

    @extend_schema(operation_id="alert_runs", responses=envelope("runs", RunSerializer))
    def get(self, request: Request, pk: str) -> Response:
        """The runs of one alert, oldest first."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        rows = show_runs(_runs(self).filter(sequence__alert=alert).order_by("sequence_id", "position"))
        return Response({"runs": rows, "total": len(rows)})


class IncidentRunsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": EXECUTE}

    @extend_schema(operation_id="incident_runs", responses=envelope("runs", RunSerializer))
    def get(self, request: Request, pk: str) -> Response:
        """The runs of one incident, oldest first."""
        incident = get_incident_for(self.actor, pk, "incidents:read")
        rows = show_runs(_runs(self).filter(sequence__incident=incident).order_by("sequence_id", "position"))
        return Response({"runs": rows, "total": len(rows)})

    @extend_schema(operation_id="incident_run", request=shapes.RunOnIn, responses=TriggeredSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Run a playbook on it by hand."""
        incident = get_incident_for(self.actor, pk, "incidents:read")
        body = self.body(shapes.RunOnIn)
        playbook = get_playbook_for(self.actor, body["playbook_id"], EXECUTE)
        return _start(self, playbook, incident=incident, input=body.get("input_data"))
