"""Reported mails: which message is meant, what is read from it, and that no mail breaks the reading."""

from __future__ import annotations

import hashlib
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.forwarded import find_forwarded
from alerts.mail import as_text, read_message
from alerts.models import Alert, Delivery
from alerts.payloads import MESSAGE_TYPE, parse_body
from alerts.sources.phishing_mail import normalise
from tests.alerts.inbound import PATH, Inbound
from tests.mails import ATTACHMENT, forwarded, phish, reported


def test_the_attached_message_is_meant() -> None:
    payload = read_message(reported().as_bytes())
    report, message = payload["report"], payload["message"]
    assert (report["how"], report["id"], report["from"]) == (
        "attached", "<report-1@corp.example>", {"name": "Jane Roe", "address": "jane@corp.example"},
    )  # fmt: skip
    assert message["subject"] == "Your account is locked 1"
    assert message["from"] == [{"name": "IT Helpdesk", "address": "helpdesk@corp-example.top"}]
    assert message["sent_from"] == "203.0.113.7", (
        "who handed it to our server, not what the sender wrote below"
    )
    assert message["authentication"] == {"spf": "fail", "dkim": "none", "dmarc": "fail"}
    assert message["links"] == ["https://login.evil.top/a?b=1&c=2"]
    assert message["attachments"] == [
        {
            "filename": "invoice.exe", "content_type": "application/octet-stream", "size": len(ATTACHMENT),
            "sha256": hashlib.sha256(ATTACHMENT).hexdigest(), "md5": hashlib.md5(ATTACHMENT).hexdigest(),
        }
    ]  # fmt: skip
    assert payload["notes"] == []


def test_a_message_attached_as_a_file() -> None:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "jane@corp.example", "look"
    mail.set_content("see file")
    mail.add_attachment(
        phish(3).as_bytes(), maintype="application", subtype="octet-stream", filename="Mail.EML"
    )
    payload = read_message(mail.as_bytes())
    assert (payload["report"]["how"], payload["message"]["id"]) == ("attached", "<3@mailer.evil.top>")
    assert payload["report"]["id"].startswith("sha256:"), "a mail without an id is told by its bytes"


def test_a_message_within_the_message() -> None:
    outer = phish(1)
    outer.add_attachment(phish(2, subject="Within"))
    message = read_message(reported(inner=outer).as_bytes())["message"]
    assert message["subject"] == "Your account is locked 1"
    assert [one["filename"] for one in message["attachments"]] == ["invoice.exe", None, "invoice.exe"]
    assert all("sha256" in one for one in message["attachments"])


def test_of_several_the_first_with_a_note() -> None:
    mail = reported()
    mail.add_attachment(phish(2))
    payload = read_message(mail.as_bytes())
    assert payload["message"]["id"] == "<1@mailer.evil.top>"
    assert payload["notes"] == ["2 messages are attached; this is the first"]


