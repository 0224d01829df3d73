"""Azure Resource Manager's list of Sentinel incidents: api-version, $filter, $orderby, $top, nextLink."""

from __future__ import annotations

from typing import Any

from tests.fakes.azure import FakeAzure
from tests.fakes.server import Asked, Refused


class FakeSentinel(FakeAzure):
    field = "properties/lastModifiedTimeUtc"
    path = (
        "/subscriptions/sub-1/resourceGroups/group-1/providers/Microsoft.OperationalInsights/workspaces/work-1"
        "/providers/Microsoft.SecurityInsights/incidents"
    )

    def identity(self, alert: dict[str, Any]) -> str:
        return str(alert["name"])

    def order(self, rows: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        if "api-version" not in asked.query:
            raise Refused(
                400, {"error": {"code": "MissingApiVersionParameter", "message": "api-version is required"}}
            )
        field, _, direction = asked.query.get("$orderby", "properties/createdTimeUtc desc").partition(" ")
        name = field.removeprefix("properties/")
        return sorted(
            rows, key=lambda row: (row["properties"][name], row["name"]), reverse=direction == "desc"
        )
