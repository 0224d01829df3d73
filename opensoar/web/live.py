"""One poll per page: the page says what it has seen (``X-Seen``), the answer is nothing or what changed.

Session, rights and filter cost milliseconds, and nearly every poll finds nothing. So a poll that found nothing is
remembered for a minute, with the one statement that tells whether that still holds; while it does, :func:`application`
answers 204 without Django. It never answers anything else: every word on a page comes by the whole way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import md5
from operator import attrgetter
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import Error as DatabaseFailure
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from psycopg_pool import PoolTimeout

from opensoar.pool import release_connection
from opensoar.typing import HttpRequest

HEADER = "X-Seen"
SUFFIX = "/live/"
REMEMBERED_FOR = 60.0  # seconds; as long a page may not notice that its session has ended
MAX_REMEMBERED = 2_000


@dataclass(frozen=True, slots=True)
class Watch:
    """What a page shows, as one word that changes with it: ``statement`` asks for the word, which was ``seen``."""

    statement: str
    seen: str


def watch(*shown: QuerySet[Any, Any]) -> Watch:
    """Watch rows by the columns that change whenever something of them does. One query.

    Give ``values_list()`` of versions, sequence numbers and states, already narrowed to what the actor may see.
    """
    parts: list[str] = []
    params: list[Any] = []
    for rows in shown:
        try:
            sql, values = rows.query.sql_with_params()
        except EmptyResultSet:
            continue
        parts.append(f"(SELECT array_agg(r ORDER BY r)::text FROM ({sql}) r)")  # noqa: S608  the ORM's own SQL
        params += values
    postgres: Any = connection.ops
    statement = postgres.compose_sql(f"SELECT md5(concat_ws('/', {', '.join(parts) or 'NULL'}))", params)
    return Watch(statement, _ask(statement))


def seen_in(rows: Iterable[Model], *columns: str) -> str:
    """The word of :func:`watch` for rows that were read already: what they became meanwhile, the next poll tells.

    ``columns`` are named as in ``values_list()`` and hold numbers and ids alone.
    """
    told = sorted(tuple(attrgetter(name.replace("__", "."))(row) for name in columns) for row in rows)
    # As PostgreSQL writes an array of records.
    text = ",".join(f'"({",".join(map(str, values))})"' for values in told)
    return md5(f"{{{text}}}".encode() if told else b"", usedforsecurity=False).hexdigest()


def _ask(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchone()[0])


def poll(request: HttpRequest, now: Watch, changed: Callable[[], HttpResponse]) -> HttpResponse:
    """204 while the page has seen what is ``now``, else ``changed()``: the panels, out of band."""
    if request.headers.get(HEADER) != now.seen:
        return stamped(changed(), now.seen)
    response = HttpResponse(status=204)
    response.watch = now  # type: ignore[attr-defined]  # for application()
    return response


def stamped(response: HttpResponse, seen: str) -> HttpResponse:
    """An answer that brings the page up to ``seen``, so that the next poll has nothing to tell."""
    response[HEADER] = seen
    return response


@dataclass(frozen=True, slots=True)
class _Nothing:
    """A poll that found nothing, and how it was answered."""

    watch: Watch
    headers: list[tuple[str, str]]
    until: float  # time.monotonic()


_remembered: dict[tuple[str, ...], _Nothing] = {}
_lock = threading.Lock()


def application(
    environ: dict[str, Any], start_response: Callable[..., Any], whole: Callable[..., Iterable[bytes]]
) -> Iterable[bytes]:
    """The WSGI application for polls; ``whole`` is Django's, for all that is not known to be nothing."""
    if environ["REQUEST_METHOD"] != "GET":
        return whole(environ, start_response)
    # Cookies say who asks, the address what, and the header what the page has seen.
    key = tuple(environ.get(name, "") for name in ("HTTP_COOKIE", "PATH_INFO", "QUERY_STRING", "HTTP_X_SEEN"))
    known = _remembered.get(key)
    if known is not None and known.until > time.monotonic() and _still(known.watch):
        start_response("204 No Content", known.headers)
        return []
    response = whole(environ, start_response)
    found = getattr(response, "watch", None)
    if found is not None and isinstance(response, HttpResponse) and not response.cookies:
        _remember(key, _Nothing(found, list(response.items()), time.monotonic() + REMEMBERED_FOR))
    return response


def _still(known: Watch) -> bool:
    try:
        return _ask(known.statement) == known.seen
    except (DatabaseFailure, PoolTimeout):
        return False  # the whole way says what is wrong
    finally:
        release_connection()


def _remember(key: tuple[str, ...], nothing: _Nothing) -> None:
    """Keep the newest; who was asked longest ago is asked the whole way once more."""
    with _lock:
        _remembered.pop(key, None)
        while len(_remembered) >= MAX_REMEMBERED:
            del _remembered[next(iter(_remembered))]
        _remembered[key] = nothing
