"""A fake Elasticsearch with the alert indices of Elastic Security.

Pages (elastic.co/guide/en/elasticsearch/reference/8.x and github elastic/elasticsearch docs/reference):
search/search-your-data/paginate-search-results, search/point-in-time-api, search/search-your-data/sort-search-results,
query-dsl/range-query, query-dsl/bool-query, mapping/types/date, mapping/fields/id-field, security api-key
authentication; for the index names elastic.co/guide/en/security/current/alert-schema.
"""

from __future__ import annotations

import base64
import fnmatch
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.fakes.base import ApiError, FakeServer, Reply, Request, iso, now
from tests.fakes.elastic_query import BadQuery, Query, SortKey, after, parse_sort, sort_rows, source_of

_BODY = {
    "query",
    "size",
    "from",
    "sort",
    "search_after",
    "pit",
    "_source",
    "track_total_hits",
    "timeout",
    "version",
}
_BODY |= {"seq_no_primary_term", "track_scores"}
_PARAMS = {
    "size",
    "from",
    "sort",
    "ignore_unavailable",
    "allow_no_indices",
    "expand_wildcards",
    "track_total_hits",
}
_PARAMS |= {"pretty", "filter_path", "timeout", "rest_total_hits_as_int", "allow_partial_search_results"}
_KINDS = {
    400: "illegal_argument_exception",
    401: "security_exception",
    403: "security_exception",
    404: "index_not_found_exception",
    429: "es_rejected_execution_exception",
    503: "no_shard_available_action_exception",
}


@dataclass
class Row:
    """A stored document; `number` is its place in the shard, which a new version changes."""

    index: str
    id: str
    source: dict[str, Any]
    number: int


