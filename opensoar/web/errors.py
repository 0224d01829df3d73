"""Pages and fragments for what went wrong."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

TITLES = {
    400: _("That request cannot be understood"),
    403: _("You may not do that"),
    404: _("There is nothing here"),
    409: _("Somebody was faster"),
    412: _("This changed in the meantime"),
    422: _("That cannot be done like this"),
    500: _("Something went wrong on our side"),
    503: _("One moment please"),
}


def error_response(request: HttpRequest, status: int, detail: str = "") -> HttpResponse:
    """JSON under /api/, a small fragment for HTMX, a page otherwise."""
    title = TITLES.get(status, TITLES[400])
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": detail or str(title)}, status=status)
    page = "errors/down.html" if status == 503 else "errors/page.html"
    template = "errors/fragment.html" if getattr(request, "htmx", False) else page
    return render(request, template, {"status": status, "title": title, "detail": detail}, status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_response(request, 400)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_response(request, 403, str(exception or ""))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_response(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return error_response(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return error_response(
        request, 403, gettext("The page was open too long or cookies are off. Reload it and try again.")
    )
