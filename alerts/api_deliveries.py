"""REST: what was delivered, as it was received, and quarantined bodies parsed again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.access import get_delivery_for
from alerts.filters import DeliveryFilter
from alerts.health_pages import sources_of
from alerts.ingest import Unavailable
from alerts.models import Delivery
from alerts.replay import AT_ONCE, replay_all, replay_delivery
from opensoar.accounts.models import Partner
from opensoar.api.base import ApiView, query_parameters
from opensoar.api.pagination import CURSOR_PARAMETER, PAGE_PARAMETERS, envelope, paginate
from opensoar.errors import NotNow

READ, REPLAY = "alerts:read", "alerts:update"


class DeliverySerializer(serializers.Serializer[Any]):
    """One inbound body, and what became of it."""

    id = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]
    partner = serializers.CharField(allow_null=True)
    alert_id = serializers.UUIDField(allow_null=True)
    token_id = serializers.UUIDField(allow_null=True)
    state = serializers.ChoiceField(Delivery.State.choices)
    reason = serializers.CharField(allow_blank=True, help_text="why it is in quarantine")
    content_type = serializers.CharField(allow_blank=True)
    size = serializers.IntegerField(help_text="bytes")
    received_at = serializers.DateTimeField()


class DeliveryDetailSerializer(DeliverySerializer):
    """One inbound body with its content."""

    body = serializers.CharField(help_text="as received; bytes that are no UTF-8 show as U+FFFD")
    payload = serializers.JSONField(help_text="as it was understood; text where it is no JSON object")


class ReplayedSerializer(serializers.Serializer[Any]):
    """How many became alerts, and how many did not."""

    replayed = serializers.IntegerField()
    quarantined = serializers.IntegerField(help_text="still not understood; each with the reason of today")
    skipped = serializers.IntegerField(help_text="somebody else was faster")
    left = serializers.IntegerField(help_text=f"beyond the {AT_ONCE} of one request")


class SourceHealthSerializer(serializers.Serializer[Any]):
    """How one source speaks. Counts are of the last 24 hours, gaps are seconds."""

    source = serializers.CharField()  # type: ignore[assignment]
    partner = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(["learning", "speaking", "silent"])
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    usual_gap = serializers.FloatField(allow_null=True, help_text="null while it is learnt")
    silent_since = serializers.DateTimeField(allow_null=True, help_text="when the silence was noticed")
    alerts_24h = serializers.IntegerField()
    usual_24h = serializers.FloatField(allow_null=True)
    quarantined_24h = serializers.IntegerField()
    quarantined_share = serializers.FloatField(help_text="0 to 1")


def show_deliveries(rows: Iterable[Delivery]) -> list[dict[str, Any]]:
    """Deliveries without their bodies; wants ``listed()``. One query, however many."""
    rows = list(rows)
    partners = Partner.objects.in_bulk({row.partner_id for row in rows})
    return [
        {
            "id": str(row.pk),
            "source": row.source,
            "partner": partners[row.partner_id].public_slug,
            "alert_id": str(row.alert_id) if row.alert_id else None,
            "token_id": str(row.token_id) if row.token_id else None,
            "state": row.state,
            "reason": row.reason,
            "content_type": row.content_type,
            "size": row.size,  # type: ignore[attr-defined]  # annotated
            "received_at": row.received_at,
        }
        for row in rows
    ]


def show_delivery(delivery: Delivery) -> dict[str, Any]:
    """One with its body."""
    [row] = show_deliveries(Delivery.objects.listed().filter(pk=delivery.pk))
    return row | {"body": bytes(delivery.body).decode(errors="replace"), "payload": delivery.payload}


class DeliveriesView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="deliveries_list",
        responses=envelope("deliveries", DeliverySerializer, cursor=True),
        parameters=[*PAGE_PARAMETERS, CURSOR_PARAMETER, *query_parameters(DeliveryFilter)],
    )
    def get(self, request: Request) -> Response:
        """What was delivered, newest first.

        `body` finds text in bodies as they were received, of one day at most: name it by `received_at__gte` and
        `received_at__lt`.
        """
        found = Delivery.objects.visible_to(self.actor).listed().order_by("-id")
        return paginate(
            request, self.filtered(DeliveryFilter, found), "deliveries", show_deliveries, cursor=True
        )


class DeliveryView(ApiView):
    capability = READ

    @extend_schema(operation_id="deliveries_get", responses=DeliveryDetailSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """One with its body."""
        return Response(show_delivery(get_delivery_for(self.actor, pk, READ)))


class ReplayView(ApiView):
    capability = REPLAY

    @extend_schema(request=None, responses=DeliveryDetailSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """Parse a quarantined one again; it becomes an alert, or stays with the new reason."""
        delivery = get_delivery_for(self.actor, pk, REPLAY)
        try:
            replayed = replay_delivery(actor=self.actor, delivery=delivery)
        except Unavailable as error:
            raise NotNow(_("Nothing can be stored just now; try again"), retry_after=5) from error
        return Response(show_delivery(replayed))


class ReplayMatchingView(ApiView):
    capability = REPLAY

    @extend_schema(
        operation_id="deliveries_replay_matching",
        request=None,
        responses=ReplayedSerializer,
        parameters=query_parameters(DeliveryFilter),
    )
    def post(self, request: Request) -> Response:
        """Parse again what is in quarantine and matches the query, oldest first, at most 500 in one request."""
        found = self.filtered(DeliveryFilter, Delivery.objects.visible_to(self.actor))
        try:
            states = replay_all(actor=self.actor, found=found, limit=AT_ONCE)
        except Unavailable as error:
            raise NotNow(_("Nothing can be stored just now; try again"), retry_after=5) from error
        return Response({name: states[name] for name in ("replayed", "quarantined", "skipped", "left")})


class SourceHealthView(ApiView):
    capability = READ

    @extend_schema(
        operation_id="sources_health", responses=SourceHealthSerializer(many=True), tags=["sources"]
    )
    def get(self, request: Request) -> Response:
        """Every source that the caller sees, silent ones first: its usual gap, its last day against a usual one."""
        return Response(SourceHealthSerializer(sources_of(self.actor), many=True).data)
