"""Elastic Security: detection alerts, read from Elasticsearch.

https://www.elastic.co/docs/reference/elasticsearch/rest-apis/search-search (sort, range, ids)
https://www.elastic.co/docs/reference/security/fields-and-object-schemas/alert-schema
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext_lazy as _

from playbooks_engine.pollers.addresses import check_url
from playbooks_engine.pollers.base import (
    Credentials,
    Found,
    Session,
    body_of,
    moment,
    objects,
    stamp,
    text_at,
)
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import Fixed
from playbooks_engine.pollers.timed import TimePoller, TimeSettings

_WANTED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_*,:")
_MAX_KNOWN = 10_000  # alerts of one moment
_FORMAT = "strict_date_optional_time_nanos"  # which reads milliseconds as well


class ElasticSettings(TimeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``url`` is Elasticsearch's, not Kibana's."""

    url: str
    index: str = ".alerts-security.alerts-default"
    query: str = ""
    """In Lucene's syntax; only alerts that it finds."""
    time_field: str = "@timestamp"

    def check(self) -> None:
        super().check()
        check_url(self.url)
        if not self.index or not set(self.index) <= _WANTED:
            raise ValueError("index is the name of an index, a data stream or an alias, in lower case")
        if not self.time_field:
            raise ValueError("time_field must not be empty")


class ElasticCredentials(Credentials, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``api_key`` as Kibana shows it, encoded."""

    api_key: str


class Elastic(TimePoller):
    """Oldest first. A page begins with the moment at which the last one ended, less what is known of that moment.

    ``search_after`` needs something that tells alerts of one moment: ``kibana.alert.uuid`` is not in every index, and a
    point in time has to be kept open from poll to poll.
    """

    kind = source = "elastic"
    display_name = _("Elastic Security")
    description = _("Detection alerts, from Elasticsearch's alert index")
    settings = ElasticSettings
    credentials = ElasticCredentials

    def listing(self, session: Session, since: datetime, token: Any) -> tuple[Sequence[Found], Any]:
        """See :class:`TimePoller`."""
        settings: ElasticSettings = session.settings
        told = self._search(session, _query(settings, since, token))
        hits = told.get("hits")
        rows = objects(hits.get("hits") if isinstance(hits, dict) else None, "hits.hits")
        found = [_found(row, settings) for row in rows]
        if len(rows) < settings.page_size:
            return found, None
        last = _moment(rows[-1])
        since_then, known = _where(token)
        new = [text_at(row, "_id") for row in rows if _moment(row) == last]
        known = [*known, *new] if since_then == last else new
        if len(known) > _MAX_KNOWN:
            raise VendorError(f"There are more than {_MAX_KNOWN} alerts of one moment, {str(last)[:40]}")
        return found, [last, known]

    def look(self, session: Session) -> dict[str, Any]:
        """See :class:`Poller`."""
        told = self._search(session, {"size": 0, "track_total_hits": True})
        total = told.get("hits", {}).get("total", {})
        return {"alerts": total.get("value") if isinstance(total, dict) else None}

    def _search(self, session: Session, query: dict[str, Any]) -> dict[str, Any]:
        settings: ElasticSettings = session.settings
        login = Fixed({"Authorization": f"ApiKey {session.credentials.api_key}"})
        path = f"/{quote(settings.index, safe=',*')}/_search?allow_partial_search_results=false"
        told = session.http(settings.url, login).post(path, json=query)
        if not isinstance(told, dict):
            raise VendorError("What answers there is no Elasticsearch")
        shards = told.get("_shards")
        if told.get("timed_out") or (isinstance(shards, dict) and shards.get("failed")):
            raise VendorError("Elasticsearch found only some of the alerts; it is asked again")
        return told


def _query(settings: ElasticSettings, since: datetime, token: Any) -> dict[str, Any]:
    begin, known = _where(token)
    bounds = {"gte": stamp(since) if begin is None else begin, "format": _FORMAT}
    filters: list[dict[str, Any]] = [{"range": {settings.time_field: bounds}}]
    if settings.query:
        filters.append({"query_string": {"query": settings.query, "lenient": True}})
    chosen: dict[str, Any] = {"filter": filters}
    if known:
        chosen["must_not"] = [{"ids": {"values": known}}]
    return {
        "size": settings.page_size,
        "track_total_hits": False,
        "query": {"bool": chosen},
        "sort": [{settings.time_field: {"order": "asc", "format": _FORMAT}}],
    }


def _where(token: Any) -> tuple[Any, list[str]]:
    """The moment a page begins with, None for the first one, and the ids of what is known of it."""
    if token is None:
        return None, []
    if not isinstance(token, list) or len(token) != 2 or not isinstance(token[0], str):
        raise VendorError("The stored position cannot be read")
    # Beside the moment there was an id, or nothing, when pages went by search_after: that moment is asked for anew.
    return token[0], token[1] if isinstance(token[1], list) else []


def _moment(row: dict[str, Any]) -> str:
    """When a hit was, as finely as the index has it."""
    values = row.get("sort")
    if not isinstance(values, list) or not values or not isinstance(values[0], str):
        raise VendorError("The answer has hits without their sort values")
    return values[0]


def _found(row: dict[str, Any], settings: ElasticSettings) -> Found:
    alert = row.get("_source")
    if not isinstance(alert, dict):
        raise VendorError("The answer has hits without their _source")
    at = moment(_at(alert, settings.time_field))
    return Found(body_of(alert), id=text_at(row, "_id"), at=at)


def _at(alert: dict[str, Any], path: str) -> Any:
    """A field that the document nests or writes flat."""
    if path in alert:
        return alert[path]
    head, dot, rest = path.partition(".")
    inner = alert.get(head)
    return _at(inner, rest) if dot and isinstance(inner, dict) else None
