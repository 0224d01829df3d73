"""Logging in to a mailbox as an application: SASL XOAUTH2, with a token by OAuth 2.0 client credentials.

https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
https://developers.google.com/workspace/gmail/imap/xoauth2-protocol (what the server says of an error)
"""

from __future__ import annotations

import imaplib

import orjson

from playbooks_engine.pollers import azure
from playbooks_engine.pollers.base import Session
from playbooks_engine.pollers.errors import VendorError


class Answers:
    """What the client says to the server's challenges: who it is, and to an error nothing."""

    def __init__(self, username: str, token: str) -> None:
        self._first: bytes | None = f"user={username}\x01auth=Bearer {token}\x01\x01".encode()
        self.status = ""
        """What the server said of an error."""

    def __call__(self, challenge: bytes) -> bytes:
        """The answer to one challenge. An error has to be answered as well: with an empty line."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            told = orjson.loads(challenge)
        except orjson.JSONDecodeError:
            return b""
        if isinstance(told, dict):
            self.status = str(told.get("status", ""))[:20]
        return b""


def log_in(box: imaplib.IMAP4, session: Session) -> None:
    """Log in with a token that is known, or a new one. Raises :class:`VendorError`, and what imaplib raises."""
    settings = session.settings
    if "AUTH=XOAUTH2" not in box.capabilities:
        raise VendorError(f"{settings.host} does not offer XOAUTH2; it takes a password (login=password)")
    login, authority = azure.application(session, settings.scope)
    for is_last in (False, True):
        may_be_old = login.is_kept()
        answers = Answers(settings.username, login.token(authority))
        try:
            box.authenticate("XOAUTH2", answers)
        except imaplib.IMAP4.abort:
            login.refused()
            raise
        except imaplib.IMAP4.error as error:
            login.refused()
            if may_be_old and not is_last:
                continue
            said = session.mask.text(str(error))[:300] + (
                f" (status {answers.status})" if answers.status else ""
            )
            text = f"{settings.host} does not let the application into {settings.username}: {said}"
            raise VendorError(text) from None
        return
