"""Reported phishing from a real Dovecot: what becomes of the mails, and that none is lost or stored twice."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.models import Alert, Delivery, Observable
from playbooks_engine.connectors.services import check_connector, update_connector
from playbooks_engine.models import Connector
from tests import dovecot
from tests.dovecot import Dovecot
from tests.factories import SYSTEM, make_partner
from tests.mails import ATTACHMENT, forwarded, reported
from tests.pollers.conftest import Desk, Died, die_at


def connect(desk: Desk, mailbox: Dovecot, partner: Any = None, **config: Any) -> Connector:
    config = {
        "host": "localhost", "port": mailbox.tls_port, "username": dovecot.USER, "ca_pem": mailbox.ca_pem, **config,
    }  # fmt: skip
    return desk.connect("imap", config, {"password": dovecot.PASSWORD}, partner)


def test_a_reported_mail_becomes_an_alert(desk: Desk, mailbox: Dovecot) -> None:
    connector = connect(desk, mailbox, make_partner("acme"))
    raw = reported().as_bytes()
    mailbox.deliver(raw)
    assert desk.poll(connector) == {"accepted": 1}

    alert = Alert.objects.get()
    assert (alert.title, alert.severity, alert.source) == (
        "Your account is locked 1",
        "high",
        "phishing_mail",
    )
    assert (alert.username, alert.hostname, alert.source_ip) == ("jane@corp.example", None, "203.0.113.7")
    assert alert.partner.slug == "acme"
    assert bytes(Delivery.objects.get().body) == raw.replace(b"\n", b"\r\n"), "as the mailbox holds it"
    mail = alert.normalized["mail"]
    assert (mail["spf"], mail["dkim"], mail["dmarc"]) == ("fail", "none", "fail")
    assert mail["message_id"] == "<1@mailer.evil.top>"
    found = set(Observable.objects.values_list("type", "value"))
    assert found == {
        ("ip", "203.0.113.7"), ("email", "helpdesk@corp-example.top"), ("domain", "corp-example.top"),
        ("email", "collect@evil.top"), ("domain", "evil.top"), ("email", "bounce@mailer.evil.top"),
        ("domain", "mailer.evil.top"), ("sha256", hashlib.sha256(ATTACHMENT).hexdigest()),
        ("md5", hashlib.md5(ATTACHMENT).hexdigest()), ("filename", "invoice.exe"), ("other", "<1@mailer.evil.top>"),
        ("url", "http://unlock.evil.top/now"), ("domain", "unlock.evil.top"), ("email", "joe@corp.example"),
        ("url", "https://login.evil.top/a?b=1&c=2"), ("domain", "login.evil.top"),
    }  # fmt: skip
    state = desk.state(connector)
    assert (state.accepted, state.failures, state.last_error) == (1, 0, "")
    assert state.last_ok_at is not None
    assert state.next_at > datetime.now(UTC) + timedelta(seconds=50)
    connector.refresh_from_db()
    assert connector.health_status == "healthy"


def test_every_mail_once_over_pages_and_polls(desk: Desk, mailbox: Dovecot) -> None:
    connector = connect(desk, mailbox)
    for number in range(25):
        mailbox.deliver(reported(number).as_bytes())
    assert desk.poll(connector) == {"accepted": 25}, "more than a page"
    assert desk.poll(connector) == {}
    mailbox.deliver(forwarded(99).as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    assert len(desk.titles()) == 26
    assert "Overdue 99" in desk.titles()
    with mailbox.client() as box:
        assert len(box.uid("SEARCH", "UNSEEN")[1][0].split()) == 26, "reading marks nothing"


def test_an_empty_mailbox_and_what_was_there_before(desk: Desk, mailbox: Dovecot) -> None:
    """Older than the first hours is not fetched, not even once the position is known."""
    mailbox.deliver(reported(1).as_bytes(), at=datetime.now(UTC) - timedelta(days=10))
    connector = connect(desk, mailbox)
    assert desk.poll(connector) == {}
    mailbox.deliver(reported(2).as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    assert desk.titles() == ["Your account is locked 2"]


@pytest.mark.parametrize("point", ["poll.stored", "poll.moved"])
def test_killed_between_page_and_position(desk: Desk, mailbox: Dovecot, point: str) -> None:
    mailbox.empty("Done")
    connector = connect(desk, mailbox, after="move", move_to="Done")
    for number in range(3):
        mailbox.deliver(reported(number).as_bytes())
    die_at(point)
    with pytest.raises(Died):
        desk.poll(connector)
    assert desk.state(connector).leased_until is not None, "its lease stands"
    connector_state = desk.state(connector)
    connector_state.leased_until = None
    connector_state.save()
    desk.poll(connector)
    assert desk.titles() == [f"Your account is locked {number}" for number in range(3)]
    with mailbox.client() as box:
        assert box.uid("SEARCH", "ALL")[1][0].split() == []
    with mailbox.client("Done") as box:
        assert len(box.uid("SEARCH", "ALL")[1][0].split()) == 3
    mailbox.empty("Done")


@pytest.mark.parametrize(("after", "search"), [("seen", "SEEN"), ("flag", "FLAGGED"), ("leave", "UNSEEN")])
def test_what_is_stored_is_marked_on_request(desk: Desk, mailbox: Dovecot, after: str, search: str) -> None:
    connector = connect(desk, mailbox, after=after)
    mailbox.deliver(reported().as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    with mailbox.client() as box:
        assert len(box.uid("SEARCH", search)[1][0].split()) == 1


def test_a_server_that_counts_anew(desk: Desk, mailbox: Dovecot) -> None:
    connector = connect(desk, mailbox)
    for number in range(3):
        mailbox.deliver(reported(number).as_bytes())
    desk.poll(connector)
    before = desk.state(connector).cursor
    mailbox.count_anew()
    mailbox.deliver(reported(7).as_bytes())
    assert desk.poll(connector) == {"accepted": 1, "duplicate": 3}
    assert desk.state(connector).cursor["validity"] != before["validity"]
    assert len(desk.titles()) == 4
    assert desk.poll(connector) == {}


def test_a_server_that_is_away(desk: Desk, mailbox: Dovecot) -> None:
    connector = connect(desk, mailbox)
    mailbox.deliver(reported(1).as_bytes())
    desk.poll(connector)
    mailbox.stop()
    for _ in range(2):
        assert desk.poll(connector) == {}
    state = desk.state(connector)
    assert state.failures == 2
    assert "localhost" in state.last_error
    assert state.next_at > datetime.now(UTC) + timedelta(seconds=60), "it waits longer each time"
    connector.refresh_from_db()
    assert connector.health_status == "unhealthy"
    mailbox.start()
    mailbox.deliver(reported(2).as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    assert desk.state(connector).last_error == ""


def test_a_large_mail_is_read_in_part(desk: Desk, mailbox: Dovecot) -> None:
    connector = connect(desk, mailbox, max_bytes=64 * 1024)
    mail = reported()
    mail.add_attachment(b"x" * 200_000, maintype="application", subtype="pdf", filename="big.pdf")
    mailbox.deliver(mail.as_bytes())
    assert desk.poll(connector) == {"accepted": 1}
    assert len(bytes(Delivery.objects.get().body)) == 64 * 1024
    assert Alert.objects.get().title == "Your account is locked 1"


def test_what_is_no_mail_is_quarantined(desk: Desk, mailbox: Dovecot) -> None:
    connector = connect(desk, mailbox)
    mailbox.deliver(b"\r\njust text\r\n")
    mailbox.deliver(reported().as_bytes())
    assert desk.poll(connector) == {"quarantined": 1, "accepted": 1}
    assert "no mail" in Delivery.objects.get(state="quarantined").reason
    assert desk.state(connector).quarantined == 1


@pytest.mark.parametrize(
    ("config", "secret", "words"),
    [
        ({}, "wrong-canary-password", "AUTHENTICATIONFAILED"),
        ({"folder": "Nowhere"}, dovecot.PASSWORD, "Nowhere"),
        ({"after": "move", "move_to": "Elsewhere"}, dovecot.PASSWORD, "no folder Elsewhere"),
        ({"ca_pem": ""}, dovecot.PASSWORD, "CERTIFICATE_VERIFY_FAILED"),
        ({"host": "127.0.0.1"}, dovecot.PASSWORD, "CERTIFICATE_VERIFY_FAILED"),
        ({"security": "starttls"}, dovecot.PASSWORD, ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(
    desk: Desk,
    mailbox: Dovecot,
    config: dict[str, Any],
    secret: str,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connector = connect(desk, mailbox, **config)
    update_connector(actor=SYSTEM, connector=connector, secrets={"password": secret})
    if config.get("security") == "starttls":
        changed = {**connector.config, "port": mailbox.plain_port}
        update_connector(actor=SYSTEM, connector=connector, config=changed, secrets={"password": secret})
    connector.refresh_from_db()
    found = check_connector(actor=SYSTEM, connector=connector)
    desk.poll(connector)
    state = desk.state(connector)
    assert words in state.last_error
    assert found.healthy is (words == "")
    assert words in found.message
    told = state.last_error + found.message + caplog.text
    assert secret not in told
    assert "canary" not in told
