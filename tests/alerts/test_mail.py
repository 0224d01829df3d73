"""Reported mails: which message is meant, what is read from it, and that no mail breaks the reading."""

from __future__ import annotations

import base64
import hashlib
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.forwarded import find_forwarded
from alerts.mail import read_message
from alerts.mailparts import MAX_NESTING, MAX_PARSED, as_text
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


def values_of(raw: bytes) -> set[str]:
    return {one.value for one in normalise(read_message(raw)).observables}


def decoy() -> EmailMessage:
    """A harmless message that a phish carries."""
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "canteen@lunch.example", "The menu"
    mail["Authentication-Results"] = "mx.corp.example; dmarc=pass"
    mail["Message-ID"] = "<menu@lunch.example>"
    mail.set_content("Soup, see https://menu.lunch.example/today\n")
    return mail


def test_a_phish_that_carries_a_harmless_message_and_is_forwarded_inline() -> None:
    mail = forwarded()
    mail.add_attachment(decoy())
    mail.add_attachment(ATTACHMENT, maintype="application", subtype="octet-stream", filename="invoice.exe")
    payload = read_message(mail.as_bytes())
    assert payload["report"]["how"] == "inline"
    assert payload["message"]["subject"] == "Overdue 1"
    assert payload["notes"] == ["a message is quoted and another attached; both were read"]
    values = values_of(mail.as_bytes())
    assert {"bad@evil.top", "http://pay.evil.top/x", hashlib.sha256(ATTACHMENT).hexdigest()} <= values
    assert {"canteen@lunch.example", "https://menu.lunch.example/today", "<menu@lunch.example>"} <= values
    alert = normalise(payload)
    assert alert.title == "Overdue 1"
    assert "Beside it: The menu\n\nFrom: canteen@lunch.example" in (alert.description or "")


@pytest.mark.parametrize("as_file", [False, True])
def test_a_phish_that_carries_a_harmless_message_and_is_redirected(as_file: bool) -> None:
    """It looks like a report of that message, and is read all the same, its sender too: it fails DMARC."""
    mail = phish()
    if as_file:
        mail.add_attachment(
            decoy().as_bytes(), maintype="application", subtype="octet-stream", filename="a.eml"
        )
    else:
        mail.add_attachment(decoy())
    alert = normalise(read_message(mail.as_bytes()))
    assert alert.severity == "high", "not what the harmless message says of itself"
    values = {one.value for one in alert.observables}
    assert {
        "http://unlock.evil.top/now", "https://login.evil.top/a?b=1&c=2", "helpdesk@corp-example.top",
        "collect@evil.top", "203.0.113.7", hashlib.sha256(ATTACHMENT).hexdigest(), "invoice.exe",
        "https://menu.lunch.example/today",
    } <= values  # fmt: skip


def test_a_second_attached_message_is_read_whatever_the_first_is() -> None:
    mail = reported(inner=decoy())
    page = EmailMessage()
    page["From"], page["Subject"] = "bad@evil.top", "Pay"
    page.set_content('<a href="https://pay.evil.top/">Pay</a> or ask boss@evil.top', subtype="html")
    mail.add_attachment(page)
    assert {"https://pay.evil.top/", "boss@evil.top"} <= values_of(mail.as_bytes())


def test_what_stands_above_a_quotation_is_read() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "x@evil.top", "jane@corp.example", "Invoice"
    mail.set_content(
        "Pay at http://pay.evil.top/now\n\nFrom: Ann <ann@lunch.example>\nSubject: Menu\n\nSoup\n"
    )
    assert {"http://pay.evil.top/now", "ann@lunch.example"} <= values_of(mail.as_bytes())


def test_an_answer_that_attaches_is_about_what_it_attaches() -> None:
    mail = reported()
    mail.replace_header("Subject", "AW: Phishing?")
    mail.get_body(("plain",)).set_content(  # type: ignore[union-attr]
        "Here.\n\nFrom: Help <help@corp.example>\nSubject: Phishing?\n\nAttach it, see http://howto.example.com/x\n"
    )
    payload = read_message(mail.as_bytes())
    assert (payload["report"]["how"], payload["message"]["id"]) == ("attached", "<1@mailer.evil.top>")
    values = values_of(mail.as_bytes())
    assert "http://howto.example.com/x" in values
    assert "help@corp.example" not in values, "a colleague"


