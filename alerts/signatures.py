"""Signed webhooks: ``X-Webhook-Signature: sha256=<hex>``, an HMAC-SHA256 over ``<X-Webhook-Timestamp>.<body>``.

The bytes are those that were sent, packed if they were packed. A request that was signed more than five minutes ago is
refused, and one that came before creates nothing: every alert of it leaves a receipt in the transaction that stores it.
Where a token wants no control of replays, the signature may be over the body alone.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import time
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from alerts import bodies
from alerts.ingest import Unavailable
from alerts.senders import Refused, Sender
from opensoar.accounts.models import ApiToken

WINDOW = 300  # seconds between the sender's clock and ours
_SECOND_BYTES = 8


def verified(environ: Mapping[str, Any], sender: Sender, limit: int) -> tuple[Mapping[str, Any], bytes]:
    """The request with its body read, at most ``limit`` bytes of it, and what tells it from any other.

    The latter is empty where replays are not controlled. Raises :class:`Refused` (401) for a signature that is missing,
    wrong or old, ``Unavailable`` where the secret cannot be opened, and what reading raises.
    """
    if sender.signing_key is None:
        raise Unavailable("a signing secret does not open: see OPENSOAR_SECRETS_KEY")
    signature = environ.get("HTTP_X_WEBHOOK_SIGNATURE", "").strip()
    timestamp = environ.get("HTTP_X_WEBHOOK_TIMESTAMP", "").strip()
    controlled = sender.signature == ApiToken.Signature.TIMESTAMP
    if not signature or (controlled and not timestamp):
        wanted = "X-Webhook-Timestamp, X-Webhook-Signature" if controlled else "X-Webhook-Signature"
        raise Refused(401, _("Webhook signature required: %s") % wanted)
    if timestamp:
        _refuse_stale(timestamp)
    body = b"".join(bodies.pieces(environ, limit))
    expected = sign(sender.signing_key, body, timestamp)
    if not hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace")):
        raise Refused(401, _("Invalid webhook signature"))
    seed = b""
    if controlled:
        assert sender.token_id is not None
        digest = hashlib.sha256(sender.token_id.bytes + expected.encode()).digest()
        seed = int(timestamp).to_bytes(_SECOND_BYTES, "big") + digest
    return {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}, seed


def sign(key: bytes, body: bytes, timestamp: str = "") -> str:
    """The header's value for a body, with the text of the time or without."""
    mac = hmac.new(key, f"{timestamp}.".encode() if timestamp else b"", hashlib.sha256)
    mac.update(body)
    return f"sha256={mac.hexdigest()}"


def receipt_of(seed: bytes, number: int) -> bytes:
    """What is remembered of one alert of a signed request; ``number`` is its place in the body."""
    return seed[:_SECOND_BYTES] + hashlib.sha256(seed + number.to_bytes(4, "big")).digest()[:24]


def oldest_receipt() -> bytes:
    """Receipts below it are of requests that would be refused as too old. Twice the window: clocks are set back."""
    return (int(time.time()) - 2 * WINDOW).to_bytes(_SECOND_BYTES, "big")


def _refuse_stale(timestamp: str) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refused(401, _("X-Webhook-Timestamp is not a time in whole seconds since 1970"))
    age = time.time() - int(timestamp)
    if abs(age) > WINDOW:
        told = {"age": abs(int(age)), "window": WINDOW}
        raise Refused(
            401,
            _("Stale webhook timestamp: %(age)d seconds ago, at most %(window)d") % told
            if age > 0
            else _("Webhook timestamp lies %(age)d seconds ahead, at most %(window)d; check the clocks")
            % told,
        )
