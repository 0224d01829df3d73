"""A mail somebody reported becomes a payload: which message is meant, who sent it, what it links to and carries.

The message that is meant is the first one attached (as a message or as an ``.eml`` file), else the one that the text
quotes the way mail programs forward inline, else the mail itself. Nothing in it is opened, fetched or executed.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import html
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

import re2

from alerts.forwarded import Forwarded, find_forwarded
from alerts.iocs.hosts import canonical_ip, is_internal
from alerts.jsonwalk import clean

MAX_PARTS = 200
MAX_DEPTH = 8  # messages within messages
MAX_TEXT = 200_000  # characters of text, and of HTML
MAX_LINKS = 500
MAX_HEADER = 2_000
MAX_RECEIVED = 50

_LINK = re2.compile(
    r"""(?i)[\s"'](?:href|src|action|background|data-saferedirecturl)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"""
)
_UNSEEN = re2.compile(r"(?is)<(?:style|script|head)\b.*?</(?:style|script|head)\s*>|<!--.*?-->")
_BREAK = re2.compile(r"(?i)<(?:br|/p|/div|/tr|/li|/h[1-6]|/blockquote)\b[^>]*>")
_TAG = re2.compile(r"<[^>]*>")
_BRACKETED = re2.compile(r"[\[(](?:IPv6:)?([0-9A-Fa-f:.]{3,45})[\])]")
_CONNECTING = re2.compile(r"\bCIP:([0-9A-Fa-f:.]{3,45})")
_VERDICT = re2.compile(r"(?i)\b(spf|dkim|dmarc|compauth|arc)\s*=\s*([a-z]{2,20})")
_SPF = re2.compile(r"(?i)^\s*([a-z]{2,20})")


def read_message(raw: bytes) -> dict[str, Any]:
    """The payload of a mail as it came: ``report`` (who, when), ``message`` (the one that is meant) and ``notes``.

    Every text is fit for the database. Raises ValueError for bytes that are no mail at all.
    """
    report = email.message_from_bytes(raw, policy=email.policy.default)
    if not isinstance(report, EmailMessage) or not any(
        report.get(name) for name in ("From", "Received", "Subject")
    ):
        raise ValueError("this is no mail: it has neither From, Received nor Subject")
    notes: list[str] = []
    meant, how = _meant(report, notes)
    message = _described(meant, notes)
    if how == "itself" and (quoted := find_forwarded(message["text"])) is not None:
        how, message = "inline", _of_quotation(quoted, message)
    reporter = _addresses(report, "From")
    return {
        "report": {
            "how": how,
            "id": _text(report, "Message-ID") or "sha256:" + hashlib.sha256(raw).hexdigest(),
            "subject": _text(report, "Subject"),
            "from": reporter[0] if reporter else None,
            "to": [one["address"] for one in _addresses(report, "To")][:20],
            "date": _date(report),
            "size": len(raw),
        },
        "message": message,
        "notes": notes,
    }


def _meant(report: EmailMessage, notes: list[str]) -> tuple[EmailMessage, str]:
    attached = [inner for part in _leaves(report, notes) if (inner := _message_in(part)) is not None]
    if len(attached) > 1:
        notes.append(f"{len(attached)} messages are attached; this is the first")
    return (attached[0], "attached") if attached else (report, "itself")


def _leaves(message: EmailMessage, notes: list[str]) -> Iterator[EmailMessage]:
    """The parts that hold something, messages unopened, in their order; never deeper than they can be counted."""
    waiting: list[Any] = [message]
    count = 0
    while waiting:
        part = waiting.pop(0)
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting[:0] = part.get_payload()
        else:
            count += 1
            if count > MAX_PARTS:
                notes.append(f"only the first {MAX_PARTS} parts were read")
                return
            yield part


def _message_in(part: EmailMessage) -> EmailMessage | None:
    """The message that ``part`` is, by its type or by the name of its file."""
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], EmailMessage):
            return inner[0]
        return _parsed(_content(part))  # some gateways encode what must not be encoded
    return _parsed(_content(part)) if _filename(part).lower().endswith(".eml") else None


