"""A fake splunkd with the notable events of Splunk Enterprise Security.

Pages: Splunk REST API Reference, "Search endpoint descriptions" (docs.splunk.com/Documentation/Splunk/latest/RESTREF/
RESTsearch: search/jobs, search/jobs/{search_id}, search/v2/jobs/{search_id}/results, search/v2/jobs/export: parameters,
201 with a sid, 204 while a job runs, count 100 unless told, 0 for all), "Access endpoint descriptions" (auth/login),
"Using the REST API"/RESTatom (output_mode), "Creating searches using the REST API" (help.splunk.com, REST tutorials),
Search Reference "Time modifiers"; limits.conf [restapi] maxresultrows; spl.py for the searches.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.fakes.base import ApiError, FakeServer, Reply, Request, iso, now, time_ns
from tests.fakes.spl import SplError, run, seconds_of

_CREATE = {
    "search", "earliest_time", "latest_time", "index_earliest", "index_latest", "exec_mode", "output_mode", "max_count",
    "timeout", "adhoc_search_level", "search_mode", "auto_cancel", "id", "namespace", "now", "preview", "count",
    "max_time", "status_buckets", "rf", "time_format", "ttl",
}  # fmt: skip


@dataclass
class _Job:
    """A search job: its results and how many status requests still find it running."""

    sid: str
    search: str
    rows: list[dict[str, Any]]
    polls: int
    ran: list[str] = field(default_factory=list)


class FakeSplunk(FakeServer):
    """splunkd behind a token (`Bearer`), a session key (`Splunk`) or a user; `page_size` is `maxresultrows`.

    `at` of a notable is its `_time`; it is indexed (`_indextime`) now. `job_polls` status requests find a job running.
    """

    default_page_size = 50_000

    def __init__(
        self, token: str = "splunk-token", username: str = "admin", password: str = "changeme"
    ) -> None:
        """One search head with the index `notable`."""
        super().__init__()
        self.token, self.username, self.password = token, username, password
        self.job_polls = 1
        self._events: list[dict[str, Any]] = []
        self._jobs: dict[str, _Job] = {}
        self._sessions: set[str] = set()
        self._expired: set[str] = set()

    def add(self, alert: dict[str, Any], at: datetime | None = None) -> str:
        """Index a notable now with `_time` = `at`; -> its `event_id`. An index only grows: nothing is replaced."""
        moment, indexed = at or now(), now()
        event = {"index": "notable", "sourcetype": "stash", "source": "Fake - Rule", "host": "fake", **alert}
        event.setdefault("event_id", f"{uuid.uuid4()}@@notable@@{uuid.uuid4().hex}")
        event["_time"] = (
            iso(moment, 3).replace("Z", "+00:00") if at or "_time" not in event else event["_time"]
        )
        event["_indextime"] = str(int(indexed.timestamp()))
        event.setdefault(
            "_raw", json.dumps({key: value for key, value in alert.items() if not key.startswith("_")})
        )
        event |= {"_bkt": "notable~0~FAKE", "_si": ["fake", "notable"], "_sourcetype": event["sourcetype"]}
        with self._lock:
            event["_cd"] = f"0:{len(self._events)}"
            event["#time"] = time_ns(str(event["_time"])) / 1e9
            self._events.append(event)
        return str(event["event_id"])

    def expire_tokens(self) -> None:
        """The token and the sessions are over (set `token` to a new one to let the client back in)."""
        with self._lock:
            self._expired.add(self.token)
            self._sessions.clear()

    def error_body(self, status: int) -> Any:
        """The shape of a Splunk error with output_mode=json."""
        text = {
            401: "call not properly authenticated",
            503: "The maximum number of concurrent searches was reached",
        }
        return {
            "messages": [
                {"type": "FATAL" if status >= 500 else "WARN", "text": text.get(status, "Injected.")}
            ]
        }

    def _failure(
        self, status: int, text: str, kind: str = "FATAL", headers: dict[str, str] | None = None
    ) -> ApiError:
        return ApiError(Reply(status, {"messages": [{"type": kind, "text": text}]}, headers or {}))

    def handle(self, request: Request) -> Reply:
        """Route a request; /servicesNS/{user}/{app}/ is the same as /services/."""
        parts = [part for part in request.path.split("/") if part]
        if parts[:1] == ["servicesNS"] and len(parts) > 3:
            parts = ["services", *parts[3:]]
        if parts == ["services", "auth", "login"]:
            return self._login(request)
        self._authenticate(request)
        if parts[:2] == ["services", "search"]:
            rest = parts[3:] if parts[2:3] == ["v2"] else parts[2:]
            match (request.method, rest):
                case ("POST", ["jobs"]):
                    return self._create(request)
                case ("GET" | "POST", ["jobs", "export"]):
                    return self._export(request)
                case ("GET", ["jobs", sid]):
                    return self._status(request, sid)
                case ("DELETE", ["jobs", sid]):
                    return self._cancel(sid)
                case ("POST", ["jobs", sid, "control"]):
                    return self._control(request, sid)
                case ("GET" | "POST", ["jobs", sid, "results"]):
                    return self._results(request, sid)
        if parts == ["services", "server", "info"]:
            return Reply(200, {"entry": [{"name": "server-info", "content": {"version": "9.3.0"}}]})
        raise self._failure(404, "Not Found", "ERROR")

    def _login(self, request: Request) -> Reply:
        """`POST /services/auth/login` with username and password -> a session key (Access endpoint descriptions)."""
        form = request.form()
        if (form.get("username"), form.get("password")) != (self.username, self.password):
            raise ApiError(Reply(401, {"messages": [{"type": "WARN", "text": "Login failed"}]}))
        key = uuid.uuid4().hex
        self._sessions.add(key)
        return Reply(200, {"sessionKey": key})

    def _authenticate(self, request: Request) -> None:
        """`Authorization: Bearer <token>`, `Splunk <session key or token>` or Basic, else 401."""
        scheme, _, value = request.header("Authorization").partition(" ")
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        known = value in self._sessions or (value == self.token and value not in self._expired)
        if (scheme in ("Bearer", "Splunk") and known) or (scheme == "Basic" and value == basic):
            return
        if scheme in ("Bearer", "Splunk"):
            raise self._failure(401, "call not properly authenticated", "WARN")
        raise self._failure(401, "Unauthorized", "ERROR", {"WWW-Authenticate": 'Basic realm="/splunk"'})

    def _parameters(self, request: Request) -> dict[str, str]:
        """The parameters of a search, from the form and the query; unknown ones are refused as splunkd does."""
        values = {**request.query, **request.form()} if request.method == "POST" else dict(request.query)
        for name in values:
            if name not in _CREATE:
                raise self._failure(400, f'Argument "{name}" is not supported by this handler.', "ERROR")
        if not values.get("search"):
            raise self._failure(400, "Empty search.")
        return values

    def _search(self, values: dict[str, str]) -> list[dict[str, Any]]:
        """Run the search over the events within the time range (earliest inclusive, latest exclusive)."""
        try:
            bounds = {
                name: seconds_of(values[name]) for name in ("earliest_time", "latest_time", "index_earliest", "index_latest")
                if values.get(name)
            }  # fmt: skip
            earliest, latest = bounds.get("earliest_time", 0.0), bounds.get("latest_time")
            if latest is not None and earliest > latest:
                raise SplError("Invalid earliest_time.")
            chosen = [
                event
                for event in self._events
                if float(event["_indextime"]) >= bounds.get("index_earliest", 0.0)
                and float(event["_indextime"]) < bounds.get("index_latest", float("inf"))
            ]
            return run(values["search"], chosen, earliest, latest)
        except SplError as error:
            raise self._failure(400, str(error)) from error

    def _create(self, request: Request) -> Reply:
        """`POST /services/search/jobs` -> 201 and a sid; exec_mode normal, blocking or oneshot (search/jobs)."""
        values = self._parameters(request)
        rows = self._search(values)[: int(values.get("max_count") or 10_000)]
        mode = values.get("exec_mode", "normal")
        if mode not in ("normal", "blocking", "oneshot"):
            raise self._failure(400, f"Invalid exec_mode: {mode}")
        if mode == "oneshot":
            return self._page(rows, values)
        sid = values.get("id") or f"{time.time():.5f}"
        self._jobs[sid] = _Job(sid, values["search"], rows, 0 if mode == "blocking" else self.job_polls)
        if values.get("output_mode") != "json":
            text = f'<?xml version="1.0" encoding="UTF-8"?>\n<response>\n  <sid>{sid}</sid>\n</response>\n'
            return Reply(201, text.encode(), {"Content-Type": "text/xml; charset=UTF-8"})
        return Reply(201, {"sid": sid})

    def _job(self, sid: str) -> _Job:
        if sid not in self._jobs:
            raise self._failure(404, "Unknown sid.")
        return self._jobs[sid]

    def _status(self, request: Request, sid: str) -> Reply:
        """`GET /services/search/jobs/{search_id}`: dispatchState, isDone, resultCount (search/jobs/{search_id})."""
        job = self._job(sid)
        self._json_only(request.query)
        done = job.polls <= 0
        job.polls -= 1
        content = {
            "sid": sid, "dispatchState": "DONE" if done else "RUNNING", "isDone": done, "isFailed": False,
            "doneProgress": 1 if done else 0.5, "resultCount": len(job.rows) if done else 0,
            "eventCount": len(job.rows) if done else 0, "isFinalized": False, "isPaused": False, "messages": [],
        }  # fmt: skip
        entry = {"name": job.search, "id": f"{self.url}/services/search/jobs/{sid}", "content": content}
        return Reply(200, {"origin": f"{self.url}/services/search/jobs", "entry": [entry]})

    def _cancel(self, sid: str) -> Reply:
        """`DELETE /services/search/jobs/{search_id}`."""
        self._job(sid)
        del self._jobs[sid]
        return Reply(200, {"messages": [{"type": "INFO", "text": "Search job cancelled."}]})

    def _control(self, request: Request, sid: str) -> Reply:
        """`POST /services/search/jobs/{search_id}/control` with action=cancel, finalize, touch (.../control)."""
        action = request.form().get("action", "")
        if action == "cancel":
            return self._cancel(sid)
        if action not in ("finalize", "touch"):
            raise self._failure(400, f"Invalid action {action}")
        self._job(sid).polls = 0 if action == "finalize" else self._job(sid).polls
        return Reply(200, {"messages": [{"type": "INFO", "text": f"{action} done."}]})

    def _results(self, request: Request, sid: str) -> Reply:
        """`GET /services/search[/v2]/jobs/{search_id}/results`: 204 while it runs (search/v2/jobs/{search_id}/results)."""
        job = self._job(sid)
        values = {**request.query, **(request.form() if request.method == "POST" else {})}
        for name in values:
            if name not in ("count", "offset", "output_mode", "f", "search", "add_summary_to_metadata"):
                raise self._failure(400, f'Argument "{name}" is not supported by this handler.', "ERROR")
        if job.polls > 0:
            return Reply(204)
        return self._page(job.rows, values)

    def _page(self, rows: list[dict[str, Any]], values: dict[str, str]) -> Reply:
        """A page of results: count (100; 0 for all, up to maxresultrows) from offset."""
        self._json_only(values)
        try:
            count, offset = int(values.get("count") or 100), int(values.get("offset") or 0)
        except ValueError as error:
            raise self._failure(400, "Invalid count or offset: an integer is needed.") from error
        if values.get("count") == "0":
            count = self.page_size
        if count < 0:
            raise self._failure(400, "Invalid count: negative.")
        start = offset if offset >= 0 else max(0, len(rows) + offset)
        page = rows[start : start + min(count, self.page_size)]
        names = list(dict.fromkeys(name for row in page for name in row))
        body = {
            "preview": False,
            "init_offset": start,
            "messages": [],
            "fields": [{"name": name} for name in names],
        }
        return Reply(200, {**body, "results": page, "highlighted": {}})

    def _export(self, request: Request) -> Reply:
        """`GET|POST /services/search/v2/jobs/export`: one JSON object a line, streamed (search/v2/jobs/export)."""
        values = self._parameters(request)
        self._json_only(values)
        rows = self._search(values)
        lines: list[dict[str, Any]] = []
        for place, row in enumerate(rows):
            last = {"lastrow": True} if place == len(rows) - 1 else {}
            lines.append({"preview": False, "offset": place, **last, "result": row})
        lines = lines or [{"preview": False, "lastrow": True}]
        return Reply(200, "".join(json.dumps(line) + "\n" for line in lines).encode())

    def _json_only(self, values: dict[str, str]) -> None:
        """The fake writes JSON only (splunkd answers XML unless told, which a client would have to ask for)."""
        if values.get("output_mode") != "json":
            text = b'<?xml version="1.0" encoding="UTF-8"?>\n<response><!-- the fake knows output_mode=json only --></response>'
            raise ApiError(Reply(200, text, {"Content-Type": "text/xml; charset=UTF-8"}))
