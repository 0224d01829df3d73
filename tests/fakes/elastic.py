"""Elasticsearch as its search API documents it: range filters, sort, search_after, API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.fakes.server import Asked, Fake, Refused

API_KEY = "ZWxhc3RpYy1pZDplbGFzdGljLWtleQ=="


class FakeElastic(Fake):
    index = ".alerts-security.alerts-default"

    def identity(self, alert: dict[str, Any]) -> str:
        return str(alert["kibana.alert.uuid"])

    def answer(self, asked: Asked) -> Any:
        if asked.headers.get("authorization") != f"ApiKey {API_KEY}":
            error = {
                "type": "security_exception",
                "reason": f"unable to authenticate with {asked.headers.get('authorization')}",
            }
            raise Refused(401, {"error": error, "status": 401})
        if asked.path != f"/{self.index}/_search":
            raise Refused(404, {"error": {"reason": f"no such index [{asked.path}]"}})
        question = asked.json
        rows = self._hits(question.get("query"))
        if question.get("sort"):
            assert [next(iter(one)) for one in question["sort"]] == ["@timestamp", "kibana.alert.uuid"]
            rows.sort(key=lambda row: row["sort"])
            after = question.get("search_after")
            rows = [row for row in rows if after is None or row["sort"] > after]
        hits = {"total": {"value": len(rows)}, "hits": rows[: question.get("size", 10)]}
        return {"took": 1, "timed_out": False, "_shards": {"total": 1, "failed": 0}, "hits": hits}

    def _hits(self, query: Any) -> list[dict[str, Any]]:
        at = datetime.fromisoformat("1970-01-01T00:00:00Z")
        for one in (query or {}).get("bool", {}).get("filter", []):
            if "range" in one:
                at = datetime.fromisoformat(one["range"]["@timestamp"]["gte"])
        return [
            {
                "_index": ".internal.alerts-security.alerts-default-000001", "_id": self.identity(alert),
                "_source": alert, "sort": [alert["@timestamp"], self.identity(alert)],
            }
            for alert, _ in self.since(at)
        ]  # fmt: skip
