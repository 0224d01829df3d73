"""The webhooks as Django knows them. In production opensoar/wsgi.py answers these paths before Django does."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from alerts import webhooks
from alerts.models import Delivery, Severity
from opensoar.api.base import Detail

_DESCRIPTION = """\
One alert as a JSON object, or many: a JSON array, NDJSON (`application/x-ndjson`, up to 16 MB), the wrappers of
Alertmanager and Elastic, CEF and LEEF lines, a form with `payload=`; plain or gzip. A token with scope `ingest` goes
into `Authorization: Bearer` or `X-API-Key`. Answered is what is stored; what cannot be understood is kept in
quarantine (202 with a reason). `Idempotency-Key` tells repeats of alerts that have no id of their own.

Where the token wants it, `X-Webhook-Signature` is `sha256=` and the HMAC-SHA256, in hexadecimal, over
`<X-Webhook-Timestamp>.<body>` as sent, within 300 seconds of our clock. The same signed request again is answered with
`duplicate: true` and creates nothing.
"""


class OutcomeSerializer(serializers.Serializer[Any]):
    """What became of one alert. In quarantine it has a ``reason``, and neither title nor severity."""

    alert_id = serializers.UUIDField(allow_null=True)
    correlation_id = serializers.UUIDField(allow_null=True)
    title = serializers.CharField(allow_blank=True)
    severity = serializers.ChoiceField(Severity.choices, allow_blank=True)
    playbooks_triggered = serializers.ListField(child=serializers.CharField())
    duplicate = serializers.BooleanField()
    state = serializers.ChoiceField(Delivery.State.choices)
    delivery_id = serializers.UUIDField()
    reason = serializers.CharField(required=False)
    notes = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="what was cut, coerced or ignored"
    )


class ReceivedSerializer(OutcomeSerializer):
    """The answer to one alert."""

    message = serializers.CharField()


class ReceivedManySerializer(serializers.Serializer[Any]):
    """The answer to several, and to NDJSON always: one result each, in order."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    results = OutcomeSerializer(many=True)


class NotReceivedSerializer(serializers.Serializer[Any]):
    """Why not; of a body of many also what was stored before."""

    detail = serializers.CharField()
    accepted = serializers.IntegerField(required=False)
    duplicates = serializers.IntegerField(required=False)
    quarantined = serializers.IntegerField(required=False)
    results = OutcomeSerializer(many=True, required=False)


RECEIVED = PolymorphicProxySerializer(
    "Ingested", [ReceivedSerializer, ReceivedManySerializer], resource_type_field_name=None
)


class WebhookView(APIView):
    """Hands the request to :mod:`alerts.webhooks`, which does everything itself."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (JSONRenderer,)
    http_method_names = ["post"]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """JSON is answered whatever the sender says it accepts."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        summary="Receive alerts",
        description=_DESCRIPTION,
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.HEADER)
            for name in ("Idempotency-Key", "X-Webhook-Timestamp", "X-Webhook-Signature")
        ],
        request={"application/json": OpenApiTypes.ANY, "application/x-ndjson": OpenApiTypes.STR},
        responses={
            200: OpenApiResponse(RECEIVED, "stored"),
            202: OpenApiResponse(RECEIVED, "stored in quarantine, with the reason"),
            400: OpenApiResponse(NotReceivedSerializer, "the body ended early"),
            401: OpenApiResponse(
                Detail, "no token, or a wrong one; a signature that is missing, wrong or old"
            ),
            403: OpenApiResponse(Detail, "the token lacks the scope ingest"),
            408: OpenApiResponse(NotReceivedSerializer, "the body came too slowly"),
            413: OpenApiResponse(NotReceivedSerializer, "too large"),
            429: OpenApiResponse(
                Detail, "more than the token may deliver; send it again after Retry-After seconds"
            ),
            503: OpenApiResponse(
                NotReceivedSerializer, "not stored; send it again after Retry-After seconds"
            ),
        },
    )
    def post(self, request: Request, source: str = "") -> HttpResponse:
        """Receive alerts."""
        return self._handled(request)

    def http_method_not_allowed(self, request: Any, *args: object, **kwargs: object) -> Any:
        """The same 405 as in production."""
        return self._handled(request)

    def _handled(self, request: Request) -> HttpResponse:
        original: HttpRequest = request._request
        answer = webhooks.handle(original.META)
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


@extend_schema_view(post=extend_schema(operation_id="webhook_source"))
class SourceWebhookView(WebhookView):
    """The same under the address of one source."""


urlpatterns = [
    path("webhooks/alerts", WebhookView.as_view(), name="webhook"),
    path("webhooks/alerts/<str:source>", SourceWebhookView.as_view(), name="webhook-source"),
]
