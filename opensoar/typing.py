"""Types that views share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest as DjangoHttpRequest

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails

    from opensoar.accounts.models import User
    from opensoar.actors import Actor

type Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class HttpRequest(DjangoHttpRequest):
    """A request as our middleware leaves it."""

    htmx: HtmxDetails


class AuthenticatedRequest(HttpRequest):
    """A request of somebody who signed in; ``actor`` is set by ``require_capability``."""

    user: User
    actor: Actor
