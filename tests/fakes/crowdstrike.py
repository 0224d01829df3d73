"""A fake CrowdStrike Falcon API: OAuth2 tokens and the Alerts service collection.

Pages: github CrowdStrike/gofalcon falcon/client/oauth2/oauth2_access_token_responses.go (201, 400, 401, 403, 429),
falcon/client/alerts/query_v2_parameters.go, falcon/models/detectsapi_post_combined_alerts_v1_request_swagger.go;
CrowdStrike/falconpy src/falconpy/_endpoint/_alerts.py (falconpy.io/Service-Collections/Alerts); the maximum of 1,000
for the combined endpoint: psfalcon Get-FalconAlert; 413 over 1,000 composite ids: elastic/integrations#13862;
`offset + limit`: psfalcon#394, falconpy#532; X-Ratelimit-Retryafter in epoch seconds: psfalcon ApiClient, gofalcon.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from datetime import datetime
from typing import Any

from tests.fakes.base import ApiError, FakeServer, Reply, Request, iso, now
from tests.fakes.fql import FqlError, ordered, parse

_QUERY_MAX = 10_000
_COMBINED_MAX = 1_000
_IDS_MAX = 1_000
_TEXTS = {
    401: "access denied, invalid bearer token",
    403: "access denied, authorization failed",
    404: "404: Page Not Found",
    429: "API rate limit exceeded.",
}


class FakeCrowdStrike(FakeServer):
    """Falcon's alerts; `page_size` caps a page silently, a `limit` over the documented maximum is 400.

    `rate_limit` is only what the X-Ratelimit headers say; use `fail_next(429)` to throttle: it sends
    X-Ratelimit-Retryafter two seconds from now (CrowdStrike documents no Retry-After).
    """

    default_page_size = _QUERY_MAX

    def __init__(
        self,
        client_id: str = "0123456789abcdef0123456789abcdef",
        client_secret: str = "falconSecretFalconSecretFalconSecret0000",
        expires_in: int = 1799,
    ) -> None:
        """One API client of one customer (cid)."""
        super().__init__()
        self.client_id, self.client_secret, self.expires_in = client_id, client_secret, expires_in
        self.cid = "c1d00000000000000000000000000000"
        self.rate_limit = 6000
        self._tokens: dict[str, float] = {}
        self._alerts: dict[str, dict[str, Any]] = {}

    def add(self, alert: dict[str, Any], at: datetime | None = None) -> str:
        """Store an alert now; `at` is its creation and last update. The same composite_id replaces. -> composite_id."""
        item = dict(alert)
        name = str(item.setdefault("id", f"ind:{uuid.uuid4().hex}:{len(self._alerts)}"))
        item.setdefault("cid", self.cid)
        composite = str(item.setdefault("composite_id", f"{item['cid']}:{name}"))
        stamp = iso(at or now(), 6).removesuffix("Z") + "000Z"
        old = self._alerts.get(composite)
        if at is not None or "updated_timestamp" not in item:
            item["updated_timestamp"] = stamp
        item.setdefault("created_timestamp", old["created_timestamp"] if old else stamp)
        item.setdefault("timestamp", item["created_timestamp"])
        item.setdefault("status", "new")
        with self._lock:
            self._alerts[composite] = item
        return composite

    def expire_tokens(self) -> None:
        """Every token issued so far is expired from now on."""
        with self._lock:
            self._tokens = dict.fromkeys(self._tokens, 0.0)

    def fail_next(
        self,
        status: int,
        headers: dict[str, str] | None = None,
        times: int = 1,
        body: bytes | None = None,
        on: str | None = None,
    ) -> None:
        """As FakeServer; 429 without headers tells X-Ratelimit-Retryafter (epoch seconds)."""
        if status == 429 and headers is None:
            headers = {"X-Ratelimit-Retryafter": str(int(time.time()) + 2)}
            headers |= {"X-Ratelimit-Limit": str(self.rate_limit), "X-Ratelimit-Remaining": "0"}
        super().fail_next(status, headers, times, body, on)

    def error_body(self, status: int) -> Any:
        """The shape of every Falcon error (msa.ReplyMetaOnly)."""
        return self._body([], [{"code": status, "message": _TEXTS.get(status, "Internal Server Error")}])

    def _body(self, resources: Any, errors: list[dict[str, Any]], pagination: Any = None) -> dict[str, Any]:
        meta: dict[str, Any] = {"query_time": 0.01, "powered_by": "detectsapi", "trace_id": str(uuid.uuid4())}
        if pagination is not None:
            meta["pagination"] = pagination
        return {"meta": meta, "errors": errors, "resources": resources}

    def _failure(self, status: int, text: str) -> ApiError:
        return ApiError(Reply(status, self._body([], [{"code": status, "message": text}]), self._headers()))

    def _headers(self) -> dict[str, str]:
        left = str(max(0, self.rate_limit - len(self.requests)))
        return {
            "X-Ratelimit-Limit": str(self.rate_limit),
            "X-Ratelimit-Remaining": left,
            "X-Cs-Region": "us-1",
        }

    def handle(self, request: Request) -> Reply:
        """Route a request."""
        match (request.method, request.path):
            case ("POST", "/oauth2/token"):
                return self._token(request)
            case ("GET", "/alerts/queries/alerts/v2"):
                self._authorize(request)
                return self._query(request)
            case ("POST", "/alerts/entities/alerts/v2"):
                self._authorize(request)
                return self._entities(request)
            case ("POST", "/alerts/combined/alerts/v1"):
                self._authorize(request)
                return self._combined(request)
        raise self._failure(404, _TEXTS[404])

    def _token(self, request: Request) -> Reply:
        """`POST /oauth2/token`, form-encoded client_id and client_secret -> 201 (oauth2AccessToken)."""
        if request.header("Content-Type").split(";")[0] != "application/x-www-form-urlencoded":
            raise self._failure(400, "Unsupported Content-Type for the token request")
        form = request.form()
        if not form.get("client_id") or not form.get("client_secret"):
            raise self._failure(400, "client_id and client_secret are required")
        if form["client_id"] != self.client_id:
            raise self._failure(403, "Failed to issue access token - Not Authorized")
        if form["client_secret"] != self.client_secret:
            raise self._failure(401, "access denied, invalid client")
        token = f"falcon-{uuid.uuid4().hex}"
        self._tokens[token] = time.monotonic() + self.expires_in
        body = {"access_token": token, "expires_in": self.expires_in, "token_type": "bearer"}
        return Reply(201, body, self._headers())

    def _authorize(self, request: Request) -> None:
        """A bearer token that was issued here and is not over, else 401."""
        scheme, _, value = request.header("Authorization").partition(" ")
        if scheme.lower() != "bearer" or self._tokens.get(value, 0.0) <= time.monotonic():
            raise self._failure(401, _TEXTS[401])

    def _matching(self, text: str, sort: str) -> list[dict[str, Any]]:
        """The alerts a filter takes, in order; by default the latest first (offset: `0` is the latest detection)."""
        try:
            test = parse(text)
            found = [item for item in self._alerts.values() if test(item)]
            return ordered(found, sort or "timestamp|desc")
        except FqlError as error:
            raise self._failure(400, str(error)) from error

    def _number(self, value: Any, name: str, default: int, most: int) -> int:
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not str(value).isdigit() or int(value) > most:
            raise self._failure(400, f"invalid {name} parameter: {value} (maximum {most})")
        return int(value)

    def _query(self, request: Request) -> Reply:
        """`GET /alerts/queries/alerts/v2`: composite ids by filter, sort, limit, offset (GetQueriesAlertsV2)."""
        query = request.query
        for name in query:
            if name not in ("filter", "sort", "limit", "offset", "q", "include_hidden"):
                raise self._failure(400, f"unknown parameter {name}")
        limit = self._number(query.get("limit"), "limit", 100, _QUERY_MAX)
        offset = self._number(query.get("offset"), "offset", 0, 10**9)
        if offset + limit > _QUERY_MAX:
            text = f"offset {offset} and limit {limit} are invalid; offset + limit must be less than or equal to 10000"
            raise self._failure(400, text)
        found = self._matching(query.get("filter", ""), query.get("sort", ""))
        if query.get("q"):
            found = [item for item in found if query["q"].lower() in json.dumps(item).lower()]
        limit = min(limit, self.page_size)
        pagination = {"offset": offset, "limit": limit, "total": len(found)}
        names = [item["composite_id"] for item in found[offset : offset + limit]]
        return Reply(200, self._body(names, [], pagination), self._headers())

    def _entities(self, request: Request) -> Reply:
        """`POST /alerts/entities/alerts/v2` with `composite_ids`, at most 1,000 (PostEntitiesAlertsV2)."""
        names = self._json(request, {"composite_ids"}).get("composite_ids")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise self._failure(400, "composite_ids is required")
        if len(names) > _IDS_MAX:
            raise self._failure(413, "request too large")
        found = [self._alerts[name] for name in names if name in self._alerts]
        return Reply(200, self._body(found, []), self._headers())

    def _combined(self, request: Request) -> Reply:
        """`POST /alerts/combined/alerts/v1` with filter, sort, limit, after (PostCombinedAlertsV1).

        `meta.pagination.after` is there while more follows. The cursor is the last item's place in the order, so that
        what is added behind it is met and what is added before it is not (an assumption; the token is opaque).
        """
        body = self._json(request, {"filter", "sort", "limit", "after"})
        limit = min(self._number(body.get("limit"), "limit", 100, _COMBINED_MAX) or 100, self.page_size)
        found = self._matching(str(body.get("filter") or ""), str(body.get("sort") or ""))
        start = 0
        if body.get("after"):
            last, count = self._cursor(str(body["after"]))
            places = [place for place, item in enumerate(found) if item["composite_id"] == last]
            start = places[0] + 1 if places else count
        page = found[start : start + limit]
        pagination: dict[str, Any] = {"limit": limit, "total": len(found)}
        if page and start + len(page) < len(found):
            mark = json.dumps([page[-1]["composite_id"], start + len(page)])
            pagination["after"] = base64.urlsafe_b64encode(mark.encode()).decode()
        return Reply(200, self._body(page, [], pagination), self._headers())

    def _cursor(self, text: str) -> tuple[str, int]:
        try:
            last, count = json.loads(base64.urlsafe_b64decode(text.encode()))
            return str(last), int(count)
        except (ValueError, TypeError) as error:
            raise self._failure(400, "invalid after token") from error

    def _json(self, request: Request, names: set[str]) -> dict[str, Any]:
        try:
            body = json.loads(request.body)
        except ValueError as error:
            raise self._failure(400, "invalid request body") from error
        if not isinstance(body, dict) or set(body) - names:
            raise self._failure(400, "invalid request body: unknown member")
        return body
