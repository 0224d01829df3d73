"""Access tokens by OAuth 2.0 client credentials: asked for when needed, kept in memory until shortly before they expire."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit

import orjson

from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import Http

EARLY = 120.0  # seconds before its end a token counts as expired
_MAX_KEPT = 1_000

_kept: dict[str, tuple[str, float]] = {}
_lock = threading.Lock()


class ClientCredentials:
    """A login by a token of the client's own.

    ``key`` names whose it is (a connector and its version: whoever edits the credentials gets a new one); ``http`` asks
    the authority, which may be another server than the one that is polled.
    """

    def __init__(self, key: str, path: str, form: dict[str, str], authority: Http | None = None) -> None:
        self._key = key
        self._path = path
        self._form = form
        self._authority = authority

    def headers(self, http: Http) -> dict[str, str]:
        """``Authorization: Bearer …``; may take a round trip."""
        return {"Authorization": f"Bearer {self.token(http)}"}

    def is_kept(self) -> bool:
        """Whether a token is in memory, which the other side may have revoked meanwhile."""
        with _lock:
            return self._key in _kept

    def token(self, http: Http) -> str:
        """A token that is still good for a while."""
        with _lock:
            known = _kept.get(self._key)
        if known is not None and known[1] > time.monotonic():
            http.mask.add("access token", known[0])
            return known[0]
        token, seconds = self._ask(self._authority or http)
        http.mask.add("access token", token)
        with _lock:
            if len(_kept) >= _MAX_KEPT:
                _kept.clear()
            _kept[self._key] = token, time.monotonic() + max(seconds - EARLY, seconds / 2)
        return token

    def refused(self) -> bool:
        """Forget the token: it was revoked, or ended early."""
        with _lock:
            return _kept.pop(self._key, None) is not None

    def _ask(self, http: Http) -> tuple[str, float]:
        body = http.ask("POST", self._path, form=self._form, with_login=False)
        try:
            told = orjson.loads(body)
            token, seconds = told["access_token"], float(told.get("expires_in", 600))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise VendorError(f"{urlsplit(http.base).hostname} gives no access token") from None
        if (
            not isinstance(token, str)
            or not 8 <= len(token) <= 16_000
            or not token.isascii()
            or not token.isprintable()
        ):
            raise VendorError(f"{urlsplit(http.base).hostname} gives an access token that is none")
        return token, seconds


def forget() -> None:
    """Forget every token."""
    with _lock:
        _kept.clear()
