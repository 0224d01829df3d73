"""One page of a list, without counting what nobody reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import HttpRequest

COUNTED = 10_000  # above this the exact number costs more than it tells
LAST_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Page[T]:
    """Rows ``number`` of a list; ``query`` is the address's query without the page, ``total`` at most ``COUNTED`` + 1."""

    items: list[T]
    number: int
    has_next: bool
    total: int
    query: str

    @property
    def shown_total(self) -> str:
        """The number of rows as a person reads it."""
        return f"{COUNTED:,}+" if self.total > COUNTED else f"{self.total:,}"


def page_of[M: Model](request: HttpRequest, queryset: QuerySet[M, Any], size: int = 50) -> Page[M]:
    """The page that ``?page=`` asks for; the first one where that is no number. Two queries."""
    number = _number(request)
    rows = list(queryset[(number - 1) * size : number * size + 1])
    total = queryset.order_by()[: COUNTED + 1].count()
    query = request.GET.copy()
    query.pop("page", None)
    return Page(rows[:size], number, len(rows) > size, total, query.urlencode())


def slice_of[M: Model](request: HttpRequest, queryset: QuerySet[M], size: int = 50) -> QuerySet[M]:
    """The rows of :func:`page_of` as a question that was not asked yet."""
    number = _number(request)
    return queryset[(number - 1) * size : number * size]


def _number(request: HttpRequest) -> int:
    asked = request.GET.get("page", "")
    known = asked.isascii() and asked.isdigit() and len(asked) < 9
    return min(max(int(asked), 1), LAST_PAGE) if known else 1


@dataclass(frozen=True, slots=True)
class KeysetPage[T]:
    """Rows of a list by id, newest first, which new rows do not shift; ``older`` is the id to go on after."""

    items: list[T]
    older: str
    is_first: bool
    query: str


def keyset_of[M: Model](request: HttpRequest, queryset: QuerySet[M, Any], size: int = 50) -> KeysetPage[M]:
    """The rows after ``?before=`` (an id); the newest where that is none. One query."""
    asked = request.GET.get("before", "")
    try:
        rows = queryset.filter(pk__lt=UUID(asked)) if asked else queryset
    except ValueError:
        asked, rows = "", queryset
    found = list(rows.order_by("-pk")[: size + 1])
    query = request.GET.copy()
    query.pop("before", None)
    older = str(found[size - 1].pk) if len(found) > size else ""
    return KeysetPage(found[:size], older, not asked, query.urlencode())
