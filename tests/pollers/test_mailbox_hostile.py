"""Mail servers that mean harm, are broken or slow: a poll ends in time, takes little memory, and gets on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from playbooks_engine.connectors.services import check_connector
from playbooks_engine.models import Connector
from playbooks_engine.pollers import base, imap
from playbooks_engine.pollers.base import Page, Session
from playbooks_engine.pollers.imap import Imap, ImapCredentials, ImapSettings
from tests.factories import SYSTEM
from tests.mails import reported
from tests.pollers.conftest import Desk
from tests.pollers.servers import Line, Mailbox, Server
from tests.pollers.test_hostile import soon

MAILS = [reported(number).as_bytes() for number in range(3)]


def connect(desk: Desk, server: Server, **config: Any) -> Connector:
    config = {"host": "127.0.0.1", "port": server.port, "security": "none", "username": "phish", **config}
    return desk.connect("imap", config, {"password": "correct-horse"})


def drip(line: Line, _number: int) -> None:
    line.say(b"* 1 FETCH (UID 1 BODY[]<0> {50000}\r\n")
    line.drip()


def drip_lines(line: Line, _number: int) -> None:
    line.drip(b"* OK still here\r\n")


@pytest.mark.parametrize(
    "script",
    [Mailbox(*MAILS, fetch=drip), Mailbox(*MAILS, search=drip_lines), Mailbox(*MAILS, search=drip), lambda line: line.drip()],
    ids=["literal", "lines", "another literal", "greeting"],
)  # fmt: skip
def test_an_answer_without_an_end(
    desk: Desk, script: Callable[[Line], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Imap, "seconds", 1.0)
    monkeypatch.setattr(base, "LOOK_SECONDS", 1.0)
    with Server(script) as server:
        connector = connect(desk, server)
        with soon():
            assert desk.poll(connector) == {}
        state = desk.state(connector)
        assert "in time" in state.last_error
        assert (state.failures, state.leased_until) == (1, None)
        with soon():
            check_connector(actor=SYSTEM, connector=connector)


def literals(line: Line, _number: int) -> None:
    while True:
        line.say(b"* 1 FETCH (UID 1 BODY[]<0> {60000}\r\n" + b"x" * 60_000 + b")\r\n")


def large(line: Line, _number: int) -> None:
    line.say(b"* 1 FETCH (UID 1 BODY[]<0> {33000000}\r\n")
    while True:
        line.say(b"x" * 100_000)


def lines(line: Line, _number: int) -> None:
    while True:
        line.say(b"* OK hello\r\n" * 100)


@pytest.mark.parametrize("flood", [literals, large, lines])
@pytest.mark.parametrize("command", ["fetch", "search"])
def test_an_answer_of_any_size(desk: Desk, flood: Callable[[Line, int], None], command: str) -> None:
    """No more is read than a message may have, whatever it is made of."""
    with Server(Mailbox(*MAILS, **{command: flood})) as server:
        connector = connect(desk, server, max_bytes=64 * 1024)
        with soon(20):
            assert desk.poll(connector) == {}
        assert "answers one command with more than 2 MB" in desk.state(connector).last_error
        assert server.sent < 20_000_000, "what is in the buffers of the two sides"


def fetch(server: Server, cursor: dict[str, Any], max_bytes: int = 64 * 1024) -> Page:
    settings = ImapSettings(
        host="127.0.0.1", port=server.port, security="none", username="phish", max_bytes=max_bytes
    )
    session = Session(
        connector_id=uuid.UUID(int=0), version=1, settings=settings, credentials=ImapCredentials(password="correct"),
        start=datetime.now(UTC) - timedelta(days=1), now=datetime.now(UTC),
    )  # fmt: skip
    try:
        return Imap().fetch(session, cursor)
    finally:
        session.close()


def test_sizes_are_only_claims(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends by what really came, and a message that is not cut is cut here."""
    settings.PULL_LOOPBACK = True
    monkeypatch.setattr(imap, "_PAGE_BYTES", 100_000)
    mails = [b"Subject: x\r\n\r\n" + b"x" * size for size in (60_000, 60_000, 90_000)]
    with Server(Mailbox(*mails)) as server:
        first = fetch(server, {})
        assert ([len(one.body) for one in first.items], first.more) == ([60_014, 60_014], True)
        second = fetch(server, first.cursor)
        assert ([len(one.body) for one in second.items], second.more) == ([64 * 1024], False)
        assert fetch(server, second.cursor).items == []


def test_a_slow_mailbox_gets_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it takes longer than a page may: the pages get shorter."""
    monkeypatch.setattr(Imap, "seconds", 2.0)
    monkeypatch.setattr(imap, "_PAGE_SECONDS", 0.5)
    mails = [reported(number).as_bytes() for number in range(6)]
    with Server(Mailbox(*mails, fetch=lambda line, _number: line.wait(0.4))) as server:
        connector = connect(desk, server)
        begun = time.monotonic()
        assert desk.poll(connector) == {"accepted": 6}
        assert time.monotonic() - begun > 2.0
        assert desk.state(connector).failures == 0
        assert server.connections >= 3


def test_what_came_before_a_failure_is_kept(desk: Desk) -> None:
    """The server dies at the second message, the first time."""
    died = False

    def die(_line: Line, number: int) -> None:
        nonlocal died
        if number == 2 and not died:
            died = True
            raise OSError("dead")

    with Server(Mailbox(*MAILS, fetch=die)) as server:
        connector = connect(desk, server)
        desk.poll(connector)
        state = desk.state(connector)
        assert desk.titles() == ["Your account is locked 0"]
        assert (state.failures, state.cursor["uid"]) == (1, 1)
        assert "127.0.0.1" in state.last_error
        assert desk.poll(connector) == {"accepted": 2}
        assert desk.state(connector).failures == 0
