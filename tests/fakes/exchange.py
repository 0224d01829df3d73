"""Who knows the tokens of Exchange Online: Entra ID, which issues them, and whom the mail server asks about them.

Pages: learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-
by-using-oauth (the scope https://outlook.office365.com/.default); entra.py for the token;
doc.dovecot.org/2.3/configuration_manual/authentication/oauth2 (introspection_mode = auth: GET with the token as bearer).
"""

from __future__ import annotations

from typing import Any

from tests.fakes.base import Reply, Request
from tests.fakes.entra import EntraServer


class FakeExchangeTokens(EntraServer):
    """Tokens for Exchange's scope open `mailbox`, which the application was given in Exchange, and no other one."""

    resources = ("https://outlook.office365.com",)
    introspection = "/introspect"

    def __init__(self, mailbox: str, **kwargs: Any) -> None:
        """As EntraServer: tenant_id, client_id, client_secret, expires_in."""
        super().__init__(**kwargs)
        self.mailbox = mailbox

    def error_body(self, status: int) -> Any:
        """The shape of an error of OAuth 2.0."""
        return {"error": "temporarily_unavailable", "error_description": f"Injected {status}."}

    def handle(self, request: Request) -> Reply:
        """Route a request."""
        token = self.token_endpoint(request)
        if token is not None:
            return token
        if request.path != self.introspection:
            return Reply(404, {"error": "not_found"})
        fault = self.token_fault(request, self.resources)
        if fault is not None:
            return Reply(401, {"error": "invalid_token", "error_description": fault})
        return Reply(200, {"active": True, "email": self.mailbox})
