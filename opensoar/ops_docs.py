"""The API's own description: OpenAPI 3.1, and a page that shows it. Both for whoever is signed in, both from here."""

from __future__ import annotations

from functools import cache

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request

from opensoar.api.base import ApiView


@cache
def openapi() -> bytes:
    """The description as JSON; it is the same for everybody and changes only with the code."""
    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = OpenApiJsonRenderer().render(document, renderer_context={})
    return rendered + b"\n"


class SchemaView(ApiView):
    signed_in_is_enough = True

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """OpenAPI 3.1, as JSON."""
        return HttpResponse(openapi(), content_type="application/json")


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files; its start-up script has an address of its own, so no code is inline."""

    url_name = "api-schema"
    template_name = "api/docs.html"
