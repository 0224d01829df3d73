"""Microsoft Sentinel: incidents of a workspace, each with its entities, which the list does not have.

https://learn.microsoft.com/rest/api/securityinsights/incidents/list ($filter, $orderby, $top, $skipToken)
https://learn.microsoft.com/rest/api/securityinsights/incidents/list-entities
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import orjson
from django.utils.translation import gettext_lazy as _

from alerts.payloads import parse_item
from alerts.senders import MAX_BYTES
from alerts.sources.entities import MAX_ENTITIES
from playbooks_engine.pollers import azure
from playbooks_engine.pollers.addresses import check_url
from playbooks_engine.pollers.base import Found, Session, body_of, moment, objects, stamp, text_at
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import Http
from playbooks_engine.pollers.timed import TimePoller

logger = logging.getLogger(__name__)

ENTITY_SECONDS = 45.0  # of a page for its entities: well within the lease
PATIENCE = (
    4  # polls that fail in a row, a quarter of an hour, until an incident is taken without its entities
)
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

    def completed(self, session: Session, new: list[Found]) -> list[Found]:
        """See :class:`TimePoller`."""
        http = azure.conversation(session, session.settings.url)
        end = time.monotonic() + ENTITY_SECONDS
        whole: list[Found] = []
        for one in new:
            try:
                whole.append(_with_entities(one, _entities(http, session.settings.path, one.id)))
            except VendorError as error:
                if _is_worth_waiting(session, error):
                    if not whole:
                        raise
                    session.failure = error
                    break
                logger.warning("incident %r of Sentinel is taken without its entities: %s", one.id, error)
                whole.append(one)
            if time.monotonic() > end:
                break
        return whole

    def look(self, session: Session) -> dict[str, Any]:
        """See :class:`Poller`."""
        path = session.settings.path
        http = azure.conversation(session, session.settings.url)
        rows, _following = azure.page(http, path, {"api-version": _VERSION, "$top": "1"}, None, "nextLink")
        for row in rows[:1]:
            _entities(http, path, text_at(row, "name"))
        return {}


def _found(row: dict[str, Any]) -> Found:
    properties = row.get("properties")
    if not isinstance(properties, dict):
        raise VendorError("The answer has incidents without properties")
    changed = text_at(properties, "lastModifiedTimeUtc")
    return Found(body_of(row), id=text_at(row, "name"), version=changed, at=moment(changed))


def _entities(http: Http, path: str, name: str) -> list[dict[str, Any]]:
    """The entities of the incident of that name; none where it is gone by now."""
    if not name:
        return []
    try:
        incident = quote(name, safe="", errors="replace")
        told = http.post(f"{path}/{incident}/entities", params={"api-version": _VERSION})
    except VendorError as error:
        if error.status == 404:
            return []
        raise
    if not isinstance(told, dict):
        raise VendorError("The answer is no object")
    return objects(told.get("entities"), "entities")


def _is_worth_waiting(session: Session, error: VendorError) -> bool:
    """Whether the poll is to try again later, rather than to take the incident as it is.

    The list was answered a moment ago, so it is this question that fails. A role that may not ask it never will; and
    what fails for one incident for ever must not hold up all that come after it.
    """
    if error.status == 429:
        return True
    return error.status != 403 and session.failures < PATIENCE


def _with_entities(found: Found, entities: list[dict[str, Any]]) -> Found:
    """The incident as a playbook's trigger gives it: with as many entities as are read, and as a body may hold."""
    try:
        row = orjson.loads(found.body)
    except orjson.JSONDecodeError:
        return found  # who reads it says so, of this incident alone
    room = MAX_BYTES - len(found.body) - len(b',"relatedEntities":[]')
    kept: list[dict[str, Any]] = []
    for entity in entities[:MAX_ENTITIES]:
        size = len(body_of(entity)) + 1
        if size <= room:
            kept.append(entity)
            room -= size
    while kept:
        row["properties"]["relatedEntities"] = kept
        body = body_of(row)
        if parse_item(body).payload is not None:
            return replace(found, body=body)
        kept = kept[
            : len(kept) // 2
        ]  # too many keys, or too deep: what is refused must not take the incident along
    return found
