"""What every page's frame needs: where `/` leads, and the theme."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from opensoar.typing import AuthenticatedRequest, HttpRequest
from opensoar.web.decorators import require_capability

YEAR = 365 * 24 * 3600


@require_safe
@require_capability("alerts:read")
def home(request: AuthenticatedRequest) -> HttpResponse:
    """The queue is where work begins."""
    return redirect("alerts:list")


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Keep ``light`` or ``dark`` in a cookie; anything else follows the system."""
    response = redirect(next_url(request))
    theme = request.POST.get("theme", "")
    if theme in {"light", "dark"}:
        response.set_cookie(
            "theme", theme, max_age=YEAR, secure=request.is_secure(), httponly=True, samesite="Lax"
        )
    else:
        response.delete_cookie("theme", samesite="Lax")
    return response


def next_url(request: HttpRequest, default: str = "/") -> str:
    """The form's ``next`` if it is a place on this site, else ``default``."""
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else default
