"""REST: alerts and what is done to them."""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import services
from alerts.access import get_alert_for
from alerts.api_filters import ApiAlertFilter
from alerts.models import Alert, AlertEntry, Delivery
from alerts.rules import rule_record
from alerts.serializers import (
    AlertDetailSerializer,
    AlertPatch,
    AlertSerializer,
    AssignIn,
    BulkIn,
    BulkSerializer,
    ReasonIn,
    ResolveIn,
    show_alert,
    show_alerts,
    show_rule,
)
from opensoar.api.activities import ActivitySerializer, CommentIn, show_activities
from opensoar.api.base import ETAG, IF_MATCH, ApiView, Detail, query_parameters, tagged
from opensoar.api.pagination import CURSOR_PARAMETER, PAGE_PARAMETERS, envelope, paginate
from opensoar.timeline import first_entries

READ, UPDATE, DELETE = "alerts:read", "alerts:update", "alerts:delete"


class AlertsView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="alerts_list",
        responses=envelope("alerts", AlertSerializer, cursor=True),
        parameters=[*PAGE_PARAMETERS, CURSOR_PARAMETER, *query_parameters(ApiAlertFilter)],
    )
    def get(self, request: Request) -> Response:
        """Alerts, newest first."""
        alerts = Alert.objects.visible_to(self.actor).with_related().order_by("-id")
        return paginate(request, self.filtered(ApiAlertFilter, alerts), "alerts", show_alerts, cursor=True)


class AlertView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "PATCH": UPDATE, "DELETE": DELETE}

    @extend_schema(operation_id="alerts_get", responses=AlertDetailSerializer, parameters=[ETAG])
    def get(self, request: Request, pk: str) -> Response:
        """One alert with what was received."""
        alert = get_alert_for(self.actor, pk, READ)
        latest = Delivery.objects.visible_to(self.actor).of_alert(alert.pk).last()
        raw = latest.payload if latest else None
        rule = show_rule(rule_record(self.actor, alert))
        return tagged(
            show_alert(alert) | {"normalized": alert.normalized, "raw_payload": raw, "rule": rule},
            alert.version,
        )

    @extend_schema(request=AlertPatch, responses=AlertSerializer, parameters=[IF_MATCH, ETAG])
    def patch(self, request: Request, pk: str) -> Response:
        """Change what is sent."""
        alert = get_alert_for(self.actor, pk, UPDATE)
        changes = self.body(AlertPatch)
        services.update_alert(
            actor=self.actor, alert=alert, expected_version=self.expected_version(), **changes
        )
        return _answer(self, pk)

    @extend_schema(responses={200: Detail}, parameters=[IF_MATCH])
    def delete(self, request: Request, pk: str) -> Response:
        """Archive it."""
        alert = get_alert_for(self.actor, pk, DELETE)
        services.archive_alert(actor=self.actor, alert=alert, expected_version=self.expected_version())
        return Response({"detail": _("Alert deleted")})


def _answer(view: ApiView, pk: str) -> Response:
    alert = get_alert_for(view.actor, pk, UPDATE)
    return tagged(show_alert(alert), alert.version)


class ClaimView(ApiView):
    capability = UPDATE

    @extend_schema(request=None, responses=AlertSerializer, parameters=[ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Make it the caller's."""
        services.claim_alert(actor=self.actor, alert=get_alert_for(self.actor, pk, UPDATE))
        return _answer(self, pk)


class AssignView(ApiView):
    capability = UPDATE

    @extend_schema(request=AssignIn, responses=AlertSerializer, parameters=[IF_MATCH, ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Give it to somebody, or to nobody."""
        alert = get_alert_for(self.actor, pk, UPDATE)
        owner = self.body(AssignIn)["assigned_to"] or None
        services.assign_alert(
            actor=self.actor, alert=alert, user=owner, expected_version=self.expected_version()
        )
        return _answer(self, pk)


class ResolveView(ApiView):
    capability = UPDATE

    @extend_schema(request=ResolveIn, responses=AlertSerializer, parameters=[IF_MATCH, ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Resolve with a determination."""
        alert = get_alert_for(self.actor, pk, UPDATE)
        services.resolve_alert(
            actor=self.actor, alert=alert, expected_version=self.expected_version(), **self.body(ResolveIn)
        )
        return _answer(self, pk)


class ReopenView(ApiView):
    capability = UPDATE

    @extend_schema(request=ReasonIn, responses=AlertSerializer, parameters=[IF_MATCH, ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Open it again."""
        alert = get_alert_for(self.actor, pk, UPDATE)
        services.reopen_alert(
            actor=self.actor, alert=alert, expected_version=self.expected_version(), **self.body(ReasonIn)
        )
        return _answer(self, pk)


class BulkView(ApiView):
    capability = UPDATE

    @extend_schema(request=BulkIn, responses=BulkSerializer)
    def post(self, request: Request) -> Response:
        """One verb on many alerts."""
        return Response(services.bulk(actor=self.actor, **self.body(BulkIn)))


class AlertActivitiesView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="alert_activities",
        responses=envelope("activities", ActivitySerializer),
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request, pk: str) -> Response:
        """What happened to it, newest first."""
        alert = get_alert_for(self.actor, pk, READ)
        entries = first_entries(AlertEntry, [alert.pk])
        return paginate(request, entries, "activities", lambda rows: show_activities(rows, "alert"))


class AlertCommentsView(ApiView):
    capability = UPDATE

    @extend_schema(request=CommentIn, responses=ActivitySerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Say something."""
        alert = get_alert_for(self.actor, pk, UPDATE)
        entry = services.comment_alert(actor=self.actor, alert=alert, text=self.body(CommentIn)["text"])
        return Response(show_activities([entry], "alert")[0])


class AlertCommentView(ApiView):
    capability = UPDATE

    @extend_schema(request=CommentIn, responses=ActivitySerializer)
    def patch(self, request: Request, pk: str, comment_id: str) -> Response:
        """Change one's own comment; what it was stays in the history."""
        alert = get_alert_for(self.actor, pk, UPDATE)
        text = self.body(CommentIn)["text"]
        edit = services.edit_comment(actor=self.actor, alert=alert, entry_id=comment_id, text=text)
        first = AlertEntry.objects.get(pk=edit.supersedes or edit.pk)
        return Response(show_activities([first], "alert")[0])