@pytest.mark.parametrize(
    ("received", "forefront", "counts"),
    [
        ("from pc (pc [10.1.2.3]) by mx.corp.example", None, False),
        ("from evil (x.evil.top [203.0.113.7]) by mx.corp.example", None, True),
        ("from a.outlook.com (2603:10a6::1) by b.prod.outlook.com", "CIP:255.255.255.255;CTRY:", False),
        ("from a.outlook.com (2603:10a6::1) by b.prod.outlook.com", "CIP:198.51.100.7;CTRY:US", True),
        ("from a.outlook.com (2603:10a6::1) by b.prod.outlook.com", None, True),
        ("from a.evil.top (203.0.113.7) by b.prod.outlook.com", "CIP:255.255.255.255;CTRY:", True),
    ],
)
def test_only_a_colleague_s_signature_is_left_out(received: str, forefront: str | None, counts: bool) -> None:
    """Who sends from outside may write what they like as sender and recipient."""
    mail = reported()
    mail["Received"] = received
    if forefront:
        mail["X-Forefront-Antispam-Report"] = forefront
    png = b"\x89PNG logo"
    mail.add_attachment(png, maintype="image", subtype="png", filename="logo.png")
    mail.add_attachment(png + b"2", maintype="image", subtype="png", filename="logo.exe")
    values = values_of(mail.as_bytes())
    assert ("https://intranet.corp.example/jane" in values) is counts
    assert (hashlib.sha256(png).hexdigest() in values) is counts
    assert hashlib.sha256(png + b"2").hexdigest() in values
    assert "jane@corp.example" not in values


def test_neither_crowds_out_the_other() -> None:
    crowd = decoy()
    crowd.set_content("\n".join(f"http://h{n}.lunch.example/" for n in range(500)))
    mail = phish()
    mail.add_attachment(crowd)
    assert "https://login.evil.top/a?b=1&c=2" in values_of(mail.as_bytes())


GROUP = b"=?utf-8?q?=0A?= <" + b"a" * 90 + b"@b.c>"


@pytest.mark.parametrize("header", [b"To", b"From", b"Reply-To", b"Cc"])
@pytest.mark.parametrize("as_file", [False, True])
def test_a_header_that_the_parser_raises_for_hides_no_message(header: bytes, as_file: bool) -> None:
    inner = header + b": " + GROUP + b"\nReceived: from x by y\nSubject: Pay\n\nhttp://pay.evil.top/\n"
    kind = b"message/rfc822"
    if as_file:
        inner = base64.encodebytes(inner)
        kind = b'application/octet-stream; name="x.eml"\nContent-Transfer-Encoding: base64'
    raw = (
        b"From: jane@corp.example\nSubject: Phishing?\nContent-Type: multipart/mixed; boundary=Q\n\n--Q\n\nlook\n"
        b"--Q\nContent-Type: " + kind + b"\n\n" + inner + b"\n--Q--\n"
    )
    payload = read_message(raw)
    assert (payload["report"]["how"], payload["message"]["subject"]) == ("attached", "Pay")
    assert "http://pay.evil.top/" in values_of(raw)
    # As one of several it is listed with its hash.
    outer = reported().as_bytes()
    outer = outer.replace(b"\n\n", b"\nX-Y: " + GROUP + b"\n\n", 1)
    assert all("sha256" in one for one in read_message(outer)["message"]["attachments"])
    twice = raw.replace(b"--Q--", b"--Q\nContent-Type: " + kind + b"\n\n" + inner + b"\n--Q--")
    (rest,) = read_message(twice)["beside"]
    assert [len(one["sha256"]) for one in rest["attachments"]] == [64]


def nested(depth: int) -> bytes:
    lines = [b"From: bad@evil.top\nSubject: Deep\nMessage-ID: <deep@evil.top>\n"]
    lines += [b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth)]
    return b"".join(lines) + b"Content-Type: text/plain\n\nhttp://deep.evil.top/\n"


@pytest.mark.parametrize("as_file", [False, True])
def test_an_attached_message_that_cannot_be_taken_apart_is_noted(as_file: bool) -> None:
    kind, inner = b"message/rfc822", nested(1_200)
    if as_file:
        kind, inner = b'text/x; name="x.eml"\nContent-Transfer-Encoding: base64', base64.encodebytes(inner)
    raw = (
        b"From: j@corp.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=Q\n\n--Q\n\n"
        b"it said http://pay.evil.top/\n--Q\nContent-Type: " + kind + b"\n\n" + inner + b"\n--Q--\n"
    )
    payload = read_message(raw)
    assert payload["message"]["subject"] == "Deep"
    assert any("30 parts of an attached message was not read" in note for note in payload["notes"])
    assert "http://pay.evil.top/" in values_of(raw)
    assert "http://deep.evil.top/" in values_of(raw.replace(inner, nested(20))) or as_file


