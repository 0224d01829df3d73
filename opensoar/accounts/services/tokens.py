"""Tokens: credentials of machines, and of people who signed in through the API. Only their digest is stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from opensoar.accounts.models import ApiToken, Partner, User
from opensoar.accounts.permissions import SCOPES, capabilities_of_scopes
from opensoar.accounts.services.audit import audit
from opensoar.accounts.services.inbound import BOUNDS, inbound_of, set_inbound
from opensoar.actors import Actor
from opensoar.errors import Invalid, NotAllowed
from opensoar.text import limited_text, required_text

PREFIX = "osr_"
SESSION_HOURS = 8
LAST_USED_EVERY = timedelta(
    minutes=1
)  # how exact "last used" is; a write per request would be the busiest write


def token_digest(plaintext: str) -> bytes:
    """What is stored of a token. Tokens are 256 random bits, so one round of SHA-256 is as good as a slow hash."""
    return hashlib.sha256(plaintext.encode("utf-8", "replace")).digest()


@transaction.atomic
def issue_token(
    *,
    actor: Actor,
    name: str,
    scopes: Iterable[str],
    partner: Partner | None = None,
    source: str = "",
    expires_at: datetime | None = None,
    user: User | None = None,
    kind: str = ApiToken.Kind.API,
    **inbound: Any,
) -> tuple[ApiToken, str]:
    """A new token and its plaintext ``osr_…``, which is known only now. Nobody can give more than they have.

    ``inbound`` says how its alerts are taken in: what :func:`configure_token` takes.
    """
    name = required_text(name, field="name", limit=150)
    granted = list(dict.fromkeys(scopes))
    unknown = [scope for scope in granted if scope not in SCOPES]
    if unknown or (not granted and kind == ApiToken.Kind.API):
        raise Invalid(
            _("Invalid scopes. Use some of: %(allowed)s") % {"allowed": ", ".join(SCOPES)}, field="scopes"
        )
    if kind == ApiToken.Kind.API:  # a session token acts as its user and gives nothing of its own
        _refuse_escalation(actor, granted, partner)
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid(_("The expiry lies in the past"), field="expires_at")
    plaintext = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken(
        kind=kind,
        name=name,
        prefix=plaintext[:12],
        digest=token_digest(plaintext),
        scopes=granted,
        user=user,
        partner=partner,
        source=limited_text(source, field="source", limit=50),
        expires_at=expires_at,
        created_by_id=actor.user_id,
    )
    set_inbound(token, **inbound)
    token.save(force_insert=True)
    if kind == ApiToken.Kind.API:
        detail = {"name": name, "scopes": granted, "partner": partner.slug if partner else None}
        detail |= inbound_of(token)
        audit(actor=actor, action="token_issued", object_kind="token", object_id=token.pk, detail=detail)
    return token, plaintext


def _refuse_escalation(actor: Actor, scopes: list[str], partner: Partner | None) -> None:
    if missing := sorted(c for c in capabilities_of_scopes(scopes) if not actor.can(c)):
        raise NotAllowed(
            _("A token cannot be given what you lack: %(rights)s") % {"rights": ", ".join(missing)}
        )
    if actor.partner_ids is not None and (partner is None or not actor.sees_partner(partner.pk)):
        raise NotAllowed(_("Bind the token to one of your partners"))


@transaction.atomic
def configure_token(*, actor: Actor, token: ApiToken, **inbound: Any) -> ApiToken:
    """Change how the alerts of a token are taken in; web processes follow within a second.

    ``inbound``: ``alerts_per_minute``, ``max_body_bytes`` and ``max_depth`` (None: the product's), ``signature``,
    ``signing_secret`` (text; left out, the old one stays). Raises :class:`Invalid`.
    """
    token = ApiToken.objects.select_for_update().get(pk=token.pk, kind=ApiToken.Kind.API)
    if set_inbound(token, **inbound):
        token.save(update_fields=[*BOUNDS, "signature", "signing_secret"])
        detail = {"name": token.name, **inbound_of(token), "new_secret": bool(inbound.get("signing_secret"))}
        audit(actor=actor, action="token_changed", object_kind="token", object_id=token.pk, detail=detail)
    return token


@transaction.atomic
def revoke_token(*, actor: Actor, token: ApiToken) -> ApiToken:
    """End a token now. A repeat changes nothing."""
    token = ApiToken.objects.select_for_update().get(pk=token.pk)
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        audit(
            actor=actor,
            action="token_revoked",
            object_kind="token",
            object_id=token.pk,
            detail={"name": token.name},
        )
    return token


def revoke_session_tokens(user: User) -> int:
    """End every session token of ``user`` (API tokens go on); how many were ended."""
    sessions = ApiToken.objects.filter(user=user, kind=ApiToken.Kind.SESSION, revoked_at__isnull=True)
    return sessions.update(revoked_at=timezone.now())


def authenticate_token(plaintext: str) -> ApiToken | None:
    """The usable token of that plaintext with its user, role and partner, or ``None``. Notes the use, to the minute."""
    if not plaintext.startswith(PREFIX):
        return None
    tokens = ApiToken.objects.select_related("user__role", "partner")
    token = tokens.filter(digest=token_digest(plaintext)).first()
    if token is None or not token.is_usable or (token.user is not None and not token.user.is_active):
        return None
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - LAST_USED_EVERY:
        old = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - LAST_USED_EVERY)
        ApiToken.objects.filter(old, pk=token.pk).update(last_used_at=now)
    return token


def actor_for_token(token: ApiToken) -> Actor:
    """Who acts: the person behind a session token, else the token itself with what its scopes allow."""
    if token.kind == ApiToken.Kind.SESSION and token.user is not None:
        return token.user.actor
    return Actor(
        kind="token",
        id=token.pk,
        name=token.name,
        capabilities=capabilities_of_scopes(token.scopes),
        partner_ids=None if token.partner_id is None else frozenset({token.partner_id}),
    )