class FakeElastic(FakeServer):
    """Elasticsearch behind an API key or a user; `page_size` is `index.max_result_window` (over it: 400, not capped).

    `api_key` is the encoded key (what follows `ApiKey `). The time of an alert is its `@timestamp`.
    """

    default_page_size = 10_000

    def __init__(
        self,
        api_key: str = "aWQ6a2V5",
        username: str = "elastic",
        password: str = "changeme",
        space: str = "default",
    ) -> None:
        """One cluster with the alerts of one space; `add(..., space=)` stores in another."""
        super().__init__()
        self.api_key, self.username, self.password, self.space = api_key, username, password, space
        self.allow_id_fielddata = False
        self._expired: set[str] = set()
        self._rows: dict[tuple[str, str], Row] = {}
        self._spaces = {space}
        self._pits: dict[str, list[Row]] = {}
        self._count = 0

    def add(
        self,
        alert: dict[str, Any],
        at: datetime | None = None,
        space: str | None = None,
        *,
        bare: bool = False,
    ) -> str:
        """Index an alert now; `at` is its `@timestamp`. The same `kibana.alert.uuid` (or `_id`) replaces. -> `_id`.

        A `bare` one is of an index that others than Kibana write: it gets no `kibana.alert.uuid`.
        """
        source = dict(alert)
        name = str(source.pop("_id", "") or source_of(source, "kibana.alert.uuid") or uuid.uuid4())
        if at is not None or source_of(source, "@timestamp") is None:
            source["@timestamp"] = iso(at or now(), 3)
        if source_of(source, "kibana.alert.uuid") is None and not bare:
            source["kibana.alert.uuid"] = name
        with self._lock:
            self._count += 1
            home = space or self.space
            self._spaces.add(home)
            self._rows[(home, name)] = Row(
                f".internal.alerts-security.alerts-{home}-000001", name, source, self._count
            )
        return name

    def expire_tokens(self) -> None:
        """The API key is expired from now on (set `api_key` to a new one to let the client back in)."""
        with self._lock:
            self._expired.add(self.api_key)

    def error_body(self, status: int) -> Any:
        """The shape of an Elasticsearch error."""
        return _error(_KINDS.get(status, "exception"), "injected failure", status)

    def handle(self, request: Request) -> Reply:
        """Route a request that bears valid credentials."""
        self._authenticate(request)
        parts = [part for part in request.path.split("/") if part]
        match (request.method, parts):
            case ("GET", []):
                return Reply(200, {"name": "fake", "cluster_name": "fake", "version": {"number": "8.15.0"}})
            case ("GET", ["_security", "_authenticate"]):
                return Reply(
                    200, {"username": self.username, "enabled": True, "authentication_type": "api_key"}
                )
            case ("GET" | "POST", ["_search"]):
                return self._search(request, None)
            case ("GET" | "POST", [index, "_search"]):
                return self._search(request, index)
            case ("POST", [index, "_pit"]):
                return self._open_pit(request, index)
            case ("DELETE", ["_pit"]):
                return self._close_pit(request)
        text = f"no handler found for uri [{request.path}] and method [{request.method}]"
        return Reply(400, {"error": text})

    def _authenticate(self, request: Request) -> None:
        """`Authorization: ApiKey <encoded>` or Basic (setup/.../token-authentication-services, API keys)."""
        value = request.header("Authorization")
        scheme, _, secret = value.partition(" ")
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        extra: dict[str, Any] = {}
        if not value:
            reason = f"missing authentication credentials for REST request [{request.path}]"
        elif (scheme.lower() == "apikey" and secret == self.api_key and secret not in self._expired) or (
            scheme.lower() == "basic" and secret == basic
        ):
            return
        else:
            reason = "unable to authenticate with provided credentials and anonymous access is not allowed for this request"
            if scheme.lower() == "apikey":
                why = "api key is expired" if secret in self._expired else "unable to find apikey"
                extra = {"additional_unsuccessful_credentials": f"API key: {why}"}
        challenges = ['Basic realm="security", charset="UTF-8"', 'Bearer realm="security"', "ApiKey"]
        body = _error("security_exception", reason, 401, **extra, header={"WWW-Authenticate": challenges})
        raise ApiError(Reply(401, body, {"WWW-Authenticate": challenges[0]}))

    def _resolve(self, request: Request, pattern: str) -> list[Row]:
        """The rows of an index expression: names, commas, wildcards; an unknown name is 404 (api-conventions)."""
        found: set[str] = set()
        for part in pattern.split(","):
            names = {
                home
                for home in self._spaces
                for name in (
                    f".alerts-security.alerts-{home}",
                    f".internal.alerts-security.alerts-{home}-000001",
                )
                if fnmatch.fnmatchcase(name, part)
            }
            if not names and "*" not in part and request.query.get("ignore_unavailable") != "true":
                body = _error(
                    "index_not_found_exception", f"no such index [{part}]", 404, index=part, index_uuid="_na_"
                )
                raise ApiError(Reply(404, body))
            found |= names
        return [row for (home, _), row in self._rows.items() if home in found]

    def _open_pit(self, request: Request, index: str) -> Reply:
        """`POST /<index>/_pit?keep_alive=1m` (point-in-time-api): keeps the present state of the index."""
        if not request.query.get("keep_alive"):
            raise _bad(
                "action_request_validation_exception", "Validation Failed: 1: [keep_alive] is not specified;"
            )
        name = base64.urlsafe_b64encode(f"pit-{uuid.uuid4()}".encode()).decode()
        self._pits[name] = self._resolve(request, index)
        return Reply(200, {"id": name, "_shards": _shards()})

    def _close_pit(self, request: Request) -> Reply:
        """`DELETE /_pit` (point-in-time-api)."""
        known = self._pits.pop(str(_json(request).get("id")), None) is not None
        return Reply(200 if known else 404, {"succeeded": known, "num_freed": int(known)})

    def _search(self, request: Request, index: str | None) -> Reply:
        """`GET|POST [/<index>]/_search` (search-search, paginate-search-results)."""
        body = _json(request)
        for name in body:
            if name not in _BODY:
                raise _bad("parsing_exception", f"Unknown key for a VALUE in [{name}].")
        for name in request.query:
            if name not in _PARAMS:
                raise _bad(
                    "illegal_argument_exception",
                    f"request [{request.path}] contains unrecognized parameter: [{name}]",
                )
        rows, pit = self._rows_of(request, body, index)
        size, start = self._window(request, body)
        fields = {field for row in rows for field in _flat(row.source)} | {"@timestamp", "kibana.alert.uuid"}
        try:
            query = Query(body.get("query") or {"match_all": {}})
            keys = parse_sort(
                body.get("sort", _param_sort(request)), fields, bool(pit), self.allow_id_fielddata
            )
            found = sort_rows([row for row in rows if query.test(row.id, row.source)], keys)
            page = after(found, keys, body["search_after"]) if "search_after" in body else found
        except BadQuery as error:
            raise _bad(error.kind, str(error), shard=error.shard) from error
        if "search_after" in body and start not in (0, -1):
            raise _bad(
                "action_request_validation_exception",
                "`from` parameter must be set to 0 when `search_after` is used",
            )
        shown = page[max(start, 0) : max(start, 0) + size]
        answer: dict[str, Any] = {"took": 1, "timed_out": False, "_shards": _shards()}
        if pit:
            answer["pit_id"] = pit
        hits = [_hit(row, values, keys, body.get("_source", True)) for row, values in shown]
        answer["hits"] = {
            **_total(body, request, len(found)),
            "max_score": None if keys else 1.0,
            "hits": hits,
        }
        return Reply(200, answer)

    def _rows_of(self, request: Request, body: dict[str, Any], index: str | None) -> tuple[list[Row], str]:
        """The rows to search and the id of the point in time, if one is used."""
        pit = body.get("pit")
        if pit is None:
            return self._resolve(request, index or "*"), ""
        if index is not None:
            text = "Validation Failed: 1: [indices] cannot be used with point in time. "
            text += "Do not specify any index with point in time.;"
            raise _bad("action_request_validation_exception", text)
        if not isinstance(pit, dict) or not pit.get("id"):
            raise _bad("illegal_argument_exception", "[pit] requires a field [id]")
        if pit["id"] not in self._pits:
            body = _error("search_context_missing_exception", "No search context found for id [1]", 404)
            raise ApiError(Reply(404, body))
        return self._pits[pit["id"]], pit["id"]

    def _window(self, request: Request, body: dict[str, Any]) -> tuple[int, int]:
        """`size` (10 unless told) and `from`; together not over `index.max_result_window`."""
        numbers = []
        for name, default in (("size", 10), ("from", 0)):
            try:
                numbers.append(int(body.get(name, request.query.get(name, default))))
            except (TypeError, ValueError) as error:
                raise _bad("parsing_exception", f"Failed to parse value for [{name}]") from error
        size, start = numbers
        if size < 0 or start < -1:
            raise _bad("illegal_argument_exception", f"[size] parameter cannot be negative, found [{size}]")
        if size + max(start, 0) > self.page_size:
            text = f"Result window is too large, from + size must be less than or equal to: [{self.page_size}] but was "
            text += f"[{size + max(start, 0)}]. See the scroll api for a more efficient way to request large data sets. "
            text += "This limit can be set by changing the [index.max_result_window] index level setting."
            raise _bad("illegal_argument_exception", text, shard=True)
        return size, start


