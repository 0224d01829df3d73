"""Entra ID's token endpoint, and lists with a link to the next page."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from tests.fakes.server import Asked, Fake, Refused

CLIENT_SECRET = "entra-client-secret-value"
_SINCE = re.compile(r"(?P<field>[\w/]+) ge (?P<at>\S+Z)")


class FakeAzure(Fake):
    link = "nextLink"
    field = ""
    path = ""
    default_top = 50

    def answer(self, asked: Asked) -> Any:
        if asked.path == "/tenant-1/oauth2/v2.0/token":
            form = asked.form
            if (form["grant_type"], form["client_id"], form["scope"]) != (
                "client_credentials", "client-1", f"{self.url}/.default",
            ):  # fmt: skip
                raise Refused(400, {"error": "invalid_request", "error_description": "AADSTS900023"})
            if form["client_secret"] != CLIENT_SECRET:
                told = f"AADSTS7000215: Invalid client secret provided: {form['client_secret']}"
                raise Refused(401, {"error": "invalid_client", "error_description": told})
            return {"token_type": "Bearer", "expires_in": 3599, "access_token": self.issue()}
        self.check_token(asked)
        if asked.path != self.path:
            raise Refused(404, {"error": {"code": "NotFound", "message": asked.path}})
        return self._page(asked)

    def order(self, rows: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _page(self, asked: Asked) -> Any:
        at = datetime.fromisoformat("1970-01-01T00:00:00Z")
        if (wanted := asked.query.get("$filter")) is not None:
            found = _SINCE.match(wanted)
            if found is None or found["field"] != self.field:
                raise Refused(400, {"error": {"code": "BadRequest", "message": "Invalid filter clause"}})
            at = datetime.fromisoformat(found["at"])
        rows = self.order([alert for alert, _ in self.since(at)], asked)
        top, skip = int(asked.query.get("$top", self.default_top)), int(asked.query.get("$skiptoken", 0))
        told: dict[str, Any] = {"value": rows[skip : skip + top]}
        if skip + top < len(rows):
            following = {**asked.query, "$skiptoken": str(skip + top)}
            told[self.link] = f"{self.url}{self.path}?{urlencode(following)}"
        return told
