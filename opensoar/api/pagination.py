"""``limit`` and ``offset`` (or ``cursor``), and the envelope ``{<items>, total}``."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

MAX_LIMIT = 200
MAX_OFFSET = 10_000_000
EXACT_TOTAL = 10_000
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)

PAGE_PARAMETERS = [
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}),
    OpenApiParameter("offset", {"type": "integer", "minimum": 0, "default": 0}),
]
CURSOR_PARAMETER = OpenApiParameter(
    "cursor", str, description="Stable paging, newest first: the `next` of the answer before; empty to begin."
)


def whole_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A number of the query string; 422 for anything else."""
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if not _DIGITS.fullmatch(raw) or not low <= int(raw) <= high:
        message = _("Must be a whole number from %(low)d to %(high)d") % {"low": low, "high": high}
        raise _query_error(name, message)
    return int(raw)


def page_bounds(request: Request, default: int = 50) -> tuple[int, int]:
    """``limit`` and ``offset``."""
    limit = whole_number(request, "limit", default, 1, MAX_LIMIT)
    return limit, whole_number(request, "offset", 0, 0, MAX_OFFSET)


def paginate(
    request: Request,
    queryset: QuerySet[Any],
    name: str,
    show: Callable[[list[Any]], Any],
    *,
    cursor: bool = False,
) -> Response:
    """One page of ``queryset`` under ``name``; ``show`` turns its rows into the answer.

    With ``cursor`` the list also pages by id, newest first, which new rows do not shift.
    """
    limit, offset = page_bounds(request)
    total = _total(queryset)
    after = request.query_params.get("cursor") if cursor else None
    if after is None:
        rows = list(queryset[offset : offset + limit])
        return Response({name: show(rows), **total})
    queryset = queryset.order_by("-pk")
    if after:
        queryset = queryset.filter(pk__lt=_cursor(after))
    rows = list(queryset[: limit + 1])
    more = str(rows[limit - 1].pk) if len(rows) > limit else None
    return Response({name: show(rows[:limit]), **total, "next": more})


def _total(queryset: QuerySet[Any]) -> dict[str, Any]:
    """The number of rows; far above what anybody pages through, what PostgreSQL expects, which costs no scan."""
    unordered = queryset.order_by()
    countable = unordered if queryset.query.combinator else unordered.values("pk")
    counted = countable[: EXACT_TOTAL + 1].count()
    if counted <= EXACT_TOTAL:
        return {"total": counted}
    plan = orjson.loads(unordered.explain(format="json"))
    return {"total": max(counted, plan[0]["Plan"]["Plan Rows"]), "total_is_estimate": True}


@cache
def envelope(name: str, item: type[serializers.BaseSerializer[Any]], *, cursor: bool = False) -> Any:
    """The schema of a list. The same one for the same arguments, since a schema's names are unique."""
    fields: dict[str, Any] = {name: item(many=True), "total": serializers.IntegerField()}
    fields["total_is_estimate"] = serializers.BooleanField(
        required=False, help_text=f"there, and true, where `total` is above {EXACT_TOTAL} and was not counted"
    )
    if cursor:
        fields["next"] = serializers.UUIDField(required=False, allow_null=True)
    noun = item.__name__.removesuffix("Serializer").removesuffix("Out")
    return inline_serializer(f"{noun}{'Page' if cursor else 'List'}", fields)


def _cursor(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _query_error("cursor", _("Not a cursor of ours")) from None


def _query_error(name: str, message: str) -> serializers.ValidationError:
    return serializers.ValidationError({name: [message]})
