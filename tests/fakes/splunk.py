"""Splunk's search/v2/jobs/export: one JSON object a line. Of SPL it knows what orders, bounds and limits rows."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from tests.fakes.server import Asked, Fake, Refused

TOKEN = "splunk-authentication-token"
_WHERE = re.compile(r'where \w+>(?P<second>\d+) OR \(\w+=\d+ AND \w+>"(?P<id>[^"]*)"\)')
_SORT = re.compile(r"\| sort (?P<limit>\d+) \+num\(\w+\) \+str\(\w+\)")


class FakeSplunk(Fake):
    path = "/servicesNS/nobody/SplunkEnterpriseSecuritySuite/search/v2/jobs/export"

    def identity(self, alert: dict[str, Any]) -> str:
        return str(alert["event_id"])

    def answer(self, asked: Asked) -> Any:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            said = f"call not properly authenticated: {asked.headers.get('authorization')}"
            raise Refused(401, {"messages": [{"type": "WARN", "text": said}]})
        form = asked.form
        if (asked.method, asked.path) != ("POST", self.path) or form["output_mode"] != "json":
            raise Refused(404, {"messages": [{"type": "ERROR", "text": "Not Found"}]})
        if not form["search"].startswith(("search ", "|")):
            raise Refused(400, {"messages": [{"type": "FATAL", "text": "Unknown search command"}]})
        rows = self._rows(form)
        if not rows:
            return b'{"preview":false,"offset":0,"lastrow":true}\n'
        lines = [{"preview": False, "offset": number, "result": row} for number, row in enumerate(rows)]
        lines[-1]["lastrow"] = True
        return "\n".join(map(json.dumps, lines)).encode() + b"\n"

    def _rows(self, form: dict[str, str]) -> list[dict[str, Any]]:
        rows = []
        for alert, at in self.since(datetime.fromtimestamp(int(form["index_earliest"]), UTC)):
            rows.append(
                {**alert, "opensoar_id": alert["event_id"], "opensoar_indexed": str(int(at.timestamp()))}
            )
        if (where := _WHERE.search(form["search"])) is not None:
            behind = (int(where["second"]), where["id"])
            rows = [row for row in rows if (int(row["opensoar_indexed"]), row["opensoar_id"]) > behind]
        if (sort := _SORT.search(form["search"])) is not None:
            rows.sort(key=lambda row: (int(row["opensoar_indexed"]), row["opensoar_id"]))
            rows = rows[: int(sort["limit"])]
        return rows
