"""REST: incidents and what is done to them."""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext as _
from django_filters import ChoiceFilter, FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.access import get_alert_for
from alerts.models import Alert, Severity
from alerts.serializers import AssignIn, ReasonIn, show_alerts
from incidents import serializers as shapes
from incidents import services, suggestions
from incidents.access import get_handoff_for, get_incident_for
from incidents.models import Incident, IncidentEntry
from incidents.serializers import show_incident, show_incidents, show_suggestion
from opensoar.access import require
from opensoar.api.activities import CommentIn, first_entries, show_activities
from opensoar.api.base import IF_MATCH, ApiView, tagged
from opensoar.api.pagination import PAGE_PARAMETERS, paginate
from opensoar.errors import Invalid

READ, CREATE, UPDATE = "incidents:read", "incidents:create", "incidents:update"
Anything = OpenApiTypes.OBJECT


class ApiIncidentFilter(FilterSet):
    """What the list can be narrowed by."""

    status = ChoiceFilter(choices=Incident.Status.choices)
    severity = ChoiceFilter(choices=Severity.choices)

    class Meta:
        model = Incident
        fields: tuple[str, ...] = ()


def _answer(view: ApiView, pk: object, status: int = 200) -> Response:
    incident = get_incident_for(view.actor, pk, READ)
    return tagged(show_incident(incident), incident.version, status)


class IncidentsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": CREATE}

    @extend_schema(operation_id="incidents_list", responses=Anything, parameters=PAGE_PARAMETERS)
    def get(self, request: Request) -> Response:
        """Incidents, newest first."""
        found = Incident.objects.visible_to(self.actor).with_related().order_by("-id")
        return paginate(request, self.filtered(ApiIncidentFilter, found), "incidents", show_incidents)

    @extend_schema(request=shapes.IncidentIn, responses={201: Anything})
    def post(self, request: Request) -> Response:
        """Open one."""
        incident = services.open_incident(actor=self.actor, **self.body(shapes.IncidentIn))
        return _answer(self, incident.pk, 201)


class IncidentView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "PATCH": UPDATE}

    @extend_schema(responses=Anything)
    def get(self, request: Request, pk: str) -> Response:
        """One incident, by id or number."""
        return _answer(self, pk)

    @extend_schema(request=shapes.IncidentPatch, responses=Anything, parameters=[IF_MATCH])
    def patch(self, request: Request, pk: str) -> Response:
        """Change what is sent."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        changes = self.body(shapes.IncidentPatch)
        services.update_incident(
            actor=self.actor, incident=incident, expected_version=self.expected_version(), **changes
        )
        return _answer(self, pk)


class AssignView(ApiView):
    capability = UPDATE

    @extend_schema(request=AssignIn, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Give it to somebody, or to nobody."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        owner = self.body(AssignIn)["assigned_to"] or None
        services.assign_incident(
            actor=self.actor, incident=incident, user=owner, expected_version=self.expected_version()
        )
        return _answer(self, pk)


class CloseView(ApiView):
    capability = UPDATE

    @extend_schema(request=shapes.CloseIn, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Close with determination, impact and summary."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        services.close_incident(
            actor=self.actor,
            incident=incident,
            expected_version=self.expected_version(),
            **self.body(shapes.CloseIn),
        )
        return _answer(self, pk)


class ReopenView(ApiView):
    capability = UPDATE

    @extend_schema(request=ReasonIn, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Open it again."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        services.reopen_incident(
            actor=self.actor,
            incident=incident,
            expected_version=self.expected_version(),
            **self.body(ReasonIn),
        )
        return _answer(self, pk)


class IncidentAlertsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": UPDATE}

    @extend_schema(responses=Anything)
    def get(self, request: Request, pk: str) -> Response:
        """Its alerts."""
        incident = get_incident_for(self.actor, pk, READ)
        rows = Alert.objects.visible_to(self.actor).with_related().filter(incidents=incident)
        return Response(show_alerts(list(rows.order_by("-id"))))

    @extend_schema(request=shapes.LinkIn, responses={201: Anything})
    def post(self, request: Request, pk: str) -> Response:
        """Link an alert."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        alert = get_alert_for(self.actor, self.body(shapes.LinkIn)["alert_id"], "alerts:read")
        services.link_alert(actor=self.actor, incident=incident, alert=alert)
        return Response({"detail": _("Alert linked to incident")}, status=201)