def _json(request: Request) -> dict[str, Any]:
    """The JSON object in the body ({} for none); a body needs `Content-Type: application/json`."""
    if not request.body:
        return {}
    kind = request.header("Content-Type").split(";")[0].strip()
    if kind not in ("application/json", "application/vnd.elasticsearch+json"):
        raise ApiError(Reply(406, {"error": f"Content-Type header [{kind}] is not supported", "status": 406}))
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise _bad("x_content_parse_exception", f"[1:1] Unexpected character: {error}") from error
    if not isinstance(body, dict):
        raise _bad("parsing_exception", "Expected [START_OBJECT] but found something else")
    return body


def _error(kind: str, reason: str, status: int, **extra: Any) -> dict[str, Any]:
    cause = {"type": kind, "reason": reason, **extra}
    return {"error": {"root_cause": [cause], **cause}, "status": status}


def _bad(kind: str, reason: str, shard: bool = False) -> ApiError:
    """A 400; an error found while the shards search is wrapped as Elasticsearch does."""
    body = _error(kind, reason, 400)
    if shard:
        cause = body["error"]["root_cause"][0]
        failed = [{"shard": 0, "index": ".internal.alerts-security.alerts-default-000001", "reason": cause}]
        outer = {"type": "search_phase_execution_exception", "reason": "all shards failed", "phase": "query"}
        body["error"] = {"root_cause": [cause], **outer, "grouped": True, "failed_shards": failed}
    return ApiError(Reply(400, body))


def _shards() -> dict[str, int]:
    return {"total": 1, "successful": 1, "skipped": 0, "failed": 0}


def _flat(source: dict[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of all leaf fields."""
    names: list[str] = []
    for key, value in source.items():
        names += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return names


def _param_sort(request: Request) -> list[dict[str, str]]:
    """`?sort=field:direction,...`."""
    parts = [part.partition(":") for part in request.query.get("sort", "").split(",") if part]
    return [{name: direction or "asc"} for name, _, direction in parts]


def _total(body: dict[str, Any], request: Request, count: int) -> dict[str, Any]:
    """`hits.total`: exact up to `track_total_hits` (10,000 unless told), absent for false."""
    wish = body.get(
        "track_total_hits",
        {"true": True, "false": False}.get(request.query.get("track_total_hits", ""), 10_000),
    )
    if wish is False:
        return {}
    limit = count if wish is True else int(wish)
    return {"total": {"value": min(count, limit), "relation": "gte" if count > limit else "eq"}}


def _hit(row: Row, values: list[Any], keys: list[SortKey], wish: Any) -> dict[str, Any]:
    """One hit; `_source` may be a bool, a pattern, a list of patterns or includes/excludes."""
    hit: dict[str, Any] = {"_index": row.index, "_id": row.id, "_score": None if keys else 1.0}
    if keys:
        hit["sort"] = values
    if wish is False:
        return hit
    if wish is True:
        return {**hit, "_source": row.source}
    chosen = wish if isinstance(wish, dict) else {"includes": wish}
    includes, excludes = (
        [part] if isinstance(part, str) else part
        for part in (chosen.get("includes", ["*"]), chosen.get("excludes", []))
    )
    kept = {
        key: value
        for key, value in row.source.items()
        if any(fnmatch.fnmatchcase(key, part) or part.startswith(f"{key}.") for part in includes)
        and not any(fnmatch.fnmatchcase(key, part) for part in excludes)
    }
    return {**hit, "_source": kept}
