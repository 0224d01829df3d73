"""What every page's frame needs: where `/` leads, and the theme."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from opensoar.typing import AuthenticatedRequest, HttpRequest
from opensoar.web import menu
from opensoar.web.decorators import require_capability

YEAR = 365 * 24 * 3600


@require_safe
@require_capability("alerts:read")
def home(request: AuthenticatedRequest) -> HttpResponse:
    """The queue is where work begins."""
    return redirect("alerts:list")


@require_safe
@require_capability("alerts:read")
def counts(request: AuthenticatedRequest) -> HttpResponse:
    """The numbers of the menu, out of band."""
    return render(request, "_counts.html", {"counts": menu.counts(request.actor)})


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Keep ``light`` or ``dark`` in a cookie; anything else follows the system."""
    return _keep(request, "theme", {"light", "dark"})


@require_POST
def set_density(request: HttpRequest) -> HttpResponse:
    """Keep ``compact`` rows in a cookie; anything else means rows of two lines."""
    return _keep(request, "density", {"compact"})


def _keep(request: HttpRequest, name: str, allowed: set[str]) -> HttpResponse:
    response = redirect(next_url(request))
    value = request.POST.get(name, "")
    if value in allowed:
        secure = request.is_secure()
        response.set_cookie(name, value, max_age=YEAR, secure=secure, httponly=True, samesite="Lax")
    else:
        response.delete_cookie(name, samesite="Lax")
    return response


def next_url(request: HttpRequest, default: str = "/") -> str:
    """The form's ``next`` if it is a place on this site, else ``default``."""
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else default
