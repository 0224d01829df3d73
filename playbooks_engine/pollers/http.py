"""The one HTTP client of the pollers: time-outs, capped answers, no redirects, no address that may not be asked."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urljoin

import httpx
import orjson
from django.conf import settings

from alerts.bodies import GZIP, Undecodable, gunzipped
from alerts.payloads import PayloadTooLarge
from playbooks_engine.masking import Mask
from playbooks_engine.pollers.addresses import check_host, resolve
from playbooks_engine.pollers.errors import VendorError

STEP = 20.0  # seconds for each step of the conversation
# As sent and as unpacked. More than the 5 MB that answers of other connectors may have: an alert of Defender with its
# evidence, or of Elastic with the event that it is made of, takes up to 30 KB, and a page holds 500 of them.
MAX_ANSWER = 16 * 1024 * 1024
MAX_RATIO = 100  # of what is unpacked to what was sent
_SMALL = 64 * 1024  # bytes that may be packed better than that
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


class Elsewhere(VendorError):
    """An answer points to another server, which is not asked."""


class Deadline:
    """An end that whoever answers cannot put off.

    Time-outs of single steps never come where a byte arrives now and then: headers that have no end, one interim answer
    after the other, packed bytes of which nothing can be unpacked. So every socket is watched, and shut when time is
    over; whoever reads from it then finds its end.
    """

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._end = time.monotonic() + seconds
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._timer: threading.Timer | None = None
        self._stopped = False

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self._end

    def renew(self, seconds: float) -> None:
        """So much from now on."""
        with self._lock:
            self._end = time.monotonic() + seconds
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._sockets:
                self._arm()

    def watch(self, sock: socket.socket) -> None:
        """Shut it when time is over; at once where it is."""
        with self._lock:
            self._sockets.add(sock)
            self._arm()

    def check(self, host: str) -> None:
        """Raises :class:`VendorError` where there is no time left."""
        if self.is_over:
            raise VendorError(f"{host} did not finish its answer in time")

    def stop(self) -> None:
        """Watch no more."""
        with self._lock:
            self._stopped = True
            self._sockets.clear()
            if self._timer is not None:
                self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is None and not self._stopped:
            self._timer = threading.Timer(max(0.0, self._end - time.monotonic()), self._strike)
            self._timer.daemon = True
            self._timer.start()

    def _strike(self) -> None:
        with self._lock:
            self._timer = None
            if not self.is_over:  # it was put off
                self._arm()
                return
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's: that takes the encryption away under the thread that reads.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Http:
    """A conversation with one server. Everything it raises is a :class:`VendorError` without secrets."""

    def __init__(
        self, base: str, *, tls: ssl.SSLContext, mask: Mask, login: Login, deadline: Deadline
    ) -> None:
        self.base = base.rstrip("/")
        self.mask = mask
        self._login = login
        self._deadline = deadline
        transport: httpx.BaseTransport = (
            httpx.HTTPTransport(verify=tls, proxy=settings.PULL_PROXY)
            if settings.PULL_PROXY
            else Pinned(httpx.HTTPTransport(verify=tls), deadline)
        )
        self._client = httpx.Client(
            transport=transport, timeout=STEP, trust_env=False, follow_redirects=False,
            headers={
                "Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": f"OpenSOAR/{settings.VERSION}",
            },
        )  # fmt: skip

    def close(self) -> None:
        """End the conversation."""
        self._client.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at ``path``, below the base or a whole URL of the same server."""
        return loaded(self.ask("GET", path, params=params))

    def post(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that answers a POST."""
        return loaded(self.ask("POST", path, params=params, json=json, form=form))

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
        url = self._url(path)
        for last in (False, True):
            headers = self._login.headers(self) if with_login else {}
            asked = {"params": params or None, "headers": headers, "json": json, "data": form}
            status, answered, body = self._answer(method, url, asked)
            if 200 <= status < 300:
                return body
            if status != 401 or last or not with_login or not self._login.refused():
                break
        raise self._refusal(url, status, answered, body)

    def _url(self, path: str) -> httpx.URL:
        try:
            ours = httpx.URL(self.base)
            url = httpx.URL(urljoin(self.base + "/", path) if "://" in path else self.base + path)
        except (httpx.InvalidURL, ValueError):
            raise Elsewhere("The answer points to what is no address; it is not followed") from None
        if _server(ours) != _server(url) or url.userinfo:
            # The next page is where the answer says; the token must not go to whoever that is.
            raise Elsewhere(f"The answer points to another server, {url.host}; it is not followed")
        return url

    def _answer(self, method: str, url: httpx.URL, asked: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        try:
            self._deadline.check(url.host)
            check_host(url.host)
            with self._client.stream(method, url, extensions={"trace": self._trace}, **asked) as response:
                body = _body(response)
        except VendorError:
            self._deadline.check(url.host)
            raise
        except httpx.HTTPError as error:
            self._deadline.check(url.host)
            said = self.mask.text(str(error) or type(error).__name__)[:_SAID]
            raise VendorError(f"{url.host} does not answer: {said}") from None
        except ValueError as error:
            raise VendorError(f"{url.host} is not asked: {error}") from None
        self._deadline.check(url.host)  # a socket that was shut looks like an answer that ends there
        return response.status_code, response.headers, body

    def _trace(self, event: str, told: Mapping[str, Any]) -> None:
        """What httpcore tells of its work: of every connection, plain and encrypted, the deadline is to know."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            sock = told["return_value"].get_extra_info("socket")
            if isinstance(sock, socket.socket):
                self._deadline.watch(sock)

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

    def __init__(self, inner: httpx.BaseTransport, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Try the addresses of the host one after the other; TLS still asks for the name."""
        url = request.url
        encrypted = url.scheme == "https"
        addresses = resolve(url.host, url.port or (443 if encrypted else 80), encrypted=encrypted)
        extensions = {**request.extensions, "sni_hostname": url.host}
        for address in addresses:
            self._deadline.check(url.host)
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


def _server(url: httpx.URL) -> tuple[str, bytes, int | None]:
    """What tells a server: ``https://a.example`` and ``https://A.example:443`` are the same one."""
    return url.scheme, url.raw_host.lower(), url.port or {"http": 80, "https": 443}.get(url.scheme)


def _body(response: httpx.Response) -> bytes:
    """The body, unpacked here: httpx would unpack one encoding after the other, a whole piece at once."""
    host = response.request.url.host
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    sent, body = 0, bytearray()
    too_large = VendorError(
        f"{host} answers with more than {MAX_ANSWER >> 20} MB; a smaller page_size makes it less"
    )

    def received() -> Iterator[bytes]:
        nonlocal sent
        for piece in response.iter_raw():
            sent += len(piece)
            if sent > MAX_ANSWER:
                raise too_large
            yield piece

    if encoding not in ("", "identity", *GZIP):
        raise VendorError(f"{host} answers in an encoding that nobody asked for: {encoding[:50]}")
    try:
        for piece in gunzipped(received(), MAX_ANSWER) if encoding in GZIP else received():
            body += piece
            if len(body) > max(MAX_RATIO * sent, _SMALL):
                raise VendorError(f"{host} packs more than {MAX_RATIO} bytes into one")
    except PayloadTooLarge:
        raise too_large from None
    except Undecodable as error:
        if sent:  # an answer without a body may say that it is packed
            raise VendorError(f"{host} answers with what cannot be unpacked: {error.reason}") from None
    return bytes(body)


def loaded(body: bytes) -> Any:
    """The JSON that ``body`` is. Raises :class:`VendorError`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        # More is JSON to Python, such as half of a surrogate pair: let the one alert that has it pay, not its page.
        return json.loads(body)
    except (ValueError, RecursionError):
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
