"""REST: suggested incidents."""

from __future__ import annotations

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import serializers as shapes
from incidents import suggestions
from incidents.access import get_incident_for
from incidents.api import CREATE, READ, UPDATE, answer
from incidents.serializers import IncidentSerializer, SuggestionSerializer, show_suggestion
from opensoar.access import require
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
