"""Microsoft Sentinel: incidents of a workspace.

https://learn.microsoft.com/rest/api/securityinsights/incidents/list ($filter, $orderby, $top, $skipToken)
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
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.timed import TimePoller

_VERSION = "2024-03-01"


class SentinelSettings(azure.AzureSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``filter``: more of OData, such as ``properties/severity eq 'High'``."""

    subscription_id: str
    resource_group: str
    workspace: str
    """The workspace's name."""
    url: str = "https://management.azure.com"
    filter: str = ""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100

    def check(self) -> None:
        super().check()
        check_url(self.url)
        for name in ("subscription_id", "resource_group", "workspace"):
            azure.check_name(name, getattr(self, name))

    @property
    def path(self) -> str:
        """The list of the workspace's incidents."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.OperationalInsights/workspaces/{self.workspace}"
            "/providers/Microsoft.SecurityInsights/incidents"
        )


class Sentinel(TimePoller):
    """In the order of their making, by the time of the last change: sorted by that, an incident that changes while pages
    are turned would let another one slip through."""

    kind = source = "sentinel"
    display_name = _("Microsoft Sentinel")
    description = _("Incidents of a workspace, by the SecurityInsights API")
    settings = SentinelSettings
    credentials = azure.AzureCredentials
    oldest_first = False

    def listing(self, session: Session, since: datetime, token: Any) -> tuple[Sequence[Found], Any]:
        """See :class:`TimePoller`."""
        settings: SentinelSettings = session.settings
        wanted = f"properties/lastModifiedTimeUtc ge {stamp(since)}"
        if settings.filter:
            wanted += f" and ({settings.filter})"
        params = {
            "api-version": _VERSION,
            "$filter": wanted,
            "$orderby": "properties/createdTimeUtc asc",
            "$top": str(settings.page_size),
        }
        http = azure.conversation(session, settings.url)
        rows, following = azure.page(http, settings.path, params, token, "nextLink")
        return [_found(row) for row in rows], following

    def look(self, session: Session) -> dict[str, Any]:
        """See :class:`Poller`."""
        http = azure.conversation(session, session.settings.url)
        azure.page(http, session.settings.path, {"api-version": _VERSION, "$top": "1"}, None, "nextLink")
        return {}


def _found(row: dict[str, Any]) -> Found:
    properties = row.get("properties")
    if not isinstance(properties, dict):
        raise VendorError("The answer has incidents without properties")
    changed = text_at(properties, "lastModifiedTimeUtc")
    return Found(body_of(row), id=text_at(row, "name"), version=changed, at=moment(changed))
