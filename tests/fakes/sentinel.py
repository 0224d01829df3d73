"""A fake Azure Resource Manager with Microsoft Sentinel incidents, and the Log Analytics query API.

Pages: learn.microsoft.com/rest/api/securityinsights/incidents/list (github Azure/azure-rest-api-specs
specification/securityinsights/.../stable/2021-10-01/Incidents.json: $filter, $orderby, $top up to 1,000, $skipToken,
nextLink, CloudError; examples/incidents/GetIncidents.json), .../incidents/list-entities (entities, metaData),
learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling (429, Retry-After),
learn.microsoft.com/azure/azure-monitor/logs/api/request-format, response-format, errors; entra.py for the token, kql.py
for the queries.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections import Counter
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote, urlencode

from tests.fakes.base import ApiError, Reply, Request, iso, now, time_ns
from tests.fakes.entra import EntraServer
from tests.fakes.kql import KqlError, run
from tests.fakes.odata import Filter, ODataError, ordered

_TIMES = ("createdTimeUtc", "lastModifiedTimeUtc", "firstActivityTimeUtc", "lastActivityTimeUtc")
_TEXTS = (
    "title",
    "description",
    "severity",
    "status",
    "classification",
    "providerName",
    "providerIncidentId",
)
FIELDS = {f"properties/{name}": "time" for name in _TIMES}
FIELDS |= {f"properties/{name}": "string" for name in _TEXTS}
FIELDS |= {"properties/incidentNumber": "number", "name": "string", "properties/owner/email": "string"}
FIELDS |= {"properties/owner/userPrincipalName": "string", "properties/owner/assignedTo": "string"}
_API_VERSIONS = re.compile(r"20(2[0-9])-\d\d-\d\d(-preview)?$")
_ROUTE = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/"
    r"Microsoft\.OperationalInsights/workspaces/(?P<workspace>[^/]+)/providers/Microsoft\.SecurityInsights/incidents"
    r"(?:/(?P<incident>[^/]+)(?:/(?P<part>alerts|entities|bookmarks|comments))?)?$",
    re.IGNORECASE,
)
_CODES = {
    400: "BadRequest", 401: "InvalidAuthenticationToken", 403: "AuthorizationFailed", 404: "ResourceNotFound",
    429: "TooManyRequests", 500: "InternalServerError", 503: "ServiceUnavailable",
}  # fmt: skip


class FakeSentinel(EntraServer):
    """The incidents of one workspace; `page_size` caps a page, `nextLink` leads to the rest.

    `at` of an incident is its `properties.lastModifiedTimeUtc`. Paging is by position over the present list. As Azure's
    `nextLink` names the port 443, which nobody asked at, its one names the host otherwise than it was asked; `links_to`
    is another server that it leads to.
    """

    resources = ("https://management.azure.com", "https://management.core.windows.net")
    log_resources = ("https://api.loganalytics.io", "https://api.loganalytics.azure.com")
    default_page_size = 1000
    default_top = 50

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As EntraServer: tenant_id, client_id, client_secret, expires_in."""
        super().__init__(*args, **kwargs)
        self.subscription_id = "d0cfe6b2-9ac0-4464-9919-dccaee2e48c0"
        self.resource_group = "myRg"
        self.workspace_name = "myWorkspace"
        self.workspace_id = "b438b4f6-912a-46d5-9cb1-b44069212abc"
        self.links_to = ""
        self.parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._incidents: dict[str, dict[str, Any]] = {}
        self._log: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Listen on a free port, under a name that can be written in two ways."""
        super().__enter__()
        self.url = self.url.replace("127.0.0.1", "localhost")
        return self

    @property
    def base_path(self) -> str:
        """The path of the workspace's incidents."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}/providers/"
            f"Microsoft.OperationalInsights/workspaces/{self.workspace_name}/providers/Microsoft.SecurityInsights/incidents"
        )

    def add(self, alert: dict[str, Any], at: datetime | None = None) -> str:
        """Store an incident now (a whole one, or only its `properties`); the same `name` replaces. -> its name.

        `entities` beside the `properties` are those of the incident: the list and the incident itself have none.
        """
        item = dict(alert) if "properties" in alert else {"properties": dict(alert)}
        entities = item.pop("entities", None)
        name = str(item.get("name") or item["properties"].pop("name", "") or uuid.uuid4())
        old = self._incidents.get(name, {}).get("properties", {})
        properties = {
            "incidentNumber": old.get("incidentNumber", len(self._incidents) + 1),
            **item["properties"],
        }
        properties = {"title": "My incident", "severity": "High", "status": "New", **properties}
        stamp = iso(at or now(), 7)
        if at is not None or "lastModifiedTimeUtc" not in properties:
            properties["lastModifiedTimeUtc"] = stamp
        properties.setdefault("createdTimeUtc", old.get("createdTimeUtc", stamp))
        item |= {
            "name": name,
            "id": f"{self.base_path}/{name}",
            "type": "Microsoft.SecurityInsights/incidents",
        }
        item |= {"etag": f'"{uuid.uuid4()}"', "properties": properties}
        with self._lock:
            self._incidents[name] = item
            if entities is not None:
                self.parts[(name, "entities")] = entities
            self._log.append(_log_row(item))
        return name

    def error_body(self, status: int) -> Any:
        """The shape of an Azure error (CloudError)."""
        return {"error": {"code": _CODES.get(status, "UnknownError"), "message": "Injected."}}

    def _failure(self, status: int, code: str, text: str, headers: dict[str, str] | None = None) -> ApiError:
        return ApiError(Reply(status, {"error": {"code": code, "message": text}}, headers or {}))

    def handle(self, request: Request) -> Reply:
        """Route a request."""
        token = self.token_endpoint(request)
        if token is not None:
            return token
        logs = re.fullmatch(r"/v1/workspaces/([^/]+)/query", request.path)
        self._authorize(request, self.log_resources if logs else self.resources)
        if logs:
            return self._logs(request, logs[1])
        route = _ROUTE.match(request.path)
        if not route:
            raise self._failure(
                404, "InvalidResourceType", f"The resource type could not be found: {request.path}."
            )
        version = request.query.get("api-version")
        if not version:
            text = "The api-version query parameter (?api-version=) is required for all requests."
            raise self._failure(400, "MissingApiVersionParameter", text)
        if not _API_VERSIONS.match(version):
            raise self._failure(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
        self._check_scope(route)
        if route["incident"] is None and request.method == "GET":
            return self._list(request)
        if route["incident"]:
            return self._one(request, route["incident"], route["part"])
        raise self._failure(405, "MethodNotAllowed", "The method is not allowed.")

    def _authorize(self, request: Request, resources: tuple[str, ...]) -> None:
        fault = self.token_fault(request, resources)
        if fault is None:
            return
        code, text = {
            "missing": (
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            ),
            "expired": (
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            ),
            "audience": (
                "InvalidAuthenticationToken",
                "The access token has been obtained for wrong audience or resource.",
            ),
        }.get(fault, ("InvalidAuthenticationToken", "The access token is invalid."))
        headers = {
            "WWW-Authenticate": f'Bearer authorization_uri="{self.url}/{self.tenant_id}", error="invalid_token"'
        }
        raise self._failure(401, code, text, headers)

    def _check_scope(self, route: re.Match[str]) -> None:
        if route["subscription"].lower() != self.subscription_id.lower():
            raise self._failure(
                404, "SubscriptionNotFound", f"The subscription '{route['subscription']}' could not be found."
            )
        if route["group"].lower() != self.resource_group.lower():
            raise self._failure(
                404, "ResourceGroupNotFound", f"Resource group '{route['group']}' could not be found."
            )
        if route["workspace"].lower() != self.workspace_name.lower():
            raise self._failure(
                404, "ResourceNotFound", f"The workspace '{route['workspace']}' was not found."
            )

    def _list(self, request: Request) -> Reply:
        """`GET .../incidents?api-version=&$filter=&$orderby=&$top=&$skipToken=` (Incidents_List)."""
        query = {name.lower(): value for name, value in request.query.items()}
        for name in query:
            if name not in ("api-version", "$filter", "$orderby", "$top", "$skiptoken"):
                raise self._failure(400, "BadRequest", f"The query parameter '{name}' is not supported.")
        top = query.get("$top", str(self.default_top))
        if not top.isdigit() or not 1 <= int(top) <= 1000:
            raise self._failure(400, "BadRequest", f"Invalid value '{top}' for $top: 1 to 1000.")
        start = self._position(query.get("$skiptoken", ""))
        try:
            test = Filter(query["$filter"], FIELDS).test if "$filter" in query else lambda item: True
            found = [item for item in self._incidents.values() if test(item)]
            found = ordered(found, query.get("$orderby", "properties/createdTimeUtc desc"), FIELDS)
        except ODataError as error:
            raise self._failure(400, "BadRequest", f"Invalid OData query: {error}") from error
        page = found[start : start + min(int(top), self.page_size)]
        body: dict[str, Any] = {"value": page}
        if page and start + len(page) < len(found):
            kept = {name: value for name, value in request.query.items() if name.lower() != "$skiptoken"}
            kept["$skipToken"] = base64.urlsafe_b64encode(f"position:{start + len(page)}".encode()).decode()
            base = self.links_to or self.url.replace("localhost", "LOCALHOST")
            body["nextLink"] = f"{base}{request.path}?{urlencode(kept, safe='$', quote_via=quote)}"
        return Reply(200, body)

    def _position(self, token: str) -> int:
        try:
            text = base64.urlsafe_b64decode(token.encode()).decode() if token else "position:0"
            return int(text.removeprefix("position:"))
        except ValueError as error:
            raise self._failure(400, "BadRequest", "The skip token is not valid.") from error

    def _one(self, request: Request, name: str, part: str | None) -> Reply:
        """`GET .../incidents/{id}` and `POST .../incidents/{id}/alerts|entities|bookmarks`, `GET .../comments`.

        The parts are what the test put into `parts[(name, part)]` (Incidents_Get, Incidents_ListAlerts, ...).
        """
        if name not in self._incidents:
            raise self._failure(404, "NotFound", f"Incident '{name}' was not found.")
        if part is None and request.method == "GET":
            return Reply(200, self._incidents[name])
        if part is None or request.method != ("GET" if part == "comments" else "POST"):
            raise self._failure(405, "MethodNotAllowed", "The method is not allowed.")
        found = self.parts.get((name, part), [])
        if part != "entities":
            return Reply(200, {"value": found})
        counts = Counter(str(entity.get("kind")) for entity in found)
        kinds = [{"entityKind": kind, "count": count} for kind, count in counts.items()]
        return Reply(200, {"entities": found, "metaData": kinds})

    def _logs(self, request: Request, workspace: str) -> Reply:
        """`POST /v1/workspaces/{id}/query` with query and timespan (logs/api/request-format, response-format)."""
        if workspace != self.workspace_id:
            raise self._failure(
                404, "WorkspaceNotFoundError", f"The workspace {workspace} could not be found."
            )
        try:
            body = json.loads(request.body)
            names, rows = run(
                str(body["query"]), {"SecurityIncident": self._log}, str(body.get("timespan") or "")
            )
        except (KqlError, ValueError, KeyError, TypeError) as error:
            inner = {"code": "SyntaxError", "message": str(error)}
            body = {
                "code": "BadArgumentError",
                "message": "The request had some invalid properties",
                "innererror": inner,
            }
            raise ApiError(Reply(400, {"error": body})) from error
        kinds = {name: "datetime" if name.endswith(("Time", "Generated")) else "string" for name in names}
        columns = [{"name": name, "type": kinds[name]} for name in names]
        return Reply(200, {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]})


def _log_row(item: dict[str, Any]) -> dict[str, Any]:
    """The row of the table SecurityIncident that an addition or update writes (TimeGenerated: the change)."""
    properties = item["properties"]
    time_ns(str(properties["lastModifiedTimeUtc"]))
    return {
        "TimeGenerated": properties["lastModifiedTimeUtc"],
        "IncidentName": item["name"],
        "Title": properties["title"],
        "Description": properties.get("description", ""),
        "Severity": properties["severity"],
        "Status": properties["status"],
        "CreatedTime": properties["createdTimeUtc"],
        "LastModifiedTime": properties["lastModifiedTimeUtc"],
        "IncidentNumber": properties["incidentNumber"],
        "IncidentUrl": properties.get("incidentUrl", ""),
    }
