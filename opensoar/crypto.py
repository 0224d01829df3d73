"""Secrets at rest: AES-256-GCM with a key that never is in the database.

What is encrypted is bound to the row it belongs to (``context``): a ciphertext copied into another row does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

VERSION = b"\x01"  # of the format, so that keys can be rotated later
NONCE_BYTES = 12


class SecretsError(Exception):
    """Secrets cannot be written or read; the message says why and what to do."""


def encrypt(plaintext: bytes, *, context: str) -> bytes:
    """``plaintext`` sealed for ``context`` (a row's id). Raises :class:`SecretsError` where there is no key."""
    nonce = os.urandom(NONCE_BYTES)
    return VERSION + nonce + _cipher().encrypt(nonce, plaintext, context.encode())


def decrypt(sealed: bytes | memoryview, *, context: str) -> bytes:
    """What was encrypted. Raises :class:`SecretsError` for another key, another context, or damaged bytes."""
    sealed = bytes(sealed)  # the database driver hands out memoryviews
    if sealed[:1] != VERSION:
        raise SecretsError("These secrets are in a format that this version does not know.")
    nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        return _cipher().decrypt(nonce, body, context.encode())
    except (InvalidTag, ValueError):
        raise SecretsError(
            "These secrets do not open with OPENSOAR_SECRETS_KEY: it was changed, or they belong to another row."
        ) from None


def _cipher() -> AESGCM:
    key = settings.SECRETS_KEY
    if not key:
        raise SecretsError(
            "Set OPENSOAR_SECRETS_KEY (or OPENSOAR_SECRETS_KEY_FILE): secrets are encrypted with it."
        )
    # The variable may hold any long random text; the cipher needs exactly 32 bytes.
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"opensoar secrets").derive(key.encode())
    return AESGCM(derived)
