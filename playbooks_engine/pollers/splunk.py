"""Splunk: the rows of a search, Enterprise Security's notables by default, in the order they were indexed.

https://help.splunk.com/en/splunk-enterprise/leverage-rest-apis/rest-api-reference (search/v2/jobs/export)
Index time never changes and nothing is indexed late by it; what is late is what a search head has not seen yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import orjson
from django.utils.translation import gettext_lazy as _

from playbooks_engine.pollers.addresses import check_url
from playbooks_engine.pollers.base import Credentials, Found, Session, body_of, objects
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import Fixed, loaded
from playbooks_engine.pollers.timed import TimePoller, TimeSettings

_INDEXED = "opensoar_indexed"


class SplunkSettings(TimeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``url`` is the management port's, such as ``https://splunk.example.com:8089``."""

    url: str
    search: str = "search `notable`"
    """SPL that lists alerts, one a row, with their fields; it begins with ``search`` or ``|``."""
    app: str = "SplunkEnterpriseSecuritySuite"
    """In whose context macros are known."""
    event_days: Annotated[int, msgspec.Meta(ge=1, le=3_650)] = 30
    """How old an event may be when it is indexed."""

    def check(self) -> None:
        super().check()
        check_url(self.url)
        if not self.search.lstrip().startswith(("search ", "|")):
            raise ValueError('search must begin with "search " or "|"')
        if not self.app.replace("_", "").replace("-", "").isalnum():
            raise ValueError("app is the name of an app's directory")


class SplunkCredentials(Credentials, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``token``: an authentication token of Splunk's (Settings, Tokens)."""

    token: str


class Splunk(TimePoller):
    """Oldest first. A page begins with the last row's second, and is longer by what is known of that second."""

    kind = source = "splunk"
    display_name = _("Splunk")
    description = _("Rows of a search: Enterprise Security's notables, or whatever else stands for alerts")
    settings = SplunkSettings
    credentials = SplunkCredentials

    def listing(self, session: Session, since: datetime, token: Any) -> tuple[Sequence[Found], Any]:
        """See :class:`TimePoller`."""
        settings: SplunkSettings = session.settings
        second, known = _where(token) if token is not None else (int(since.timestamp()), 0)
        limit = settings.page_size + known
        rows = self._export(
            session, f"{settings.search} | eval {_INDEXED}=_indextime | sort {limit} +{_INDEXED}", second
        )
        found = [_found(row) for row in rows]
        if len(rows) < limit:
            return found, None
        last = _second(rows[-1])
        return found, [last, sum(1 for row in rows if _second(row) == last)]

    def look(self, session: Session) -> dict[str, Any]:
        """See :class:`Poller`."""
        self._export(session, f"{session.settings.search} | head 1", int(session.now.timestamp()) - 3600)
        return {}

    def _export(self, session: Session, spl: str, indexed_from: int) -> list[dict[str, Any]]:
        settings: SplunkSettings = session.settings
        http = session.http(settings.url, Fixed({"Authorization": f"Bearer {session.credentials.token}"}))
        form = {
            "search": spl,
            "output_mode": "json",
            "preview": "false",
            "earliest_time": f"-{settings.event_days}d",
            "latest_time": "+1d",
            "index_earliest": str(indexed_from),
        }
        return _rows(http.ask("POST", f"/servicesNS/nobody/{settings.app}/search/v2/jobs/export", form=form))


def _rows(body: bytes) -> list[dict[str, Any]]:
    """The rows of an export: one JSON object a line. Without its last row's mark the answer is not whole."""
    rows: list[dict[str, Any]] = []
    ended = True
    for line in body.splitlines():
        if not line.strip():
            continue
        told = loaded(line)
        if not isinstance(told, dict):
            raise VendorError("What answers there is no Splunk")
        _refuse_errors(told.get("messages"))
        if told.get("preview"):
            continue
        if "result" in told:
            rows += objects([told["result"]], "result")
            ended = False
        ended = bool(told.get("lastrow")) or ended
    if rows and not ended:
        raise VendorError("Splunk ended its answer early; it is asked again")
    return rows


def _refuse_errors(messages: Any) -> None:
    for one in messages if isinstance(messages, list) else ():
        if isinstance(one, dict) and one.get("type") in ("ERROR", "FATAL"):
            raise VendorError(f"Splunk says: {str(one.get('text'))[:300]}")


def _found(row: dict[str, Any]) -> Found:
    at = datetime.fromtimestamp(_second(row), UTC)
    plain = {name: value for name, value in row.items() if name != _INDEXED}
    return Found(body_of(plain), id=_identity(plain), at=at)


def _identity(row: dict[str, Any]) -> str:
    """What tells a row: Enterprise Security's id, else where its event lies, else what it holds."""
    if isinstance(row.get("event_id"), str):
        return str(row["event_id"])
    places = [row.get(name) for name in ("index", "splunk_server", "_bkt", "_cd")]
    if all(places[2:]):
        return ":".join(map(str, places))
    held = {name: value for name, value in row.items() if name != "_serial"}  # its place in this answer
    return hashlib.sha256(orjson.dumps(held, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _where(token: Any) -> tuple[int, int]:
    try:
        second, known = token
        return int(second), int(known)
    except (TypeError, ValueError):
        raise VendorError("The stored position cannot be read") from None


def _second(row: dict[str, Any]) -> int:
    try:
        return int(float(row[_INDEXED]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise VendorError("The search drops _indextime, by which its rows are ordered") from None
