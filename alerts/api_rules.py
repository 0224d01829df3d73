"""REST: the rules of the sources, and how they have done."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.rules import ORDERS, rules
from alerts.serializers import RuleSerializer, show_rule
from opensoar.api.base import ApiView
from opensoar.api.pagination import PAGE_PARAMETERS, envelope, page_bounds


class RulesQuery(serializers.Serializer[Any]):
    """What the list may be asked."""

    q = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="part of the rule's name or of its source"
    )
    ordering = serializers.ChoiceField(
        sorted(ORDERS), required=False, default="alerts", help_text="most of these first"
    )


class RulesView(ApiView):
    capability = "alerts:read"

    @extend_schema(
        operation_id="rules_list",
        responses=envelope("rules", RuleSerializer),
        parameters=[*PAGE_PARAMETERS, RulesQuery],
    )
    def get(self, request: Request) -> Response:
        """Every rule among the last 50,000 alerts that the caller sees, at most 90 days back."""
        asked = RulesQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        limit, offset = page_bounds(request)
        found = rules(self.actor, words=asked.validated_data["q"], order=asked.validated_data["ordering"])
        shown = [show_rule(one) for one in found[offset : offset + limit]]
        return Response({"rules": shown, "total": len(found)})
