"""One poll per page: the page says what it has seen (``X-Seen``), the answer is nothing or what changed."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponse

from opensoar.typing import HttpRequest

HEADER = "X-Seen"


def poll(request: HttpRequest, seen: str, changed: Callable[[], HttpResponse]) -> HttpResponse:
    """204 while the page has seen ``seen``, else ``changed()``: the panels, out of band."""
    if request.headers.get(HEADER) == seen:
        return HttpResponse(status=204)
    return stamped(changed(), seen)


def stamped(response: HttpResponse, seen: str) -> HttpResponse:
    """An answer that brings the page up to ``seen``, so that the next poll has nothing to tell."""
    response[HEADER] = seen
    return response
