"""What Microsoft's services have in common: tokens of Entra ID, and pages that say where the next one is.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from playbooks_engine.pollers.addresses import check_url
from playbooks_engine.pollers.base import Credentials, Session, objects
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import Elsewhere, Fixed, Http
from playbooks_engine.pollers.timed import TimeSettings
from playbooks_engine.pollers.tokens import ClientCredentials

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")


class AzureSettings(TimeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """An application registered in Entra ID. The addresses differ in national clouds only."""

    tenant_id: str
    client_id: str
    login_url: str = "https://login.microsoftonline.com"

    def check(self) -> None:
        super().check()
        check_url(self.login_url)
        for name in ("tenant_id", "client_id"):
            check_name(name, getattr(self, name))


class AzureCredentials(Credentials, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The application's client secret: its value, not its id."""

    client_secret: str


def check_name(field: str, value: str) -> None:
    """What becomes part of an address. Raises ValueError."""
    if not _NAME.fullmatch(value):
        raise ValueError(f"{field} holds letters, digits, dots, - and _ only")


def application(session: Session, scope: str) -> tuple[ClientCredentials, Http]:
    """How the application that the settings name gets its tokens for ``scope``, and whom it asks for them."""
    settings = session.settings
    form = {
        "grant_type": "client_credentials",
        "client_id": settings.client_id,
        "client_secret": session.credentials.client_secret,
        "scope": scope,
    }
    authority = session.http(settings.login_url, Fixed({}))
    path = f"/{settings.tenant_id}/oauth2/v2.0/token"
    return ClientCredentials(session.key, path, form, authority), authority


def conversation(session: Session, base: str) -> Http:
    """With ``base``, by a token for it."""
    login, _authority = application(session, f"{base.rstrip('/')}/.default")
    return session.http(base, login)


def page(
    http: Http, path: str, params: dict[str, str], token: Any, link: str
) -> tuple[list[dict[str, Any]], Any]:
    """The objects of a page, and the address of the next one, which ``link`` names."""
    try:
        told = http.get(token) if isinstance(token, str) else http.get(path, params)
    except Elsewhere as error:
        # What is stored may have been good once. As if it had expired: the pages are begun anew, once in a poll.
        raise VendorError(str(error), status=HTTPStatus.GONE) from None
    if not isinstance(told, dict):
        raise VendorError("The answer is no object")
    following = told.get(link)
    if following is not None and not isinstance(following, str):
        raise VendorError(f"The answer's {link} is no address")
    return objects(told.get("value"), "value"), following or None
