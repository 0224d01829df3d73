"""Who calls the API: a bearer token first, then the session of a browser. Sets ``request.actor``."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from opensoar.accounts.models import ApiToken, User
from opensoar.accounts.services import actor_for_token, authenticate_token
from opensoar.accounts.services.tokens import token_digest
from opensoar.actors import Actor


class TokenAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer osr_…`` or ``X-API-Key: osr_…``. A session token acts as its person."""

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def authenticate(self, request: Request) -> tuple[User | None, ApiToken] | None:
        """The person behind the token (nobody for a machine's) and the token; 401 says why it does not open."""
        plaintext = _presented(request)
        if plaintext is None:
            return None
        token = authenticate_token(plaintext)
        if token is None:
            raise exceptions.AuthenticationFailed(_why_not(plaintext))
        _act(request, actor_for_token(token))
        return (token.user if token.kind == ApiToken.Kind.SESSION else None), token


class BrowserAuthentication(authentication.SessionAuthentication):
    """The session of somebody signed in on the pages; writes need the CSRF token."""

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """The signed-in person, if the session is theirs and still active."""
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        self.enforce_csrf(request)
        _act(request, user.actor)
        return user, None


def _act(request: Request, actor: Actor) -> None:
    # On Django's request: DRF's proxies to it, and middleware sees it too.
    request._request.actor = actor  # type: ignore[attr-defined]


def _presented(request: Request) -> str | None:
    words = request.headers.get("Authorization", "").split()
    if words and words[0].lower() == "bearer":
        if len(words) != 2:
            raise exceptions.AuthenticationFailed(_("Invalid token"))
        return words[1]
    key: str = request.headers.get("X-API-Key", "").strip()
    return key or None


def _why_not(plaintext: str) -> Any:
    """Only the holder of the right secret learns more than that it is invalid."""
    token = ApiToken.objects.select_related("user").filter(digest=token_digest(plaintext)).first()
    if token is None or token.revoked_at is not None:
        return _("Invalid token")
    if token.user is not None and not token.user.is_active:
        return _("Analyst not found or inactive")
    return _("Token expired")
