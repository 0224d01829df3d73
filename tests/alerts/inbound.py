"""A sender of webhooks, by the short way that production takes: a WSGI environment and nothing of Django's stack."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from alerts import webhooks

PATH = "/api/v1/webhooks/alerts"


@dataclass(frozen=True)
class Answer:
    """What a webhook answered."""

    status: int
    headers: dict[str, str]
    json: dict[str, Any]


@dataclass(frozen=True)
class Inbound:
    """Posts with one token."""

    token: str

    def post(
        self,
        body: Any,
        *,
        path: str = PATH,
        method: str = "POST",
        query: str = "",
        content_type: str = "application/json",
        length: bool = True,
        headers: dict[str, str] | None = None,
        **environ: Any,
    ) -> Answer:
        """Send ``body`` (bytes, text, or what becomes JSON); without ``length`` as a chunked request arrives."""
        if isinstance(body, str):
            body = body.encode()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        environ = {
            "PATH_INFO": path,
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "CONTENT_TYPE": content_type,
            "wsgi.input": io.BytesIO(raw),
            "wsgi.input_terminated": True,
            "wsgi.url_scheme": "http",
            **({"CONTENT_LENGTH": str(len(raw))} if length else {}),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self._headers(headers)},
            **environ,
        }
        answer = webhooks.handle(environ)
        return Answer(answer.status, dict(answer.headers), json.loads(answer.body))

    def _headers(self, headers: dict[str, str] | None) -> list[tuple[str, str]]:
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return list((own | (headers or {})).items())
