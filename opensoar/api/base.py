"""What every API view does: body and query checked, version from ``If-Match``, the actor at hand."""

from __future__ import annotations

import io
import re
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django_filters import BaseCSVFilter, Filter, FilterSet, UUIDFilter
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from opensoar.actors import Actor
from opensoar.api.parsers import TooLarge
from opensoar.errors import Invalid
from opensoar.text import clean

_VERSION = re.compile(r'(?:W/)?"?([0-9]{1,9})"?', re.ASCII)

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The version (ETag) that you read; 412 if it is old.",
)
ETAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200], description="Its version, for If-Match."
)
Detail = inline_serializer("Detail", {"detail": serializers.CharField()})


class ApiView(APIView):
    """Base of all views. ``capabilities`` names by method what the caller needs; ``capability`` for the rest."""

    capability: ClassVar[str | None] = None
    capabilities: ClassVar[dict[str, str]] = {}
    signed_in_is_enough: ClassVar[bool] = False

    @property
    def actor(self) -> Actor:
        """Who asks."""
        actor: Actor = self.request._request.actor  # type: ignore[attr-defined]
        return actor

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """A chunked body has no length; Django would take it for none at all."""
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower() and not request.META.get(
            "CONTENT_LENGTH"
        ):
            limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 1_048_576
            raw = request.META["wsgi.input"].read(limit + 1)
            request.META["CONTENT_LENGTH"] = str(len(raw))
            request._stream = io.BytesIO(raw)
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if any(clean(value) != value for values in request.query_params.lists() for value in values[1]):
            raise Invalid(_("The query string holds characters that are no text"))
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 1_048_576):
            raise TooLarge(_("The body is too large"))

    def body[S: serializers.BaseSerializer[Any]](self, shape: type[S]) -> dict[str, Any]:
        """The request's body, checked: only what was sent (and defaults)."""
        serializer = shape(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def filtered(self, filters: type[FilterSet], queryset: QuerySet[Any]) -> QuerySet[Any]:
        """``queryset`` as the query string wants it; 422 for values that make no sense."""
        chosen = filters(self.request.query_params, queryset=queryset, request=self.request)
        if not chosen.is_valid():
            raise serializers.ValidationError(
                {name: [str(message) for message in messages] for name, messages in chosen.errors.items()}
            )
        found: QuerySet[Any] = chosen.qs
        return found

    def expected_version(self) -> int | None:
        """The version of ``If-Match``, ``None`` where any will do."""
        header = self.request.headers.get("If-Match", "").strip()
        if header in ("", "*"):
            return None
        match = _VERSION.fullmatch(header)
        if match is None:
            raise Invalid(_("If-Match takes the version of the object, as in its ETag"), field="If-Match")
        return int(match[1])


def query_parameters(filters: type[FilterSet]) -> list[OpenApiParameter]:
    """The schema of what :meth:`ApiView.filtered` takes."""
    return [_parameter(name, one) for name, one in filters.base_filters.items()]


def _parameter(name: str, one: Filter) -> OpenApiParameter:
    listed = isinstance(one, BaseCSVFilter)
    return OpenApiParameter(
        name,
        UUID if isinstance(one, UUIDFilter) else str,
        enum=[value for value, _label in one.extra["choices"]] if "choices" in one.extra else None,
        description=str(one.extra.get("help_text", "")),
        many=listed,
        style="form" if listed else None,
        explode=False if listed else None,
    )


def tagged(data: Any, version: int, status: int = 200) -> Response:
    """An answer with its ETag."""
    return Response(data, status=status, headers={"ETag": f'"{version}"'})
