"""How the alerts of one token are taken in: how many, how large, and signed or not."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from opensoar.accounts.models import ApiToken
from opensoar.crypto import SecretsError, encrypt
from opensoar.errors import Invalid
from opensoar.text import choice

MIN_SECRET, MAX_SECRET = 16, 200  # characters of a signing secret
# The least and the most that a token may be given; the product's own limit is the most.
BOUNDS = {"alerts_per_minute": (1, 1_000_000), "max_body_bytes": (1_024, 1_048_576), "max_depth": (1, 32)}


def set_inbound(
    token: ApiToken, *, signature: str | None = None, signing_secret: str = "", **limits: int | None
) -> bool:
    """Put them on ``token``, unsaved; whether anything changed. What is left out stays. Raises :class:`Invalid`."""
    before = _state(token)
    for name, value in limits.items():
        low, high = BOUNDS[name]
        if value is not None and not low <= value <= high:
            raise Invalid(_("%(low)d to %(high)d, or nothing") % {"low": low, "high": high}, field=name)
        setattr(token, name, value)
    if signing_secret:
        token.signing_secret = _sealed(token, signing_secret)
    if signature is not None:
        token.signature = choice(signature, ApiToken.Signature.values, field="signature")
    if token.signature == ApiToken.Signature.NONE:
        token.signing_secret = None
    elif token.signing_secret is None:
        raise Invalid(_("A signature needs the secret that the sender signs with"), field="signing_secret")
    return _state(token) != before


def inbound_of(token: ApiToken) -> dict[str, Any]:
    """What was set, without the secret; nothing where all of it is the product's own."""
    set_here = {name: getattr(token, name) for name in BOUNDS if getattr(token, name) is not None}
    return (
        set_here if token.signature == ApiToken.Signature.NONE else {**set_here, "signature": token.signature}
    )


def _state(token: ApiToken) -> tuple[Any, ...]:
    return (*(getattr(token, name) for name in BOUNDS), token.signature, token.signing_secret)


def _sealed(token: ApiToken, secret: str) -> bytes:
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        told = {"low": MIN_SECRET, "high": MAX_SECRET}
        raise Invalid(_("A signing secret has %(low)d to %(high)d characters") % told, field="signing_secret")
    try:
        return encrypt(secret.encode("utf-8", "replace"), context=str(token.pk))
    except SecretsError as error:
        raise Invalid(str(error), field="signing_secret") from error