class IncidentAlertView(ApiView):
    capability = UPDATE

    @extend_schema(responses=Anything)
    def delete(self, request: Request, pk: str, alert_id: str) -> Response:
        """Unlink an alert."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        alert = get_alert_for(self.actor, alert_id, "alerts:read")
        services.unlink_alert(actor=self.actor, incident=incident, alert=alert)
        return Response({"detail": _("Alert unlinked from incident")})


class AlertIncidentsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": READ}

    @extend_schema(responses=Anything)
    def get(self, request: Request, pk: str) -> Response:
        """The incidents an alert is in."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        rows = Incident.objects.visible_to(self.actor).with_related().filter(alerts=alert)
        return Response(show_incidents(list(rows.order_by("-id"))))

    @extend_schema(request=shapes.FromAlertIn, responses={201: Anything})
    def post(self, request: Request, pk: str) -> Response:
        """Link to an incident, or open one."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        body = self.body(shapes.FromAlertIn)
        known = body.pop("incident_id", None)
        if bool(known) == bool(body.get("title")):
            raise Invalid(_("Give either incident_id or title"))
        if known:
            incident = get_incident_for(self.actor, known, UPDATE)
            services.link_alert(actor=self.actor, incident=incident, alert=alert)
        else:
            require(self.actor, CREATE)
            incident = services.open_incident(actor=self.actor, alerts=[alert], **body)
        return _answer(self, incident.pk, 201)


class IncidentActivitiesView(ApiView):
    capability = READ

    @extend_schema(responses=Anything, parameters=PAGE_PARAMETERS)
    def get(self, request: Request, pk: str) -> Response:
        """What happened to it, newest first."""
        incident = get_incident_for(self.actor, pk, READ)
        entries = first_entries(IncidentEntry, [incident.pk])
        return paginate(request, entries, "activities", lambda rows: show_activities(rows, "incident"))


class IncidentCommentsView(ApiView):
    capability = UPDATE

    @extend_schema(request=CommentIn, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Say something."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        entry = services.comment_incident(
            actor=self.actor, incident=incident, text=self.body(CommentIn)["text"]
        )
        return Response(show_activities([entry], "incident")[0])


class HandoffsView(ApiView):
    capability = UPDATE

    @extend_schema(request=shapes.HandoffIn, responses={201: Anything})
    def post(self, request: Request, pk: str) -> Response:
        """Hand it over."""
        incident = get_incident_for(self.actor, pk, UPDATE)
        handoff = services.hand_off(actor=self.actor, incident=incident, **self.body(shapes.HandoffIn))
        return Response({"id": str(handoff.pk), "to_user": str(handoff.to_user_id)}, status=201)


class AcknowledgeView(ApiView):
    capability = UPDATE

    @extend_schema(request=None, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Take over."""
        handoff = get_handoff_for(self.actor, pk, UPDATE)
        services.acknowledge_handoff(actor=self.actor, handoff=handoff)
        return Response({"detail": _("Handoff acknowledged")})


class SuggestionsView(ApiView):
    capability = READ

    @extend_schema(responses=Anything)
    def get(self, request: Request) -> Response:
        """What could be opened, best first."""
        return Response([show_suggestion(found) for found in suggestions.suggestions(self.actor)])


class AcceptView(ApiView):
    capability = CREATE

    @extend_schema(request=shapes.AcceptIn, responses={201: Anything})
    def post(self, request: Request, pk: str) -> Response:
        """Open it."""
        body = self.body(shapes.AcceptIn)
        incident = suggestions.accept_suggestion(actor=self.actor, suggestion_id=pk, **body)
        return _answer(self, incident.pk, 201)


class DismissView(ApiView):
    capability = UPDATE

    @extend_schema(request=shapes.DismissIn, responses=Anything)
    def post(self, request: Request, pk: str) -> Response:
        """Say no."""
        suggestions.dismiss_suggestion(actor=self.actor, suggestion_id=pk, **self.body(shapes.DismissIn))
        return Response({"detail": _("Suggestion dismissed")})
