"""A fake Microsoft Graph security API (alerts of Microsoft Defender XDR), with Microsoft Entra tokens.

Pages: learn.microsoft.com/graph/api/security-list-alerts_v2 (github microsoftgraph/microsoft-graph-docs-contrib
api-reference/v1.0/api/security-list-alerts_v2.md), .../resources/security-alert, graph/query-parameters, graph/paging,
graph/errors, graph/throttling; entra.py for the token.
"""

from __future__ import annotations

import base64
import re
import uuid
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from tests.fakes.base import ApiError, Reply, Request, iso, now
from tests.fakes.entra import EntraServer
from tests.fakes.odata import Filter, ODataError, lookup, ordered

FILTERABLE = {
    "assignedTo": "string",
    "classification": "string",
    "determination": "string",
    "createdDateTime": "time",
    "lastUpdateDateTime": "time",
    "severity": "string",
    "serviceSource": "string",
    "status": "string",
}
_OPTIONS = {"$count", "$filter", "$skip", "$top", "$skiptoken", "$orderby"}
_CODES = {
    400: "BadRequest", 401: "InvalidAuthenticationToken", 403: "Forbidden", 404: "ResourceNotFound",
    429: "TooManyRequests", 500: "InternalServerError", 503: "ServiceUnavailable", 504: "GatewayTimeout",
}  # fmt: skip


class FakeDefender(EntraServer):
    """Graph's `/security/alerts_v2`; `page_size` caps `$top`, and `@odata.nextLink` leads to the rest.

    `$orderby` is not on the page's list of options (only in the SDK's metadata): set `orderby_supported = False`
    to have it refused. Paging is by position over the present list, as `$skip` is.
    """

    resources = ("https://graph.microsoft.com",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As EntraServer: tenant_id, client_id, client_secret, expires_in."""
        super().__init__(*args, **kwargs)
        self.orderby_supported = True
        self._alerts: dict[str, dict[str, Any]] = {}

    def add(self, alert: dict[str, Any], at: datetime | None = None) -> str:
        """Store an alert now; `at` is its last update (and its creation if it has none). The same id replaces."""
        item = {"@odata.type": "#microsoft.graph.security.alert", "id": uuid.uuid4().hex, **alert}
        stamp = iso(at or now(), 7)
        if at is not None or "lastUpdateDateTime" not in item:
            item["lastUpdateDateTime"] = stamp
        item.setdefault("createdDateTime", stamp)
        with self._lock:
            self._alerts[str(item["id"])] = item
        return str(item["id"])

    def error_body(self, status: int) -> Any:
        """The shape of a Graph error (graph/errors)."""
        stamp = iso(now(), 0).removesuffix("Z")
        inner = {"date": stamp, "request-id": str(uuid.uuid4()), "client-request-id": str(uuid.uuid4())}
        return {
            "error": {"code": _CODES.get(status, "UnknownError"), "message": "Injected.", "innerError": inner}
        }

    def _failure(self, status: int, message: str, headers: dict[str, str] | None = None) -> ApiError:
        body = self.error_body(status)
        body["error"]["message"] = message
        return ApiError(Reply(status, body, headers or {}))

    def handle(self, request: Request) -> Reply:
        """Route a request."""
        token = self.token_endpoint(request)
        if token is not None:
            return token
        fault = self.token_fault(request, self.resources)
        if fault:
            text = {
                "missing": "Access token is empty.",
                "expired": "Lifetime validation failed, the token is expired.",
                "audience": "Access token validation failure. Invalid audience.",
            }.get(fault, "IDX14100: JWT is not well formed.")
            raise self._failure(401, text, {"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'})
        match = re.fullmatch(r"/v1\.0/security/alerts_v2(?:/([^/]+))?", request.path, re.IGNORECASE)
        if not match:
            raise self._failure(404, f"Resource not found for the segment '{request.path}'.")
        if request.method != "GET":
            raise self._failure(405, "The HTTP method is not allowed.")
        return self._get(match[1]) if match[1] else self._list(request)

    def _get(self, name: str) -> Reply:
        """`GET /security/alerts_v2/{alertId}` (security-alert-get)."""
        if name not in self._alerts:
            raise self._failure(404, "Alert not found.")
        return Reply(200, self._alerts[name])

    def _list(self, request: Request) -> Reply:
        """`GET /security/alerts_v2` with $filter, $top, $skip, $count, $orderby (security-list-alerts_v2)."""
        query = request.query
        for name in query:
            allowed = name in _OPTIONS and (name != "$orderby" or self.orderby_supported)
            if not allowed:
                raise self._failure(400, f"Query option '{name}' is not allowed.")

        def wrong(text: str) -> ApiError:
            return self._failure(400, text)

        top = min(self.whole(request, "$top", self.page_size, None, wrong), self.page_size)
        start = self.whole(request, "$skip", 0, None, wrong)
        if "$skiptoken" in query:
            start = self._position(query["$skiptoken"])
        try:
            test = Filter(query["$filter"], FILTERABLE).test if "$filter" in query else lambda item: True
            found = [item for item in self._alerts.values() if test(item)]
            known = FILTERABLE | {"id": "string", "title": "string", "incidentId": "string"}
            found = ordered(found, query.get("$orderby", "createdDateTime desc"), known)
        except ODataError as error:
            raise self._failure(400, f"Invalid filter clause: {error}") from error
        page = found[start : start + top]
        body: dict[str, Any] = {"@odata.context": f"{self.url}/v1.0/$metadata#security/alerts_v2"}
        if query.get("$count") == "true":
            body["@odata.count"] = len(found)
        body["value"] = page
        if page and start + len(page) < len(found):
            body["@odata.nextLink"] = self._next_link(request, start + len(page))
        return Reply(200, body)

    def _next_link(self, request: Request, position: int) -> str:
        """The whole address of the next page, with an opaque `$skiptoken` (graph/paging)."""
        kept = {name: value for name, value in request.query.items() if name not in ("$skip", "$skiptoken")}
        kept["$skiptoken"] = base64.urlsafe_b64encode(f"position:{position}".encode()).decode()
        return f"{self.url}{request.path}?{urlencode(kept, safe='$', quote_via=quote)}"

    def _position(self, token: str) -> int:
        try:
            return int(base64.urlsafe_b64decode(token.encode()).decode().removeprefix("position:"))
        except ValueError as error:
            raise self._failure(400, "Skip token is not valid.") from error

    def stored(self, name: str, path: str) -> Any:
        """A property of a stored alert, for a test to look at."""
        return lookup(self._alerts[name], path)