def _parsed(raw: bytes) -> EmailMessage | None:
    found = email.message_from_bytes(raw, policy=email.policy.default)
    return found if isinstance(found, EmailMessage) and (found.get("From") or found.get("Received")) else None


def _described(message: EmailMessage, notes: list[str]) -> dict[str, Any]:
    texts, pages, attachments = _contents(message, notes)
    markup = "\n".join(pages)
    text = "\n".join(texts).strip() or as_text(markup)
    if len(text) > MAX_TEXT:
        notes.append(f"text cut at {MAX_TEXT} characters")
    links = _links(markup)
    if len(links) > MAX_LINKS:
        notes.append(f"only the first {MAX_LINKS} links of the HTML are kept")
    received = [clean(str(value))[:MAX_HEADER] for value in message.get_all("Received", [])[:MAX_RECEIVED]]
    return {
        "id": _text(message, "Message-ID"),
        "subject": _text(message, "Subject"),
        "date": _date(message),
        "from": _addresses(message, "From"),
        "reply_to": _addresses(message, "Reply-To"),
        "return_path": _addresses(message, "Return-Path"),
        "to": _addresses(message, "To")[:50],
        "received": received,
        "sent_from": _connecting(message, received) or _first_outside(received),
        "authentication": _authentication(message),
        "text": text[:MAX_TEXT],
        "links": links[:MAX_LINKS],
        "attachments": attachments,
    }


