"""REST: incidents, their owner and life cycle, and the alerts in them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.access import get_alert_for, get_alerts_for
from alerts.models import Alert
from alerts.serializers import AlertSerializer, AssignIn, ReasonIn, show_alerts
from incidents import serializers as shapes
from incidents import services
from incidents.access import get_incident_for
from incidents.api_filters import ApiIncidentFilter
from incidents.models import Incident
from incidents.serializers import IncidentSerializer, show_incident, show_incidents
from opensoar.access import require
from opensoar.api.base import ETAG, IF_MATCH, ApiView, Detail, query_parameters, tagged
from opensoar.api.pagination import CURSOR_PARAMETER, PAGE_PARAMETERS, envelope, paginate
from opensoar.errors import Invalid

READ, CREATE, UPDATE = "incidents:read", "incidents:create", "incidents:update"


def _given(body: dict[str, Any]) -> dict[str, Any]:
    """What a body says; clients of the public API send null for what they do not say."""
    return {name: value for name, value in body.items() if value is not None}


def answer(view: ApiView, pk: object, status: int = 200) -> Response:
    """The incident as it is now, with its ETag."""
    incident = get_incident_for(view.actor, pk, READ)
    return tagged(show_incident(incident), incident.version, status)


class IncidentsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": CREATE}

    @extend_schema(
        operation_id="incidents_list",
        responses=envelope("incidents", IncidentSerializer, cursor=True),
        parameters=[*PAGE_PARAMETERS, CURSOR_PARAMETER, *query_parameters(ApiIncidentFilter)],
    )
    def get(self, request: Request) -> Response:
        """Incidents, newest first."""
        rows = Incident.objects.visible_to(self.actor).with_related().order_by("-id")
        found = self.filtered(ApiIncidentFilter, rows)
        return paginate(request, found, "incidents", show_incidents, cursor=True)

    @extend_schema(request=shapes.IncidentIn, responses={201: IncidentSerializer})
    def post(self, request: Request) -> Response:
        """Open one."""
        body = _given(self.body(shapes.IncidentIn))
        if body.pop("template_id", None):  # there are none yet, and this is what the public API says then
            raise Invalid(_("Incident template not found"), field="template_id", status=400)
        owner, ids = body.pop("assigned_to", None), body.pop("alert_ids", [])
        alerts = get_alerts_for(self.actor, ids, "alerts:read")
        incident = services.open_incident(actor=self.actor, owner=owner, alerts=alerts, **body)
        return answer(self, incident.pk, 201)


class IncidentView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "PATCH": UPDATE}

    @extend_schema(operation_id="incidents_get", responses=IncidentSerializer, parameters=[ETAG])
    def get(self, request: Request, pk: str) -> Response:
        """One incident, by id or number."""
        return answer(self, pk)

    @extend_schema(request=shapes.IncidentPatch, responses=IncidentSerializer, parameters=[IF_MATCH, ETAG])
    def patch(self, request: Request, pk: str) -> Response:
        """Change what is sent."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        changes = self.body(shapes.IncidentPatch)
        services.update_incident(
            actor=self.actor, incident=incident, expected_version=self.expected_version(), **changes
        )
        return answer(self, pk)


class AssignView(ApiView):
    capability = UPDATE

    @extend_schema(request=AssignIn, responses=IncidentSerializer, parameters=[IF_MATCH, ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Give it to somebody, or to nobody."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        owner = self.body(AssignIn)["assigned_to"] or None
        services.assign_incident(
            actor=self.actor, incident=incident, user=owner, expected_version=self.expected_version()
        )
        return answer(self, pk)


class CloseView(ApiView):
    capability = UPDATE

    @extend_schema(request=shapes.CloseIn, responses=IncidentSerializer, parameters=[IF_MATCH, ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Close with determination, impact and summary."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        services.close_incident(
            actor=self.actor,
            incident=incident,
            expected_version=self.expected_version(),
            **self.body(shapes.CloseIn),
        )
        return answer(self, pk)


class ReopenView(ApiView):
    capability = UPDATE

    @extend_schema(request=ReasonIn, responses=IncidentSerializer, parameters=[IF_MATCH, ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Open it again."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        services.reopen_incident(
            actor=self.actor,
            incident=incident,
            expected_version=self.expected_version(),
            **self.body(ReasonIn),
        )
        return answer(self, pk)


class IncidentAlertsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": UPDATE}

    @extend_schema(operation_id="incident_alerts", responses=AlertSerializer(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """Its alerts."""
        incident = get_incident_for(self.actor, pk, READ)
        rows = Alert.objects.visible_to(self.actor).with_related().filter(incidents=incident)
        return Response(show_alerts(list(rows.order_by("-id"))))

    @extend_schema(request=shapes.LinkIn, responses={201: Detail})
    def post(self, request: Request, pk: str) -> Response:
        """Link an alert, or several."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        body = self.body(shapes.LinkIn)
        if "alert_ids" in body:
            alerts = get_alerts_for(self.actor, body["alert_ids"], "alerts:read")
            _incident, linked = services.link_alerts(actor=self.actor, incident=incident, alerts=alerts)
            said = ngettext("%d alert linked to incident", "%d alerts linked to incident", linked) % linked
            return Response({"detail": said}, status=201)
        alert = get_alert_for(self.actor, body["alert_id"], "alerts:read")
        services.link_alert(actor=self.actor, incident=incident, alert=alert)
        return Response({"detail": _("Alert linked to incident")}, status=201)


class IncidentAlertView(ApiView):
    capability = UPDATE

    @extend_schema(responses={200: Detail})
    def delete(self, request: Request, pk: str, alert_id: str) -> Response:
        """Unlink an alert."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        alert = get_alert_for(self.actor, alert_id, "alerts:read")
        services.unlink_alert(actor=self.actor, incident=incident, alert=alert)
        return Response({"detail": _("Alert unlinked from incident")})


class AlertIncidentsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": READ}

    @extend_schema(operation_id="alert_incidents", responses=IncidentSerializer(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """The incidents an alert is in."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        rows = Incident.objects.visible_to(self.actor).with_related().filter(alerts=alert)
        return Response(show_incidents(list(rows.order_by("-id"))))

    @extend_schema(request=shapes.FromAlertIn, responses={201: IncidentSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Link to an incident, or open one."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        body = _given(self.body(shapes.FromAlertIn))
        known = body.pop("incident_id", None)
        if bool(known) == bool(body.get("title")):
            raise Invalid(_("Give either incident_id or title"))
        if known:
            incident = get_incident_for(self.actor, known, UPDATE)
            services.link_alert(actor=self.actor, incident=incident, alert=alert)
        else:
            require(self.actor, CREATE)
            owner = body.pop("assigned_to", None)
            incident = services.open_incident(actor=self.actor, alerts=[alert], owner=owner, **body)
        return answer(self, incident.pk, 201)
