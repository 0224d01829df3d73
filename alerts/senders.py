"""Who sends: the token of an inbound request, and the partner its alerts belong to.

Thousands of requests a second come with the same few tokens, so both are remembered for a moment: a token for less than
a second (a revoked one is dead before the next), a partner's name for a few. Requests with wrong tokens, or none, are
refused without a question each to the database, whose few connections those with a token need.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from alerts.safejson import MAX_DEPTH
from opensoar.accounts.models import DEFAULT_PARTNER_ID, ApiToken, Partner
from opensoar.accounts.services import get_or_create_partner
from opensoar.accounts.services.tokens import token_digest
from opensoar.actors import Actor
from opensoar.crypto import SecretsError, decrypt
from opensoar.pool import release_connection

log = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024  # of a body, or a line of NDJSON
_REFRESH_AFTER = 0.5  # seconds: one request reads the token anew while others go on with what is known
_DEAD_AFTER = 0.9  # seconds: nobody goes on with older knowledge
_PARTNER_FOR = 5.0  # seconds
_QUESTIONS = 20  # a second, about tokens that are not remembered
_MAX_REMEMBERED = 10_000
_INGEST_SCOPES = frozenset({"ingest", "admin"})
_TOKEN_PARAMETERS = frozenset({"token", "api_key", "apikey", "access_token", "x-api-key"})


class Refused(Exception):
    """The request's credentials do not open the webhooks; ``status`` is 401 or 403."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Sender:
    """A token as far as ingest needs it. ``partner_id`` and ``source`` bind every alert when they are set."""

    token_id: UUID | None
    name: str
    partner_id: UUID | None = None
    partner: str | None = None
    source: str = ""
    may_ingest: bool = True
    revoked: bool = False
    expires_at: datetime | None = None
    per_minute: int | None = None
    max_bytes: int = MAX_BYTES
    max_depth: int = MAX_DEPTH
    signature: str = ApiToken.Signature.NONE
    signing_key: bytes | None = field(default=None, repr=False)
    """None where none is wanted, or where it cannot be opened."""

    @property
    def actor(self) -> Actor:
        """The sender as who did it, for what is recorded on its behalf."""
        if self.token_id is None:
            return Actor.system(self.name)
        return Actor(kind="token", id=self.token_id, name=self.name)


class _Remembered:
    __slots__ = ("read_at", "refreshing", "value")

    def __init__(self, value: Any, read_at: float) -> None:
        self.value = value
        self.read_at = read_at
        self.refreshing = False


class _Strangers:
    """What is known about tokens that are not remembered; of one second, but for ``some_exist``."""

    lock = threading.Lock()
    since = float("-inf")
    questions = 0
    digests: frozenset[bytes] | None = None
    some_exist = False  # for good: nobody who has seen a token needs to be told how to make the first
    none_since = float("-inf")


_tokens: dict[bytes, _Remembered] = {}
_partners: dict[str, _Remembered] = {}


def authenticate(environ: Mapping[str, Any]) -> Sender:
    """The sender of a WSGI request, by ``Authorization: Bearer`` or ``X-API-Key``. Raises :class:`Refused`."""
    query = environ.get("QUERY_STRING", "")
    if query and any(
        name.lower() in _TOKEN_PARAMETERS for name, _value in parse_qsl(query, keep_blank_values=True)
    ):
        raise Refused(
            401, _("Send the token in the header Authorization or X-API-Key; addresses end up in logs")
        )
    plaintext = _credential(environ)
    if not plaintext:
        raise Refused(401, _first_token_hint() or _("API key required"))
    sender = _sender(plaintext)
    if sender is None or sender.revoked:
        raise Refused(401, _first_token_hint() or _("Invalid or revoked API key"))
    if sender.expires_at is not None and sender.expires_at <= timezone.now():
        raise Refused(401, _("API key expired"))
    if not sender.may_ingest:
        raise Refused(403, _("Permission denied: requires a token with scope ingest"))
    return sender


def _credential(environ: Mapping[str, Any]) -> str:
    scheme, _space, rest = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return str(rest.strip())
    if scheme.lower() == "basic":
        return _password(rest)
    return str(environ.get("HTTP_X_API_KEY", "").strip())


def _password(encoded: str) -> str:
    """Of Basic authentication, which is all that some senders can (Amazon SNS: https://any:token@host/…)."""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2].strip()
    except ValueError:
        return ""


