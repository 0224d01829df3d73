"""What the fakes share: alerts with the time they count by, faults on request, the requests that came."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """One request. ``query`` and ``form`` hold the last value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {
            name: values[-1] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()
        }

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body if body is not None else {}, headers or {}


class Fake:
    """A vendor's server; used as a context manager."""

    def __init__(self) -> None:
        self.alerts: list[tuple[dict[str, Any], datetime]] = []
        self.requests: list[Asked] = []
        self._faults: list[Refused] = []
        self._lock = threading.Lock()
        self._generation = 0
        self._issued: set[str] = set()

    def add(self, alert: dict[str, Any], at: datetime) -> None:
        """One more; of an id that is there already, its change."""
        with self._lock:
            self.alerts = [one for one in self.alerts if self.identity(one[0]) != self.identity(alert)]
            self.alerts.append((alert, at))

    def identity(self, alert: dict[str, Any]) -> str:
        """The vendor's id."""
        raise NotImplementedError

    def fail_next(self, status: int, headers: dict[str, str] | None = None, times: int = 1) -> None:
        """The next answers, but not those about tokens."""
        with self._lock:
            self._faults += [Refused(status, {"error": {"message": "fault"}}, headers)] * times

    def expire_tokens(self) -> None:
        """Every token that was issued is refused from now on."""
        with self._lock:
            self._issued.clear()

    def issue(self) -> str:
        """A new access token."""
        with self._lock:
            self._generation += 1
            token = f"access-token-number-{self._generation}"
            self._issued.add(token)
            return token

    def check_token(self, asked: Asked) -> None:
        """Raises 401 for any but a token that still counts."""
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._issued:
            raise Refused(
                401, {"error": {"code": "InvalidAuthenticationToken", "message": f"{token} is not valid"}}
            )

    def answer(self, asked: Asked) -> Any:
        """The answer as JSON, or bytes; raises :class:`Refused`."""
        raise NotImplementedError

    def is_login(self, asked: Asked) -> bool:
        """Whether faults leave it alone."""
        return "oauth2" in asked.path

    def __enter__(self) -> Self:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command, parts.path, {k: v[-1] for k, v in parse_qs(parts.query).items()},
                    {k.lower(): v for k, v in self.headers.items()}, self.rfile.read(length),
                )  # fmt: skip
                status, headers, body = fake._respond(asked)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _respond(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(asked)
        try:
            with self._lock:
                fault = self._faults.pop(0) if self._faults and not self.is_login(asked) else None
            if fault is not None:
                raise fault
            told = self.answer(asked)
        except Refused as refused:
            return refused.status, refused.headers, json.dumps(refused.body).encode()
        return (
            200,
            {"Content-Type": "application/json"},
            told if isinstance(told, bytes) else json.dumps(told).encode(),
        )

    def since(self, at: datetime) -> list[tuple[dict[str, Any], datetime]]:
        """What counts from ``at`` on, in no order."""
        with self._lock:
            return [one for one in self.alerts if one[1] >= at]
