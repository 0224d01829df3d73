"""The webhooks as Django knows them. In production opensoar/wsgi.py answers these paths before Django does."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from alerts import webhooks

_DESCRIPTION = """\
One alert as a JSON object, or many: a JSON array, NDJSON (`application/x-ndjson`, up to 16 MB), the wrappers of
Alertmanager and Elastic, CEF and LEEF lines, a form with `payload=`; plain or gzip. A token with scope `ingest` goes
into `Authorization: Bearer` or `X-API-Key`. Answered is what is stored; what cannot be understood is kept in
quarantine (202 with a reason). `Idempotency-Key` tells repeats of alerts that have no id of their own.
"""


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
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request={"application/json": OpenApiTypes.ANY, "application/x-ndjson": OpenApiTypes.STR},
        responses={
            200: OpenApiResponse(OpenApiTypes.OBJECT, "stored"),
            202: OpenApiResponse(OpenApiTypes.OBJECT, "stored in quarantine, with the reason"),
            401: OpenApiResponse(OpenApiTypes.OBJECT, "no token, or a wrong one"),
            403: OpenApiResponse(OpenApiTypes.OBJECT, "the token lacks the scope ingest"),
            413: OpenApiResponse(OpenApiTypes.OBJECT, "too large"),
            503: OpenApiResponse(OpenApiTypes.OBJECT, "not stored; send it again after Retry-After seconds"),
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