def ids(*mails: EmailMessage) -> list[str | None]:
    return [normalise(read_message(mail.as_bytes())).source_id for mail in mails]


def redirected(to: str, text: str = "", **headers: str) -> EmailMessage:
    mail = phish()
    for name, value in headers.items():
        mail.replace_header(name.replace("_", "-"), value)
    mail["Resent-To"] = to
    mail["Received"] = f"from mail.corp.example by phish.corp.example for {to}"
    if text:
        mail.get_body(("plain",)).set_content(text)  # type: ignore[union-attr]
    return mail


def test_the_same_id_with_other_contents_is_another_alert() -> None:
    one, two, text, subject, sender, answer = ids(
        redirected("a@corp.example"), redirected("b@corp.example"), redirected("a@corp.example", "Other"),
        redirected("a@corp.example", Subject="Other"), redirected("a@corp.example", From="x@evil.top"),
        redirected("a@corp.example", Reply_To="x@evil.top"),
    )  # fmt: skip
    assert one == two, "two reports of one mail"
    assert (one or "").startswith("<1@mailer.evil.top> sha256:")
    assert len({one, text, subject, sender, answer}) == 5
    page, file = phish(), phish()
    page.get_body(("html",)).set_content('<a href="https://b.evil.top">x</a>', subtype="html")  # type: ignore[union-attr]
    file.add_attachment(b"more", maintype="application", subtype="pdf", filename="a.pdf")
    assert len({one, *ids(page, file)}) == 3


def test_an_id_that_looks_like_a_digest_or_is_long_hides_nothing() -> None:
    for message_id in ("sha256:" + "0" * 64, "<" + "a" * 900 + "@evil.top>"):
        one = redirected("a@corp.example", Message_ID=message_id)
        two = redirected("a@corp.example", "Other", Message_ID=message_id)
        found = ids(one, two)
        assert len(set(found)) == 2
        assert all(len(each or "") <= 500 for each in found)


def test_what_was_not_read_counts_too() -> None:
    """The difference may stand behind the last part that is read."""
    head = b"From: x@evil.top\nMessage-ID: <1@evil.top>\nContent-Type: multipart/mixed; boundary=Q\n\n"
    found = [
        normalise(read_message(head + b"--Q\n\nx\n" * 300 + last + b"--Q--\n")).source_id
        for last in (b"--Q\n\nmenu\n", b"--Q\n\npay\n")
    ]
    assert found[0] != found[1]


def test_a_phish_under_the_id_of_a_harmless_mail_is_a_new_alert(inbound: Inbound) -> None:
    path = f"{PATH}/phishing_mail"
    mails = [redirected("a@corp.example", "Menu"), redirected("a@corp.example"), redirected("b@corp.example")]
    answers = [inbound.post(mail.as_bytes(), path=path, content_type=MESSAGE_TYPE).json for mail in mails]
    assert [answer["duplicate"] for answer in answers] == [False, False, True]
    assert Alert.objects.count() == 2


HOSTILE = {
    "addresses": b"From: a@b.c\nTo: " + b"a@b.c," * 160_000 + b"\n\nx",
    "comments": b"From: " + b"(" * 900_000 + b"\nSubject: x\nDate: " + b"(" * 9_000 + b"\n\nx",
    "parameters": b"From: a@b.c\nContent-Type: multipart/mixed; " + b'a="b;' * 180_000 + b"\n\nx",
    "headers": b"From: a@b.c\n" + b"Received: x\n" * 80_000 + b"\nx",
    "parts": b"From: a@b.c\nContent-Type: multipart/mixed; boundary=Q\n\n" + b"--Q\n\n" * 150_000,
    "lines": nested(MAX_NESTING) + b"\n" * 900_000,
    "quoted": b"From: a@b.c\n\n" + b"From: x\n" * 120_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mail_takes_time_linear_in_its_size(name: str) -> None:
    """About the same for a mail of twice the size would be too much to ask: the bound catches what is not linear."""
    start = time.process_time()
    read_message(HOSTILE[name])
    assert time.process_time() - start < 10


def test_more_parts_than_are_parsed() -> None:
    raw = b"From: a@b.c\nContent-Type: multipart/mixed; boundary=Q\n\n" + b"--Q\n\n" * (MAX_PARSED + 1)
    assert f"parts beyond the first {MAX_PARSED} were not read" in read_message(raw)["notes"]


def test_file_names_as_subjects_are_written() -> None:
    mail = phish().as_bytes().replace(b'filename="invoice.exe"', b'filename="=?utf-8?b?csOpc3Vtw6kuZXhl?="')
    assert read_message(mail)["message"]["attachments"][0]["filename"] == "r\xe9sum\xe9.exe"


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
