"""CrowdStrike's OAuth2 and combined alerts: FQL by one time, sort, limit, the token of the next page."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from tests.fakes.server import Asked, Fake, Refused

CLIENT_SECRET = "falcon-client-secret-value"
_SINCE = re.compile(r"updated_timestamp:>='([^']+)'")


class FakeCrowdStrike(Fake):
    def identity(self, alert: dict[str, Any]) -> str:
        return str(alert["composite_id"])

    def answer(self, asked: Asked) -> Any:
        if asked.path == "/oauth2/token":
            form = asked.form
            if (form["client_id"], form["client_secret"]) != ("client-1", CLIENT_SECRET):
                raise Refused(403, self._errors(403, f"access denied for {form['client_secret']}"))
            return {"access_token": self.issue(), "expires_in": 1799, "token_type": "bearer"}
        try:
            self.check_token(asked)
        except Refused:
            raise Refused(401, self._errors(401, "access denied, invalid bearer token")) from None
        if (asked.method, asked.path) != ("POST", "/alerts/combined/alerts/v1"):
            raise Refused(404, self._errors(404, "not found"))
        return self._page(asked.json)

    def _page(self, question: dict[str, Any]) -> Any:
        at = datetime.fromisoformat("1970-01-01T00:00:00Z")
        if (wanted := question.get("filter")) is not None:
            found = _SINCE.fullmatch(wanted)
            if found is None:
                raise Refused(400, self._errors(400, "invalid filter"))
            at = datetime.fromisoformat(found[1])
        field, _, direction = question.get("sort", "timestamp|desc").partition("|")
        rows = [alert for alert, _ in self.since(at)]
        rows.sort(key=lambda row: (row[field], row["composite_id"]), reverse=direction == "desc")
        limit, start = question.get("limit", 100), int(question.get("after") or 0)
        page = rows[start : start + limit]
        pages = {"total": len(rows), "limit": limit}
        if start + limit < len(rows):
            pages["after"] = str(start + limit)
        return {
            "meta": {"query_time": 0.01, "pagination": pages, "trace_id": "t"},
            "resources": page,
            "errors": [],
        }

    def _errors(self, code: int, message: str) -> dict[str, Any]:
        return {"meta": {"trace_id": "t"}, "errors": [{"code": code, "message": message}]}
