"""The frictions of HTMX and of a database that restarts, solved once."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.db import OperationalError
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from psycopg_pool import PoolTimeout

from opensoar.typing import HttpRequest

type GetResponse = Callable[[HttpRequest], HttpResponse]


class HtmxVaryMiddleware:
    """A URL that answers page and fragment must not be cached as one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        patch_vary_headers(response, ["HX-Request"])
        return response


class HtmxLoginMiddleware:
    """An ended session answers a panel with 401 and a trigger, never with a login page inside the panel."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if (
            request.htmx
            and response.status_code == 302
            and response.headers["Location"].startswith(reverse("account_login"))
        ):
            return HttpResponse(status=401, headers={"HX-Trigger": "login-required"})
        return response


class HtmxMessagesMiddleware:
    """Messages of an HTMX request are appended out of band to ``#messages``, which every page has."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        skip = (
            not request.htmx
            or response.streaming
            or not 200 <= response.status_code < 300
            or response.status_code == 204
            or "HX-Redirect" in response.headers
            or not response.headers.get("Content-Type", "").startswith("text/html")
        )
        if not skip and (pending := list(messages.get_messages(request))):
            response.write(render_to_string("_messages.html", {"messages": pending, "oob": True}, request))
        return response


class DatabaseDownMiddleware:
    """While PostgreSQL restarts, answer 503 with Retry-After instead of a 500."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, OperationalError | PoolTimeout):
            return None
        body = '{"detail": "The database is not available; try again in a few seconds."}'
        return HttpResponse(body, status=503, content_type="application/json", headers={"Retry-After": "5"})
