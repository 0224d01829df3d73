"""CrowdStrike Falcon: alerts, by the combined endpoint, whose pages follow a token.

https://developer.crowdstrike.com/api-reference/collections/alerts/ (PostCombinedAlertsV1)
https://developer.crowdstrike.com/api-reference/collections/oauth2/ (oauth2AccessToken)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
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
from playbooks_engine.pollers.http import Http
from playbooks_engine.pollers.timed import TimePoller, TimeSettings
from playbooks_engine.pollers.tokens import ClientCredentials

_PATH = "/alerts/combined/alerts/v1"


class CrowdstrikeSettings(TimeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``url`` is the cloud's: ``https://api.eu-1.crowdstrike.com``. ``filter``: more of FQL, such as
    ``severity_name:'High'``."""

    url: str
    client_id: str
    filter: str = ""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 500

    def check(self) -> None:
        super().check()
        check_url(self.url)


class CrowdstrikeCredentials(Credentials, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The API client's secret."""

    client_secret: str


class Crowdstrike(TimePoller):
    """In the order of their making, by the time of the last change; see :class:`~.sentinel.Sentinel` for why."""

    kind = source = "crowdstrike"
    display_name = _("CrowdStrike Falcon")
    description = _("Alerts of every Falcon product, by the Alerts API")
    settings = CrowdstrikeSettings
    credentials = CrowdstrikeCredentials
    oldest_first = False

    def listing(self, session: Session, since: datetime, token: Any) -> tuple[Sequence[Found], Any]:
        """See :class:`TimePoller`."""
        settings: CrowdstrikeSettings = session.settings
        wanted = f"updated_timestamp:>='{stamp(since)}'"
        if settings.filter:
            wanted += f"+({settings.filter})"
        question: dict[str, Any] = {
            "filter": wanted, "sort": "created_timestamp|asc", "limit": settings.page_size
        }  # fmt: skip
        if token is not None:
            question["after"] = token
        told = _answer(_conversation(session).post(_PATH, json=question))
        rows = objects(told.get("resources"), "resources")
        meta = told.get("meta")
        pages = meta.get("pagination") if isinstance(meta, dict) else None
        following = pages.get("after") if isinstance(pages, dict) else None
        return [_found(row) for row in rows], following if rows and isinstance(
            following, str
        ) and following else None

    def look(self, session: Session) -> dict[str, Any]:
        """See :class:`Poller`."""
        told = _answer(_conversation(session).post(_PATH, json={"limit": 1}))
        objects(told.get("resources"), "resources")
        return {}


def _conversation(session: Session) -> Http:
    settings: CrowdstrikeSettings = session.settings
    form = {"client_id": settings.client_id, "client_secret": session.credentials.client_secret}
    return session.http(settings.url, ClientCredentials(session.key, "/oauth2/token", form))


def _answer(told: Any) -> dict[str, Any]:
    """The API says in a 200 as well what went wrong."""
    if not isinstance(told, dict):
        raise VendorError("The answer is no object")
    if errors := told.get("errors"):
        first = errors[0] if isinstance(errors, list) else None
        said = text_at(first, "message") if isinstance(first, dict) else ""
        raise VendorError(f"Falcon answers with an error: {said[:200] or 'without a message'}")
    return told


def _found(row: dict[str, Any]) -> Found:
    changed = text_at(row, "updated_timestamp")
    return Found(
        body_of(row),
        id=text_at(row, "composite_id") or text_at(row, "id"),
        version=changed,
        at=moment(changed),
    )
