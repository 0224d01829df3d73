"""Every refusal as ``{"detail": …}`` with the status that says the same."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from opensoar.errors import Invalid, NotAuthenticated, ServiceError, Stale, TooMany


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler; ``None`` lets what we did not foresee become a logged 500 (or 503 by middleware)."""
    if isinstance(exc, ServiceError):
        set_rollback()
        return _refusal(exc)
    if isinstance(exc, drf.ValidationError):
        set_rollback()
        where = (
            "body"
            if getattr(context.get("request"), "method", "GET") in ("POST", "PUT", "PATCH")
            else "query"
        )
        return Response({"detail": list(_problems(exc.detail, (where,)))}, status=422)
    if isinstance(exc, RequestDataTooBig | TooManyFieldsSent):
        return Response({"detail": _("The body is too large")}, status=413)
    if isinstance(exc, SuspiciousOperation | BadRequest):
        return Response({"detail": _("That request cannot be understood")}, status=400)
    if isinstance(exc, Http404):
        return Response({"detail": _("Not found")}, status=404)
    if isinstance(exc, PermissionDenied):
        return Response({"detail": str(exc) or _("Permission denied")}, status=403)
    return exception_handler(exc, context)


def _refusal(exc: ServiceError) -> Response:
    body: dict[str, Any] = {"detail": exc.detail}
    headers: dict[str, str] = {}
    if isinstance(exc, Invalid) and exc.field:
        body["field"] = exc.field
    if isinstance(exc, Stale):
        body |= {"expected_version": exc.expected, "current_version": exc.current}
        headers["ETag"] = f'"{exc.current}"'
    if isinstance(exc, TooMany):
        headers["Retry-After"] = str(exc.retry_after)
    if isinstance(exc, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return Response(body, status=exc.status, headers=headers)


def _problems(detail: Any, loc: tuple[str | int, ...]) -> Any:
    """DRF's nested answers as the flat list of the public API: ``{type, loc, msg}``."""
    if isinstance(detail, dict):
        for key, inner in detail.items():
            yield from _problems(inner, loc if key == "non_field_errors" else (*loc, key))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from _problems(inner, (*loc, index) if isinstance(inner, dict | list) else loc)
    else:
        yield {"type": getattr(detail, "code", "invalid"), "loc": list(loc), "msg": str(detail)}