@pytest.mark.parametrize(
    ("text", "sender", "subject"),
    [
        ("-----Original Message-----\nFrom: Bad <bad@evil.top>\nSent: Monday\nTo: J\nSubject: Pay\n\nnow", "bad@evil.top", "Pay"),
        ("Von: Bad <bad@evil.top<mailto:bad@evil.top>>\nGesendet: heute\nAn: J\nBetreff: Geld\n\nnow", "bad@evil.top", "Geld"),
        ("De : Bad [mailto:bad@evil.top]\nEnvoyé : lundi\nÀ : J\nObjet : Payer\n\nnow", "bad@evil.top", "Payer"),
        ("---------- Forwarded message ---------\nFrom: Bad <bad@evil.top>\nDate: Mon, 23 Nov 2026 at 09:00\n"
         "Subject: Pay\nTo: <jane@corp.example>\n\nnow", "bad@evil.top", "Pay"),
        ("Begin forwarded message:\n\n> From: Bad <bad@evil.top>\n> Subject: Pay\n> Date: 23 November\n> To: J\n> \n> now",
         "bad@evil.top", "Pay"),
        ("*From:* Bad <bad@evil.top>\n\n*Sent:* Monday\n\n*To:* J\n\n*Subject:* Pay\n\nnow", "bad@evil.top", "Pay"),
    ],
)  # fmt: skip
def test_messages_forwarded_inline(text: str, sender: str, subject: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "jane@corp.example", "FW"
    mail.set_content(f"Hi,\nplease look.\n\n{text}\n")
    payload = read_message(mail.as_bytes())
    message = payload["message"]
    assert payload["report"]["how"] == "inline"
    assert [one["address"] for one in message["from"]] == [sender]
    assert (message["subject"], message["text"]) == (subject, "now")
    assert message["received"] == [], "the way of the report is not the way of the message"


def test_what_is_neither_attached_nor_forwarded_is_meant_itself() -> None:
    payload = read_message(phish().as_bytes())
    assert (payload["report"]["how"], payload["message"]["subject"]) == ("itself", "Your account is locked 1")
    assert find_forwarded("From: me, hello\nno subject here") is None


def test_exchange_online_hands_on_between_public_addresses() -> None:
    mail = phish()
    mail["Received"] = "from x.outlook.com (2603:10a6::1) by y.outlook.com"
    mail["X-Forefront-Antispam-Report"] = "CIP:198.51.100.77;CTRY:US;LANG:en"
    assert read_message(mail.as_bytes())["message"]["sent_from"] == "198.51.100.77"


def test_a_cut_mail_has_no_hash_of_what_is_cut() -> None:
    raw = phish().as_bytes()
    payload = read_message(raw[: raw.index(b"TVqQ") + 10] if b"TVqQ" in raw else raw[:-60])
    assert payload["notes"] == ["the message is not whole: its last attachment has no hash"]
    assert "sha256" not in payload["message"]["attachments"][-1]


def test_severity_by_what_the_server_found_and_none_of_the_reporter_s_own() -> None:
    alert = normalise(read_message(reported().as_bytes()))
    assert alert.severity == "high"
    assert alert.username == "jane@corp.example"
    values = {one.value for one in alert.observables}
    assert "jane@corp.example" not in values, "the reporter is no indicator"
    assert not any("intranet" in value or "mx.corp" in value for value in values)
    assert normalise(read_message(forwarded().as_bytes())).severity == "medium"


def test_text_of_html() -> None:
    assert as_text("<head><title>t</title></head><p>a &amp; b</p><script>x</script>c<br>d") == "a & b\nc\nd"


@pytest.mark.parametrize("raw", [b"", b"hello", b"\r\n\r\n", b"\0" * 100])
def test_no_mail(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no mail"):
        read_message(raw)
    assert parse_body(raw or b"x", MESSAGE_TYPE).items[0].payload is None


@given(st.binary(max_size=400), st.integers(0, 3_000), st.integers(0, 3_000))
def test_no_mail_breaks_the_reading(noise: bytes, start: int, end: int) -> None:
    """Whatever is put into a mail, it is read, or said to be none; and what is read can be stored."""
    whole = reported().as_bytes()
    raw = whole[:start] + noise + whole[min(start, end) :]
    try:
        payload = read_message(raw)
    except ValueError:
        return
    alert = normalise(payload)
    assert alert.title
    assert "\0" not in repr(payload)
    repr(payload).encode()


def test_a_mail_by_the_webhook_and_replayed(inbound: Inbound) -> None:
    raw = reported().as_bytes()
    answer = inbound.post(raw, path=f"{PATH}/phishing_mail", content_type="message/rfc822")
    assert (answer.status, answer.json["title"], answer.json["duplicate"]) == (
        200,
        "Your account is locked 1",
        False,
    )
    again = inbound.post(raw, path=f"{PATH}/phishing_mail", content_type="message/rfc822; charset=utf-8")
    assert again.json["duplicate"] is True
    assert bytes(Delivery.objects.earliest("received_at").body) == raw
    assert Alert.objects.get().source == "phishing_mail"
    assert Delivery.objects.first().payload["report"]["how"] == "attached"
