"""REST: suggested incidents."""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.access import get_alert_for
from incidents import serializers as shapes
from incidents import services, suggestions
from incidents.access import get_exclusion_for, get_incident_for
from incidents.api import CREATE, READ, UPDATE, answer
from incidents.belonging import belongings
from incidents.models import SuggestionExclusion
from incidents.serializers import (
    BelongingSerializer,
    ExclusionSerializer,
    IncidentSerializer,
    SuggestionSerializer,
    show_belonging,
    show_exclusion,
    show_suggestion,
)
from opensoar.access import require
from opensoar.accounts.services import resolve_partner
from opensoar.api.base import ApiView, Detail
from opensoar.errors import Invalid


class SuggestionsView(ApiView):
    capability = READ

    @extend_schema(operation_id="suggestions_list", responses=SuggestionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """What could be opened, best first."""
        return Response([show_suggestion(found) for found in suggestions.suggestions(self.actor)])


class AcceptView(ApiView):
    capability = UPDATE

    @extend_schema(request=shapes.AcceptIn, responses={200: IncidentSerializer, 201: IncidentSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Open it (201), or add its alerts to ``incident`` (200)."""
        body = self.body(shapes.AcceptIn)
        wanted = body.pop("incident", None)
        if not wanted:
            require(self.actor, CREATE)
            opened = suggestions.accept_suggestion(actor=self.actor, suggestion_id=pk, **body)
            return answer(self, opened.pk, 201)
        if any(body.values()):
            raise Invalid(_("Title and owner are for a new incident"), field="incident")
        incident = get_incident_for(self.actor, wanted, UPDATE)
        suggestions.accept_suggestion(actor=self.actor, suggestion_id=pk, incident=incident)
        return answer(self, incident.pk)


class DismissView(ApiView):
    capability = UPDATE

    @extend_schema(request=shapes.DismissIn, responses=Detail)
    def post(self, request: Request, pk: str) -> Response:
        """Say no."""
        suggestions.dismiss_suggestion(actor=self.actor, suggestion_id=pk, **self.body(shapes.DismissIn))
        return Response({"detail": _("Suggestion dismissed")})


class BelongingsView(ApiView):
    capability = READ

    @extend_schema(operation_id="alert_suggested_incidents", responses=BelongingSerializer(many=True))
    def get(self, request: Request, pk: str) -> Response:
        """Open incidents that an alert possibly belongs to, best first, with the reason. Link it as always."""
        alert = get_alert_for(self.actor, pk, "alerts:read")
        return Response([show_belonging(found) for found in belongings(self.actor, alert)])


class ExclusionsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": UPDATE}

    @extend_schema(operation_id="suggestion_exclusions", responses=ExclusionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Entities that group no alerts, newest first, expired ones included; at most 1,000."""
        rows = SuggestionExclusion.objects.visible_to(self.actor).kept().select_related("partner")
        return Response([show_exclusion(row) for row in rows[:1_000]])

    @extend_schema(request=shapes.ExclusionIn, responses={201: ExclusionSerializer})
    def post(self, request: Request) -> Response:
        """Exclude an entity; suggestions follow within seconds."""
        body = self.body(shapes.ExclusionIn)
        named, everybody = body.pop("partner", None), body.pop("everybody", False)
        if everybody and named:
            raise Invalid(_("Name a partner, or everybody"), field="partner")
        partner = None if everybody else resolve_partner(named, actor=self.actor)
        row = services.save_exclusion(actor=self.actor, partner=partner, **body)
        return Response(show_exclusion(row), status=201)


class ExclusionView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"DELETE": UPDATE}

    @extend_schema(responses={200: Detail})
    def delete(self, request: Request, pk: str) -> Response:
        """Let it group alerts again."""
        row = get_exclusion_for(self.actor, pk, UPDATE)
        services.delete_exclusion(actor=self.actor, exclusion=row)
        return Response({"detail": _("Exclusion deleted")})
