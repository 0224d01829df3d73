"""The one HTTP client of the pollers: time-outs, capped answers, no redirects, no address that may not be asked."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import httpx
import orjson
from django.conf import settings

from playbooks_engine.masking import Mask
from playbooks_engine.pollers.addresses import check_host, resolve
from playbooks_engine.pollers.errors import VendorError

STEP = 20.0  # seconds for each step of the conversation
WHOLE = 90.0  # seconds for an answer as a whole
MAX_ANSWER = 64 * 1024 * 1024
MAX_RETRY_AFTER = 24 * 3600.0
_EPOCH = 1_000_000_000.0  # larger numbers are times, not durations
_SAID = 300  # characters of what the other side says about an error


class Login(Protocol):
    """How requests are authenticated."""

    def headers(self, http: Http) -> dict[str, str]:
        """The headers that do it; may ask for a token."""

    def refused(self) -> bool:
        """A request was answered with 401: forget what was used; whether there may be something newer."""


class Fixed:
    """Headers that never change."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def headers(self, http: Http) -> dict[str, str]:
        return self._headers

    def refused(self) -> bool:
        return False


class Http:
    """A conversation with one server. Everything it raises is a :class:`VendorError` without secrets."""

    def __init__(self, base: str, *, tls: ssl.SSLContext, mask: Mask, login: Login) -> None:
        self.base = base.rstrip("/")
        self.mask = mask
        self._login = login
        transport: httpx.BaseTransport = (
            httpx.HTTPTransport(verify=tls, proxy=settings.PULL_PROXY)
            if settings.PULL_PROXY
            else Pinned(httpx.HTTPTransport(verify=tls))
        )
        self._client = httpx.Client(
            transport=transport, timeout=STEP, trust_env=False, follow_redirects=False,
            headers={"Accept": "application/json", "User-Agent": f"OpenSOAR/{settings.VERSION}"},
        )  # fmt: skip

    def close(self) -> None:
        """End the conversation."""
        self._client.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at ``path``, below the base or a whole URL of the same server."""
        return _loaded(self.ask("GET", path, params=params))

    def post(self, path: str, *, json: Any = None, form: Mapping[str, str] | None = None) -> Any:
        """The JSON that answers a POST."""
        return _loaded(self.ask("POST", path, json=json, form=form))

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        with_login: bool = True,
    ) -> bytes:
        """The body of a 2xx answer. A 401 is tried once more where the login has something newer to offer."""
        url = httpx.URL(self._url(path))
        for last in (False, True):
            headers = self._login.headers(self) if with_login else {}
            asked = {"params": params or None, "headers": headers, "json": json, "data": form}
            status, answered, body = self._answer(method, url, asked)
            if 200 <= status < 300:
                return body
            if status != 401 or last or not with_login or not self._login.refused():
                break
        raise self._refusal(url, status, answered, body)

    def _url(self, path: str) -> str:
        url = urljoin(self.base + "/", path) if "://" in path else self.base + path
        ours, theirs = urlsplit(self.base), urlsplit(url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            # The next page is where the answer says; the token must not go to whoever that is.
            raise VendorError(f"The answer points to another server, {theirs.hostname}; it is not followed")
        return url

    def _answer(self, method: str, url: httpx.URL, asked: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        deadline = time.monotonic() + WHOLE
        parts: list[bytes] = []
        size = 0
        try:
            check_host(url.host)
            with self._client.stream(method, url, **asked) as response:
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if size > MAX_ANSWER:
                        raise VendorError(f"{url.host} answers with more than {MAX_ANSWER >> 20} MB")
                    if time.monotonic() > deadline:
                        raise VendorError(f"{url.host} did not finish its answer within {WHOLE:.0f} s")
                    parts.append(chunk)
        except httpx.HTTPError as error:
            said = self.mask.text(str(error) or type(error).__name__)[:_SAID]
            raise VendorError(f"{url.host} does not answer: {said}") from None
        except ValueError as error:
            raise VendorError(f"{url.host} is not asked: {error}") from None
        return response.status_code, response.headers, b"".join(parts)

    def _refusal(self, url: httpx.URL, status: int, headers: httpx.Headers, body: bytes) -> VendorError:
        where = f"{url.host}{url.path}"
        said = self.mask.text(_sentence(body))[:_SAID]
        text = f"{where} answers with status {status}" + (f": {said}" if said else "")
        wanted = headers.get("Retry-After") or headers.get(
            "X-Ratelimit-Retryafter"
        )  # the latter is CrowdStrike's
        return VendorError(text, status=status, retry_after=retry_after(wanted))


class Pinned(httpx.BaseTransport):
    """Connects to an address that was looked at, whatever the name resolves to a moment later."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Try the addresses of the host one after the other; TLS still asks for the name."""
        url = request.url
        encrypted = url.scheme == "https"
        addresses = resolve(url.host, url.port or (443 if encrypted else 80), encrypted=encrypted)
        extensions = {**request.extensions, "sni_hostname": url.host}
        for address in addresses:
            pinned = httpx.Request(
                request.method, url.copy_with(host=address), headers=request.headers, stream=request.stream,
                extensions=extensions,
            )  # fmt: skip
            try:
                return self._inner.handle_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise httpx.ConnectError(f"{url.host} has no address")

    def close(self) -> None:
        """Close what is connected."""
        self._inner.close()


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, at most a day, of a ``Retry-After``: their number, a date, or a time in seconds since 1970.

    None for none that can be read.
    """
    if not value:
        return None
    try:
        seconds = float(value)
        if seconds >= _EPOCH:
            seconds -= time.time()
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if seconds == seconds else None


def _loaded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise VendorError("What answers there is no JSON") from None


def _sentence(body: bytes) -> str:
    """What an error answer says for people, in the places where vendors put it."""
    try:
        value = orjson.loads(body[:100_000])
    except orjson.JSONDecodeError:
        return ""
    for path in (
        ("error", "message"), ("error", "reason"), ("error_description",), ("errors", "message"), ("messages", "text"),
        ("message",), ("error",),
    ):  # fmt: skip
        found = value
        for name in path:
            found = found[0] if isinstance(found, list) and found else found
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, str) and found.strip():
            return " ".join(found.split())
    return ""
