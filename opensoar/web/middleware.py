"""The frictions of HTMX and of a database that restarts, solved once."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.contrib import messages
from django.db import OperationalError
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.middleware.gzip import GZipMiddleware
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from psycopg_pool import PoolTimeout

from opensoar.typing import HttpRequest
from opensoar.web.errors import error_response

type GetResponse = Callable[[HttpRequest], HttpResponse]


class HtmxVaryMiddleware:
    """A URL that answers page and fragment must not be cached as one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        patch_vary_headers(response, ["HX-Request"])
        return response


class PrivateMiddleware:
    """Nothing that was made for one person is kept by a browser or a proxy, unless its view says so."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class GZipPagesMiddleware(GZipMiddleware):
    """Pages and fragments are compressed; answers of the API keep their strong ETag.

    Django masks the CSRF token anew for every page and pads the stream, so its length tells nothing of it (BREACH).
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:  # type: ignore[override]
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)  # type: ignore[return-value]


class HtmxLoginMiddleware:
    """An ended session answers a panel with 401 and a trigger, never with a login page inside the panel.

    Who then signs in, in the dialog that the trigger opens, stays on the page and gets the new session's CSRF token.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.htmx or response.status_code != 302:
            return response
        login = reverse("account_login")
        if response.headers["Location"].startswith(login):
            return HttpResponse(status=401, headers={"HX-Trigger": "login-required"})
        if request.path == login:
            answer = HttpResponse(status=204)
            answer.cookies = response.cookies
            answer.headers["HX-Trigger"] = json.dumps({"signed-in": {"token": get_token(request)}})
            return answer
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
        response = error_response(
            request, 503, _("The database is not available; try again in a few seconds.")
        )
        response.headers["Retry-After"] = "5"
        return response
