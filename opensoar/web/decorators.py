"""Who may see a page: every view of ours carries one of these."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse

from opensoar.access import require
from opensoar.errors import ServiceError
from opensoar.typing import AuthenticatedRequest
from opensoar.web.errors import error_response

type View[**P] = Callable[Concatenate[AuthenticatedRequest, P], HttpResponse]
type PlainView[**P] = Callable[Concatenate[HttpRequest, P], HttpResponse]


def require_capability[**P](capability: str) -> Callable[[View[P]], PlainView[P]]:
    """Sign-in first, then the capability; the view finds who is asking in ``request.actor``.

    A :class:`ServiceError` that the view lets through becomes a page of its own status.
    """

    def decorate(view: View[P]) -> PlainView[P]:
        @wraps(view)
        def guarded(request: AuthenticatedRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            request.actor = request.user.actor
            try:
                require(request.actor, capability)
                return view(request, *args, **kwargs)
            except ServiceError as error:
                return error_response(request, error.status, error.detail)

        return guarded  # type: ignore[return-value]

    return decorate
