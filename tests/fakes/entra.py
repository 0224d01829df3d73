"""The client credentials grant of the Microsoft identity platform, for the Graph and the Azure fakes.

Pages: learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (request, successful answer,
error answer) and .../reference-error-codes (AADSTS codes).
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from tests.fakes.base import ApiError, FakeServer, Reply, Request, iso, now

_TOKEN_URL = re.compile(r"^/(?P<tenant>[^/]+)/oauth2/v2\.0/token$")


@dataclass
class _Token:
    """An access token: what it is for and when it ends (monotonic seconds)."""

    resource: str
    ends: float


class EntraServer(FakeServer):
    """A fake that issues and checks Microsoft Entra tokens; `url` serves as the authority and as the resource."""

    throttle_headers = {"Retry-After": "1"}
    resources: tuple[str, ...] = ()

    def __init__(
        self,
        tenant_id: str = "11111111-2222-3333-4444-555555555555",
        client_id: str = "66666666-7777-8888-9999-000000000000",
        client_secret: str = "s3cret~value",
        expires_in: int = 3599,
    ) -> None:
        """One tenant with one application and one secret."""
        super().__init__()
        self.tenant_id, self.client_id, self.client_secret = tenant_id, client_id, client_secret
        self.expires_in = expires_in
        self._tokens: dict[str, _Token] = {}

    def expire_tokens(self) -> None:
        """Every token issued so far is expired from now on."""
        with self._lock:
            for token in self._tokens.values():
                token.ends = 0.0

    def token_endpoint(self, request: Request) -> Reply | None:
        """`POST /{tenant}/oauth2/v2.0/token` (v2-oauth2-client-creds-grant-flow), or None for another path."""
        match = _TOKEN_URL.match(request.path)
        if not match:
            return None
        form = request.form()
        if request.method != "POST":
            raise self._oauth(400, "invalid_request", 900561, "The endpoint only accepts POST requests.")
        for name in ("grant_type", "client_id", "client_secret", "scope"):
            if not form.get(name):
                text = f"The request body must contain the following parameter: '{name}'."
                raise self._oauth(400, "invalid_request", 900144, text)
        if form["grant_type"] != "client_credentials":
            raise self._oauth(
                400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
            )
        if match["tenant"] != self.tenant_id:
            raise self._oauth(400, "invalid_request", 90002, f"Tenant '{match['tenant']}' not found.")
        if form["client_id"] != self.client_id:
            text = f"Application with identifier '{form['client_id']}' was not found in the directory."
            raise self._oauth(400, "unauthorized_client", 700016, text)
        if form["client_secret"] != self.client_secret:
            raise self._oauth(401, "invalid_client", 7000215, "Invalid client secret provided.")
        return self._issue(form["scope"])

    def _issue(self, scope: str) -> Reply:
        if " " in scope.strip() or not scope.endswith("/.default"):
            text = f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
            raise self._oauth(
                400, "invalid_scope", 1002012, text + "with /.default suffixed to the resource identifier."
            )
        name = f"token-{uuid.uuid4().hex}"
        resource = scope.removesuffix("/.default").rstrip("/")
        self._tokens[name] = _Token(resource, time.monotonic() + self.expires_in)
        body = {"token_type": "Bearer", "expires_in": self.expires_in, "ext_expires_in": self.expires_in}
        return Reply(200, {**body, "access_token": name})

    def _oauth(self, status: int, error: str, code: int, text: str) -> ApiError:
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = iso(now(), 0).replace("T", " ")
        body = {
            "error": error,
            "error_description": f"AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {stamp}",
            "error_codes": [code],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
        }
        return ApiError(Reply(status, body))

    def token_fault(self, request: Request, resources: tuple[str, ...]) -> str | None:
        """None for a valid bearer token for one of the resources, else "missing", "unknown", "audience", "expired"."""
        scheme, _, value = request.header("Authorization").partition(" ")
        if scheme.lower() != "bearer" or not value:
            return "missing"
        token = self._tokens.get(value)
        if token is None:
            return "unknown"
        if token.resource not in (*resources, self.url):
            return "audience"
        return "expired" if token.ends <= time.monotonic() else None

    def whole(self, request: Request, name: str, default: int, most: int | None, failure: Any) -> int:
        """A query parameter that must be a whole number from 0 on; `failure(text)` makes the error to raise."""
        text = request.query.get(name)
        if text is None:
            return default
        if not text.isdigit() or (most is not None and int(text) > most):
            raise failure(f"Invalid value '{text}' for the query option {name}.")
        return int(text)