def _first_token_hint() -> str:
    """What to do on an installation that has no token yet; empty where there is one."""
    now = time.monotonic()
    if not _Strangers.some_exist and now - _Strangers.none_since >= 1:
        try:
            _Strangers.some_exist = ApiToken.objects.filter(kind=ApiToken.Kind.API).exists()
        finally:
            release_connection()
        _Strangers.none_since = now
    if _Strangers.some_exist:
        return ""
    return _(
        "API key required. There is none yet: make one with “manage.py create_token NAME --scope ingest”"
    )


def _sender(plaintext: str) -> Sender | None:
    digest = token_digest(plaintext)
    now = time.monotonic()
    known = _tokens.get(digest)
    if known is not None:
        age = now - known.read_at
        if age < _REFRESH_AFTER or (age < _DEAD_AFTER and known.refreshing):
            return known.value
        known.refreshing = True
    elif not _may_exist(digest):
        return None
    sender = _read_token(digest)
    if sender is None:
        _tokens.pop(digest, None)
    else:
        _remember(_tokens, digest, sender, now)
        _Strangers.some_exist = True
    return sender


def _may_exist(digest: bytes) -> bool:
    """Whether the database is to be asked about a token that is not remembered.

    It is for the first of each second, so that a new token works at once. Of a flood, where no two wrong tokens need be
    the same, it is asked once a second which there are; a new one then works a second later.
    """
    with _Strangers.lock:
        now = time.monotonic()
        if now - _Strangers.since >= 1:
            _Strangers.since, _Strangers.questions, _Strangers.digests = now, 0, None
        _Strangers.questions += 1
        if _Strangers.questions <= _QUESTIONS:
            return True
        if _Strangers.digests is None:
            _Strangers.digests = _all_digests()
        return digest in _Strangers.digests


def _all_digests() -> frozenset[bytes]:
    try:
        digests = ApiToken.objects.filter(kind=ApiToken.Kind.API).values_list("digest", flat=True)
        return frozenset(bytes(digest) for digest in digests)
    finally:
        release_connection()


def _read_token(digest: bytes) -> Sender | None:
    try:
        token = (
            ApiToken.objects.select_related("partner").filter(digest=digest, kind=ApiToken.Kind.API).first()
        )
    finally:
        release_connection()
    return None if token is None else sender_of(token)


def sender_of(token: ApiToken) -> Sender:
    """The sender that ``token`` (with its partner) stands for."""
    return Sender(
        token_id=token.pk,
        name=token.name,
        partner_id=token.partner_id,
        partner=token.partner.public_slug if token.partner is not None else None,
        source=token.source,
        may_ingest=not _INGEST_SCOPES.isdisjoint(token.scopes),
        revoked=token.revoked_at is not None,
        expires_at=token.expires_at,
        per_minute=token.alerts_per_minute,
        max_bytes=token.max_body_bytes or MAX_BYTES,
        max_depth=token.max_depth or MAX_DEPTH,
        signature=token.signature,
        signing_key=_signing_key(token),
    )


def _signing_key(token: ApiToken) -> bytes | None:
    if token.signing_secret is None:
        return None
    try:
        return decrypt(token.signing_secret, context=str(token.pk))
    except SecretsError as error:
        log.error("the signing secret of token %s does not open: %s", token.pk, error)
        return None


def partner_named(name: str, sender: Sender) -> tuple[UUID, str | None] | None:
    """Id and public slug of the partner a payload names; made if unknown, ``None`` where the settings refuse that."""
    now = time.monotonic()
    known = _partners.get(name)
    if known is None or now - known.read_at > _PARTNER_FOR:
        partner = get_or_create_partner(name, actor=sender.actor)
        known = _remember(
            _partners, name, None if partner is None else (partner.pk, partner.public_slug), now
        )
    return known.value


def partner_of(partner_id: UUID) -> tuple[UUID, str | None]:
    """Id and public slug of a partner by id; the partner every installation has where it is gone."""
    if partner_id == DEFAULT_PARTNER_ID:
        return DEFAULT_PARTNER_ID, None
    partner = Partner.objects.filter(pk=partner_id).first()
    return (DEFAULT_PARTNER_ID, None) if partner is None else (partner.pk, partner.public_slug)


def _remember[K](memory: dict[K, _Remembered], key: K, value: Any, now: float) -> _Remembered:
    if len(memory) >= _MAX_REMEMBERED:
        memory.clear()
    memory[key] = entry = _Remembered(value, now)
    return entry


def forget() -> None:
    """Forget every token and partner: what changes them in this process need not wait."""
    _tokens.clear()
    _partners.clear()
    _Strangers.since = _Strangers.none_since = float("-inf")
    _Strangers.some_exist = False
