"""Microsoft Defender XDR: alerts of the Graph security API.

https://learn.microsoft.com/graph/api/security-list-alerts_v2 ($filter, $skip and $top; no $orderby)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.utils.translation import gettext_lazy as _

from playbooks_engine.pollers import azure
from playbooks_engine.pollers.addresses import check_url
from playbooks_engine.pollers.base import Found, Session, body_of, moment, stamp, text_at
from playbooks_engine.pollers.timed import TimePoller

_PATH = "/v1.0/security/alerts_v2"


class DefenderSettings(azure.AzureSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``filter``: more of OData, such as ``severity eq 'high'``."""

    url: str = "https://graph.microsoft.com"
    filter: str = ""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200

    def check(self) -> None:
        super().check()
        check_url(self.url)


class Defender(TimePoller):
    """Newest first, by the time of the last update: an alert comes again whenever Microsoft changes it."""

    kind = source = "defender"
    display_name = _("Microsoft Defender XDR")
    description = _("Alerts of the Graph security API (alerts_v2)")
    settings = DefenderSettings
    credentials = azure.AzureCredentials
    oldest_first = False

    def listing(self, session: Session, since: datetime, token: Any) -> tuple[Sequence[Found], Any]:
        """See :class:`TimePoller`."""
        settings: DefenderSettings = session.settings
        wanted = f"lastUpdateDateTime ge {stamp(since)}"
        if settings.filter:
            wanted += f" and ({settings.filter})"
        params = {"$filter": wanted, "$top": str(settings.page_size)}
        rows, following = azure.page(
            azure.conversation(session, settings.url), _PATH, params, token, "@odata.nextLink"
        )
        return [_found(row) for row in rows], following

    def look(self, session: Session) -> dict[str, Any]:
        """See :class:`Poller`."""
        http = azure.conversation(session, session.settings.url)
        azure.page(http, _PATH, {"$top": "1"}, None, "@odata.nextLink")
        return {}


def _found(row: dict[str, Any]) -> Found:
    updated = text_at(row, "lastUpdateDateTime")
    return Found(body_of(row), id=text_at(row, "id"), version=updated, at=moment(updated))