def _contents(
    message: EmailMessage, notes: list[str], depth: int = 0
) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Texts, HTML and attachments, those of messages within it included."""
    texts: list[str] = []
    pages: list[str] = []
    attachments: list[dict[str, Any]] = []
    broken = _is_cut(message)
    leaves = list(_leaves(message, notes))
    for part in leaves:
        inner = _message_in(part)
        kind = part.get_content_type()
        if (
            inner is None
            and kind in ("text/plain", "text/html")
            and part.get_content_disposition() != "attachment"
        ):
            (pages if kind == "text/html" else texts).append(_decoded(part))
            continue
        raw = inner.as_bytes() if inner is not None and not _content(part) else _content(part)
        attachments.append(_attachment(part, raw, whole=not (broken and part is leaves[-1])))
        if inner is not None and depth < MAX_DEPTH:
            more = _contents(inner, notes, depth + 1)
            texts += more[0]
            pages += more[1]
            attachments += more[2]
    if broken and depth == 0:
        notes.append("the message is not whole: its last attachment has no hash")
    return texts, pages, attachments


def _is_cut(message: EmailMessage) -> bool:
    return any(
        isinstance(defect, email.errors.CloseBoundaryNotFoundDefect)
        for part in message.walk()
        for defect in part.defects
    )


def _attachment(part: EmailMessage, raw: bytes, *, whole: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "filename": _filename(part) or None,
        "content_type": clean(part.get_content_type())[:200],
        "size": len(raw),
    }
    if whole and raw:
        found["sha256"] = hashlib.sha256(raw).hexdigest()
        found["md5"] = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return found


def _content(part: EmailMessage) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError):  # what the sender wrote about its coding may be anything
        return b""
    return found if isinstance(found, bytes) else b""


def _decoded(part: EmailMessage) -> str:
    raw = _content(part)
    charset = part.get_content_charset() or "utf-8"
    try:
        return clean(raw.decode(charset, "replace"))
    except (LookupError, ValueError):
        return clean(raw.decode("utf-8", "replace"))


def _filename(part: EmailMessage) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError):
        return ""
    return clean(str(name or "")).strip()[:255]


def _text(message: EmailMessage, name: str) -> str | None:
    """A header as one line; headers may be malformed in ways that the parser raises for."""
    try:
        value = message.get(name)
    except (ValueError, LookupError, IndexError, AttributeError):
        return None
    line = " ".join(clean(str(value or "")).split())[:MAX_HEADER]
    return line or None


def _addresses(message: EmailMessage, name: str) -> list[dict[str, str]]:
    try:
        values = [str(value) for value in message.get_all(name, [])]
    except (ValueError, LookupError, IndexError, AttributeError):
        return []
    return addresses_in(values)


def addresses_in(values: list[str]) -> list[dict[str, str]]:
    """``Jane <jane@example.com>, …`` as objects with ``name`` and ``address``."""
    pairs = getaddresses([clean(value)[:MAX_HEADER] for value in values[:10]])
    return [{"name": name, "address": address} for name, address in pairs if "@" in address]


def _date(message: EmailMessage) -> str | None:
    return date_of(_text(message, "Date") or "")


def date_of(text: str) -> str | None:
    """An RFC 5322 date as ISO 8601, without a zone where it names none."""
    try:
        moment: datetime = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment.isoformat()


def _first_outside(received: list[str]) -> str | None:
    """The address of who handed the message to the first server that is ours.

    Servers put their line on top, so the topmost one that names an address of the Internet is the one that a server of
    ours wrote about a stranger; whatever is below may be invented by the sender.
    """
    for line in received:
        by_whom = line.partition(" by ")[0]
        for found in _BRACKETED.findall(by_whom):
            if (address := _outside(found)) is not None:
                return address
    return None


def _connecting(message: EmailMessage, received: list[str]) -> str | None:
    """What Exchange Online says: its own servers, which hand a message on, have addresses of the Internet."""
    if not any(".outlook.com" in line.lower() for line in received):
        return None
    found = _CONNECTING.search(_text(message, "X-Forefront-Antispam-Report") or "")
    return None if found is None else _outside(found.group(1))


def _outside(text: str) -> str | None:
    try:
        address = canonical_ip(text)
    except ValueError:
        return None
    return None if is_internal("ip", address) else address


def _authentication(message: EmailMessage) -> dict[str, str]:
    """What the receiving server found: ``spf``, ``dkim``, ``dmarc`` → ``pass``, ``fail``, …

    Of several ``Authentication-Results`` the topmost counts: the others may be the sender's.
    """
    results = (_text(message, "Authentication-Results") or "").lower()
    found: dict[str, str] = {}
    for name, verdict in _VERDICT.findall(results):
        found.setdefault(name, verdict)
    if "spf" not in found and (spf := _SPF.search(_text(message, "Received-SPF") or "")) is not None:
        found["spf"] = spf.group(1).lower()
    return found


def _links(markup: str) -> list[str]:
    links: dict[str, None] = {}
    for groups in _LINK.findall(markup[:MAX_TEXT]):
        link = html.unescape("".join(groups)).strip()
        if (
            link.lower().startswith(("http://", "https://", "ftp://", "hxxp", "mailto:", "//"))
            and len(link) <= 2048
        ):
            links["https:" + link if link.startswith("//") else link] = None
    return list(links)


def as_text(markup: str) -> str:
    """What a reader of the HTML sees, roughly."""
    seen = _BREAK.sub("\n", _UNSEEN.sub(" ", markup[:MAX_TEXT]))
    lines = (" ".join(line.split()) for line in html.unescape(_TAG.sub(" ", seen)).splitlines())
    return clean("\n".join(line for line in lines if line))


def _of_quotation(quoted: Forwarded, whole: dict[str, Any]) -> dict[str, Any]:
    """The message as a mail program quoted it: its headers are what a person could have changed, and few."""
    return whole | {
        "id": None,
        "subject": quoted.subject or whole["subject"],
        "date": date_of(quoted.date) or None,
        "from": addresses_in([quoted.sender]),
        "reply_to": addresses_in([quoted.reply_to]),
        "return_path": [],
        "to": addresses_in([quoted.to]),
        "received": [],
        "sent_from": None,
        "authentication": {},
        "text": quoted.text,
    }
