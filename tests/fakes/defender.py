"""Microsoft Graph's alerts_v2: $filter, $top and nextLink; newest first; $orderby is refused, as it is not documented."""

from __future__ import annotations

from typing import Any

from tests.fakes.azure import FakeAzure
from tests.fakes.server import Asked, Refused


class FakeDefender(FakeAzure):
    link = "@odata.nextLink"
    field = "lastUpdateDateTime"
    path = "/v1.0/security/alerts_v2"

    def identity(self, alert: dict[str, Any]) -> str:
        return str(alert["id"])

    def order(self, rows: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        if "$orderby" in asked.query:
            raise Refused(400, {"error": {"code": "BadRequest", "message": "$orderby is not supported"}})
        return sorted(rows, key=lambda row: (row["lastUpdateDateTime"], row["id"]), reverse=True)
