"""The first question of every request: may this actor do this at all? Objects are asked for in ``access.py``."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from opensoar.access import require
from opensoar.actors import Actor


def actor_of(request: Any) -> Actor | None:
    """Who was authenticated, or nobody."""
    request.user  # noqa: B018 - authentication is lazy; this makes it happen
    return getattr(request._request, "actor", None)


class HasCapability(BasePermission):
    """401 without credentials; 403 without the capability that the view names for the method.

    A view names one ``capability``, or ``capabilities`` by method. A method that none is named for is refused, unless
    the view says ``signed_in_is_enough``.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        actor = actor_of(request)
        if actor is None:
            raise NotAuthenticated(_("Authentication required"))
        method = request.method or ""
        if method not in ("OPTIONS", "HEAD") and method.lower() not in view.http_method_names:
            return True  # 405 is the answer
        capability = view.capabilities.get(
            "GET" if method in ("HEAD", "OPTIONS") else method, view.capability
        )
        if capability is None:
            return bool(view.signed_in_is_enough) or not hasattr(view, method.lower()) or method == "OPTIONS"
        require(actor, capability)
        return True
