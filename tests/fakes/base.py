"""What all fake vendors share: a real HTTP server on 127.0.0.1, recorded requests, injected failures and hangs.

The fakes were written from the vendors' public documentation alone; each vendor's module names its pages.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit


class Request(NamedTuple):
    """One request as it arrived; a repeated query parameter keeps its last value."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, whatever the case of its name, or an empty string."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    def form(self) -> dict[str, str]:
        """The body of a `application/x-www-form-urlencoded` request."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass
class Reply:
    """An answer: anything but bytes is sent as JSON."""

    status: int
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class ApiError(Exception):
    """Raised while a request is handled to answer with an error."""

    def __init__(self, reply: Reply) -> None:
        """Keep the reply to send."""
        super().__init__(reply.status)
        self.reply = reply


@dataclass
class _Fault:
    """A failure or a hang waiting for the next request whose path contains `on`."""

    on: str | None
    times: int
    reply: Callable[[], Reply] | None = None
    seconds: float = 0.0


class FakeServer:
    """A fake vendor, used as a context manager; subclasses answer `handle` and shape `error_body`.

    `fail_next` and `hang_next` hit the next request that is not for a token (so that a test of the data endpoint
    need not know whether the client has a token); give `on=` a part of a path to hit another one, such as "/token".
    """

    default_page_size = 1000
    token_path = re.compile(r"/oauth2/(v2\.0/)?token$")
    throttle_headers: dict[str, str] = {}

    def __init__(self) -> None:
        """Prepare an empty server; it listens once entered."""
        self.url = ""
        self.requests: list[Request] = []
        self.page_size = self.default_page_size
        self._lock = threading.RLock()
        self._faults: list[_Fault] = []
        self._stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Listen on a free port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_class(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop listening and let go of the requests that hang."""
        self._stopping.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5)

    def fail_next(
        self,
        status: int,
        headers: dict[str, str] | None = None,
        times: int = 1,
        body: bytes | None = None,
        on: str | None = None,
    ) -> None:
        """Answer the next `times` requests with this status; without a body, the vendor's own error shape is sent."""
        sent = dict(self.throttle_headers if headers is None and status == 429 else headers or {})
        reply = lambda: Reply(status, self.error_body(status) if body is None else body, sent)  # noqa: E731
        with self._lock:
            self._faults.append(_Fault(on, times, reply=reply))

    def hang_next(self, seconds: float, on: str | None = None) -> None:
        """Let the next request wait that long before it is answered as usual."""
        with self._lock:
            self._faults.append(_Fault(on, 1, seconds=seconds))

    def paths(self) -> list[str]:
        """The paths asked so far, in order."""
        return [request.path for request in self.requests]

    def answer(self, request: Request) -> Reply:
        """Record the request, apply a waiting fault, or handle it."""
        with self._lock:
            self.requests.append(request)
            fault = self._take_fault(request.path)
        if fault is not None and fault.reply is not None:
            return fault.reply()
        if fault is not None:
            self._stopping.wait(fault.seconds)
        with self._lock:
            try:
                return self.handle(request)
            except ApiError as error:
                return error.reply

    def _take_fault(self, path: str) -> _Fault | None:
        for fault in self._faults:
            hit = fault.on in path if fault.on is not None else not self.token_path.search(path)
            if hit:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def handle(self, request: Request) -> Reply:
        """Answer one request (overridden by each vendor)."""
        raise NotImplementedError

    def error_body(self, status: int) -> Any:
        """The vendor's body for an injected failure (overridden by each vendor)."""
        raise NotImplementedError


def _handler_class(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    """The request handler class bound to one fake."""

    class Handler(BaseHTTPRequestHandler):
        """Reads a request, asks the fake, writes the answer."""

        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            request = Request(self.command, unquote(parts.path), query, dict(self.headers.items()), body)
            try:
                reply = fake.answer(request)
            except Exception as error:
                reply = Reply(500, f"the fake itself failed: {error!r}".encode(), {"X-Fake-Fault": "1"})
            data = reply.encoded()
            try:
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
            except ConnectionError:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d\d:?\d\d)?)?$"
)


def time_ns(text: str, zone_needed: bool = False) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time (without a zone: UTC); ValueError if it is none."""
    match = _TIME.match(text)
    if not match or (zone_needed and not match[8]):
        raise ValueError(f"not a time: {text!r}")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    moment = datetime(
        year, month, day, int(match[4] or 0), int(match[5] or 0), int(match[6] or 0), tzinfo=UTC
    )
    seconds = int(moment.timestamp())
    zone = match[8]
    if zone and zone not in "Zz":
        digits = zone[1:].replace(":", "")
        offset = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds * 1_000_000_000 + int((match[7] or "0").ljust(9, "0"))


def iso(at: datetime, digits: int = 6) -> str:
    """A time in UTC with a `Z` and so many digits of the second's fraction."""
    if at.tzinfo is None:
        raise ValueError("give `at` a time zone")
    at = at.astimezone(UTC)
    fraction = f".{at.microsecond:06d}0"[: digits + 1] if digits else ""
    return at.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)
