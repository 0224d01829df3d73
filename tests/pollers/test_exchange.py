"""A mailbox that is read as an application, by XOAUTH2, from a real Dovecot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from playbooks_engine.connectors.services import check_connector
from playbooks_engine.models import Connector
from playbooks_engine.pollers import poller
from playbooks_engine.pollers.xoauth2 import Answers
from tests import dovecot
from tests.dovecot import Dovecot
from tests.factories import SYSTEM
from tests.mails import reported
from tests.pollers import exchange
from tests.pollers.conftest import Desk
from tests.pollers.exchange import Exchange

CANARY = "canary-client-secret"


@pytest.fixture(scope="module")
def _exchange() -> Iterator[Exchange]:
    if dovecot.find() is None:
        pytest.skip(dovecot.MISSING)
    with exchange.running() as server:
        yield server


@pytest.fixture
def online(_exchange: Exchange) -> Exchange:
    """A running one whose INBOX is empty, and which nobody asked for a token yet."""
    _exchange.empty()
    _exchange.entra.requests.clear()
    return _exchange


def config(online: Dovecot, entra: Any, **changes: Any) -> dict[str, Any]:
    return {
        "host": "localhost", "port": online.tls_port, "ca_pem": online.ca_pem, "username": dovecot.USER,
        "login": "xoauth2", "tenant_id": entra.tenant_id, "client_id": entra.client_id, "login_url": entra.url, **changes,
    }  # fmt: skip


def connect(desk: Desk, online: Exchange, secret: str = "", **changes: Any) -> Connector:
    secret = secret or online.entra.client_secret
    return desk.connect("imap", config(online, online.entra, **changes), {"client_secret": secret})


def tokens(online: Exchange) -> int:
    """How many tokens were asked for."""
    return sum(path.endswith("/token") for path in online.entra.paths())


def test_mails_are_read_and_moved_with_one_token(desk: Desk, online: Exchange) -> None:
    online.empty("Done")
    connector = connect(desk, online, after="move", move_to="Done")
    online.deliver(reported(1).as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    online.deliver(reported(2).as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    assert desk.titles() == ["Your account is locked 1", "Your account is locked 2"]
    assert tokens(online) == 1
    asked = online.entra.requests[0].form()
    assert (asked["grant_type"], asked["scope"]) == (
        "client_credentials",
        "https://outlook.office365.com/.default",
    )
    assert check_connector(actor=SYSTEM, connector=connector).healthy
    with online.client("Done") as box:
        assert len(box.uid("SEARCH", "ALL")[1][0].split()) == 2


def test_by_starttls(desk: Desk, online: Exchange) -> None:
    connector = connect(desk, online, security="starttls", port=online.plain_port)
    online.deliver(reported().as_bytes())
    assert desk.poll(connector) == {"accepted": 1}


def test_a_token_that_was_revoked_is_replaced_at_once(desk: Desk, online: Exchange) -> None:
    connector = connect(desk, online)
    desk.poll(connector)
    online.entra.expire_tokens()
    online.deliver(reported().as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    assert tokens(online) == 2
    assert desk.state(connector).failures == 0


@pytest.mark.parametrize(
    ("secret", "changes", "words"),
    [
        (CANARY, {}, "AADSTS7000215"),
        ("", {"tenant_id": "another"}, "AADSTS90002"),
        ("", {"username": "boss@corp.example"}, "does not let the application into boss@corp.example"),
        ("", {"scope": "https://graph.microsoft.com/.default"}, "does not let the application into phish@"),
    ],
)  # fmt: skip
def test_what_does_not_let_it_in_says_why(
    desk: Desk,
    online: Exchange,
    secret: str,
    changes: dict[str, Any],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connector = connect(desk, online, secret, **changes)
    online.deliver(reported().as_bytes())
    with caplog.at_level("DEBUG"):
        assert desk.poll(connector) == {}
        found = check_connector(actor=SYSTEM, connector=connector)
    state = desk.state(connector)
    assert words in state.last_error
    assert words in found.message
    assert not found.healthy
    assert tokens(online) == 2, "a new token that is refused is not asked for again"
    told = state.last_error + found.message + caplog.text
    assert CANARY not in told
    assert "token-" not in told, "what the tokens of the fake begin with"
    assert "Bearer" not in told


def test_a_server_without_it(desk: Desk, online: Exchange, mailbox: Dovecot) -> None:
    connector = desk.connect(
        "imap", config(mailbox, online.entra), {"client_secret": online.entra.client_secret}
    )
    desk.poll(connector)
    assert "does not offer XOAUTH2" in desk.state(connector).last_error
    assert tokens(online) == 0


@pytest.mark.parametrize(
    ("login", "secrets", "words"),
    [
        ({"login": "xoauth2", "tenant_id": "t", "client_id": "c"}, {"password": CANARY}, "needs the secret client_secret"),
        ({}, {"client_secret": CANARY}, "login=password needs the secret password"),
    ],
)  # fmt: skip
def test_secrets_of_the_other_kind(
    desk: Desk, login: dict[str, str], secrets: dict[str, str], words: str
) -> None:
    """Configuration and secrets are stored one by one; what does not go together is told before anybody is asked."""
    connector = desk.connect(
        "imap", {"host": "imap.example.com", "username": "a@b.example", **login}, secrets
    )
    desk.poll(connector)
    error = desk.state(connector).last_error
    assert error.startswith("Edit this integration: ")
    assert words in error


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"login": "xoauth2"}, "needs tenant_id and client_id"),
        ({"login": "xoauth2", "tenant_id": "t"}, "needs tenant_id and client_id"),
        ({"login": "xoauth2", "tenant_id": "a/b", "client_id": "c"}, "tenant_id holds letters"),
        ({"login": "xoauth2", "tenant_id": "t", "client_id": "c", "login_url": "ftp://x"}, "is no URL"),
        ({"login": "xoauth2", "tenant_id": "t", "client_id": "c", "scope": "a b"}, "scope"),
        ({"client_id": "c"}, "belong to login=xoauth2"),
        ({"login": "oauth"}, "login"),
    ],
)  # fmt: skip
def test_what_is_no_configuration(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        poller("imap").read_settings({"host": "imap.example.com", "username": "a@b.example", **changes})


@pytest.mark.parametrize("secrets", [{}, {"password": ""}, {"password": CANARY, "client_secret": CANARY}])
def test_one_secret_is_needed(secrets: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either `password` or `client_secret`") as caught:
        poller("imap").read_credentials(secrets)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("challenge", "status"),
    [(b'{"status":"401","schemes":"bearer"}', "401"), (b"", ""), (b"[]", ""), (b'{"status":400}', "400")],
)
def test_an_error_is_answered_with_an_empty_line(challenge: bytes, status: str) -> None:
    answers = Answers("phish@corp.example", "abc")
    assert answers(b"") == b"user=phish@corp.example\x01auth=Bearer abc\x01\x01"
    assert answers(challenge) == b""
    assert answers.status == status
