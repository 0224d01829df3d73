"""REST: suppressions, what one would hide, and an alert shown again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import services
from alerts.access import get_alert_for, get_suppression_for
from alerts.api_filters import SuppressionFilter
from alerts.models import Suppression
from alerts.serializers import AlertSerializer, ReasonIn, show_alert, show_alerts
from alerts.services.suppressions import MAX_DAYS, USUAL_DAYS
from alerts.suppression_pages import hidden_by, preview
from opensoar.actors import Actor
from opensoar.api.base import ETAG, ApiView, query_parameters, tagged
from opensoar.api.fields import Object, StrictSerializer, Text
from opensoar.api.pagination import CURSOR_PARAMETER, PAGE_PARAMETERS, envelope, paginate

READ, UPDATE, MANAGE = "alerts:read", "alerts:update", "suppressions:manage"
EVERYBODY = "its short name; null: everybody's alerts"


class SuppressionSerializer(serializers.Serializer[Any]):
    """Which new alerts are hidden, why, until when, and who answers for it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    partner = serializers.CharField(allow_null=True, help_text=EVERYBODY)
    conditions = serializers.DictField(help_text="as a playbook's: docs/playbooks.md")
    reason = serializers.CharField()
    owner = serializers.UUIDField()
    owner_username = serializers.CharField()
    state = serializers.ChoiceField(Suppression.State.choices)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="null: never")
    ended_at = serializers.DateTimeField(allow_null=True)
    hidden = serializers.IntegerField(help_text="alerts that it hides now; counted up to 100,000")
    last_hidden_at = serializers.DateTimeField(allow_null=True)


class PreviewSerializer(serializers.Serializer[Any]):
    """What it would have hidden of the last 30 days."""

    sentence = serializers.CharField()
    total = serializers.IntegerField()
    malicious = serializers.IntegerField(
        help_text="of these, found to be malicious: look before you hide them"
    )
    suspicious = serializers.IntegerField()
    benign = serializers.IntegerField()
    looked_at = serializers.IntegerField()
    cut = serializers.BooleanField(help_text="whether there were more than were looked at")
    alerts = AlertSerializer(many=True, help_text="some of them, those that were no noise first")


class PreviewIn(StrictSerializer):
    """Whose alerts, and which."""

    conditions = Object()
    partner = Text(required=False, allow_null=True, allow_blank=True, max_length=200, help_text=EVERYBODY)


class SuppressionIn(PreviewIn):
    """What to hide, and why."""

    name = Text(max_length=200)
    reason = Text()
    days = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_DAYS,
        default=USUAL_DAYS,
        help_text="until it expires; an explicit null: never",
    )
    owner = Text(
        required=False,
        allow_null=True,
        max_length=200,
        help_text="id or name of who answers for it; the caller",
    )


def show_suppressions(actor: Actor, rows: Iterable[Suppression]) -> list[dict[str, Any]]:
    """Suppressions with what they hide of what ``actor`` sees; wants ``with_related``. One query."""
    rows = list(rows)
    hidden = hidden_by(actor, rows)
    return [
        {
            "id": str(row.pk),
            "name": row.name,
            "partner": row.partner.slug if row.partner else None,
            "conditions": row.conditions,
            "reason": row.reason,
            "owner": str(row.owner_id),
            "owner_username": row.owner.username,
            "state": row.state,
            "created_at": row.created_at,
            "expires_at": row.expires_at,
            "ended_at": row.ended_at,
            "hidden": hidden[row.pk].count,
            "last_hidden_at": hidden[row.pk].last_at,
        }
        for row in rows
    ]


def _answer(view: ApiView, pk: object, status: int = 200) -> Response:
    row = get_suppression_for(view.actor, pk, READ)
    return Response(show_suppressions(view.actor, [row])[0], status=status)


class SuppressionsView(ApiView):
    capabilities: ClassVar[dict[str, str]] = {"GET": READ, "POST": MANAGE}

    @extend_schema(
        operation_id="suppressions_list",
        responses=envelope("suppressions", SuppressionSerializer, cursor=True),
        parameters=[*PAGE_PARAMETERS, CURSOR_PARAMETER, *query_parameters(SuppressionFilter)],
    )
    def get(self, request: Request) -> Response:
        """Suppressions, newest first; those that ended or expired are kept."""
        rows = self.filtered(SuppressionFilter, Suppression.objects.visible_to(self.actor).with_related())
        return paginate(
            request, rows, "suppressions", lambda page: show_suppressions(self.actor, page), cursor=True
        )

    @extend_schema(request=SuppressionIn, responses={201: SuppressionSerializer})
    def post(self, request: Request) -> Response:
        """Hide new alerts that meet the conditions. Ask for a preview first."""
        row = services.create_suppression(actor=self.actor, **self.body(SuppressionIn))
        return _answer(self, row.pk, status=201)


class SuppressionPreviewView(ApiView):
    capability = MANAGE

    @extend_schema(request=PreviewIn, responses=PreviewSerializer)
    def post(self, request: Request) -> Response:
        """What it would have hidden of the last 30 days; nothing is kept."""
        found = preview(actor=self.actor, **self.body(PreviewIn))
        words = ("malicious", "suspicious", "benign")
        return Response(
            {
                "sentence": found.sentence,
                "total": found.total,
                **{word: found.determined[word] for word in words},
                "looked_at": found.looked_at,
                "cut": found.cut,
                "alerts": show_alerts(found.alerts),
            }
        )


class SuppressionView(ApiView):
    capability = READ

    @extend_schema(operation_id="suppressions_get", responses=SuppressionSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """One with what it hides."""
        return _answer(self, pk)


class SuppressionEndView(ApiView):
    capability = MANAGE

    @extend_schema(request=None, responses=SuppressionSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Hide nothing more. It is kept, as is what it hid."""
        services.end_suppression(actor=self.actor, suppression=get_suppression_for(self.actor, pk, MANAGE))
        return _answer(self, pk)


class ShowAgainView(ApiView):
    capability = UPDATE

    @extend_schema(request=ReasonIn, responses=AlertSerializer, parameters=[ETAG])
    def post(self, request: Request, pk: str) -> Response:
        """Bring a hidden alert back into the queue, and start its playbooks."""
        alert = get_alert_for(self.actor, pk, UPDATE)
        services.show_alert_again(actor=self.actor, alert=alert, **self.body(ReasonIn))
        alert = get_alert_for(self.actor, pk, UPDATE)
        return tagged(show_alert(alert), alert.version)
