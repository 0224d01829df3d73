"""A mail somebody reported becomes a payload: which message is meant, who sent it, what it links to and carries.

The message that is meant is the one that the text quotes the way mail programs forward inline, else the first one
attached (as a message or as an ``.eml`` file), else the mail itself. Who wrote a mail chooses what it looks like, so
nothing that came with it is passed over: what is not the message stands ``beside`` it. Nothing in a mail is opened,
fetched or executed.
"""

from __future__ import annotations

import html
import json
from datetime import datetime
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

import re2

from alerts.forwarded import Forwarded, find_forwarded
from alerts.iocs.hosts import canonical_ip, is_internal
from alerts.jsonwalk import clean
from alerts.mailparts import (
    MAX_HEADER,
    MAX_TEXT,
    Contents,
    contents_of,
    digest_of,
    leaves,
    message_in,
    note,
    parse,
    text_of,
    values_of,
)

MAX_LINKS = 500
MAX_RECEIVED = 50
_MAX_REPEATED = 3  # headers that may stand only once

_LINK = re2.compile(
    r"""(?i)[\s"'](?:href|src|action|background|data-saferedirecturl)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"""
)
_BRACKETED = re2.compile(r"[\[(](?:IPv6:)?([0-9A-Fa-f:.]{3,45})[\])]")
_CONNECTING = re2.compile(r"\bCIP:([0-9A-Fa-f:.]{3,45})")
_VERDICT = re2.compile(r"(?i)\b(spf|dkim|dmarc|compauth|arc)\s*=\s*([a-z]{2,20})")
_SPF = re2.compile(r"(?i)^\s*([a-z]{2,20})")
# What programs put before the subject of an answer; what they put before a forwarded one is something else.
_ANSWER = re2.compile(r"(?i)^\s*(?:re|r|aw|sv|antw|res|rif|vs|odp|ref)\s*(?:\[[0-9]+\])?\s*:")
_PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp"})
_PICTURE_NAMES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")


def read_message(raw: bytes) -> dict[str, Any]:
    """The payload of a mail as it came: ``report`` (who, when), ``message`` (the one that is meant), ``beside`` (what
    else came with it) and ``notes``.

    Every text is fit for the database. Raises ValueError for bytes that are no mail, or none that can be taken apart.
    """
    report = parse(raw)
    if not any(values_of(report, name, 1) for name in ("From", "Received", "Subject")):
        raise ValueError("this is no mail: it has neither From, Received nor Subject")
    notes: list[str] = []
    part, attached = _attached(report, notes)
    around = contents_of(report, notes, without=part)
    outer = _described(report, around, notes)
    read, described = [around], [outer]
    if attached is not None:
        read.append(contents_of(attached, notes))
        described.append(_described(attached, read[-1], notes))
    quoted = find_forwarded(around.text()[:MAX_TEXT])
    own = _own_domain(report, outer)
    how, message, beside = _meant(outer, described[1:], quoted, own, notes)
    if how != "itself":
        beside += _around(outer, quoted, around, own)
    message_id = text_of(report, "Message-ID")
    digest = digest_of(raw)
    reporter = outer["from"]
    return {
        "report": {
            "how": how,
            "id": message_id or f"sha256:{digest}",
            # Whoever wrote the mail chose its Message-ID, and may have sent something harmless under it before.
            "content": _content_id(described, read, digest) if message_id else None,
            "subject": outer["subject"],
            "from": reporter[0] if reporter else None,
            "to": [one["address"] for one in outer["to"]][:20],
            "date": outer["date"],
            "size": len(raw),
        },
        "message": message,
        "beside": beside,
        "notes": notes,
    }


def _meant(
    outer: dict[str, Any],
    attached: list[dict[str, Any]],
    quoted: Forwarded | None,
    own: str | None,
    notes: list[str],
) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """How it was reported, the message that is meant, and other messages that may be."""
    if quoted is None:
        return ("attached", attached[0], []) if attached else ("itself", outer, [])
    quotation = _of_quotation(quoted, outer)
    if not attached:
        return "inline", quotation, []
    notes.append("a message is quoted and another attached; both were read")
    # Who forwards quotes what is meant, and its attachments go along; who answers quotes what was asked before.
    if _ANSWER.search(outer["subject"] or ""):
        return "attached", attached[0], [quotation | {"own": own}]
    return "inline", quotation, attached


def _around(
    outer: dict[str, Any], quoted: Forwarded | None, around: Contents, own: str | None
) -> list[dict[str, Any]]:
    """What the report says besides the message: perhaps a greeting and a signature, perhaps all that matters."""
    if quoted is None:
        rest = {name: outer[name] for name in ("text", "links", "attachments")}
    else:  # the links and attachments are the quoted message's
        rest = {
            "text": f"{quoted.before}\n{around.within()}".strip()[:MAX_TEXT],
            "links": [],
            "attachments": [],
        }
    if own is not None:
        rest["attachments"] = [one for one in rest["attachments"] if not _is_picture(one)]
    if _is_strange(outer):
        names = ("id", "subject", "from", "reply_to", "return_path", "sent_from", "authentication")
        rest |= {name: outer[name] for name in names}
    return [rest | {"own": own}] if any(rest.values()) else []


def _own_domain(report: EmailMessage, outer: dict[str, Any]) -> str | None:
    """The domain of a reporter who wrote to a colleague: what it names is in their signature, and no indicator.

    That a mail says so is not enough: no server of the Internet may have handed it over.
    """
    sender = outer["from"][0]["address"] if outer["from"] else ""
    domain = _domain(sender)
    if not domain or domain not in {_domain(one["address"]) for one in outer["to"]}:
        return None
    return domain if outer["sent_from"] is None or _is_within_exchange(report, outer["received"]) else None


def _is_within_exchange(report: EmailMessage, received: list[str]) -> bool:
    """Whether only servers of Exchange Online had the mail, and the first was handed it by none of the Internet."""
    if not received or not all(_is_between_exchange(line.lower()) for line in received):
        return False
    found = _CONNECTING.search(text_of(report, "X-Forefront-Antispam-Report") or "")
    return found is not None and _outside(found.group(1)) is None


def _is_between_exchange(line: str) -> bool:
    giver, _, taker = line.partition(" by ")
    return ".outlook.com" in giver and ".outlook.com" in taker


def _is_strange(outer: dict[str, Any]) -> bool:
    """Whether the mail shows that it is not from who it says, as no report of a colleague does."""
    if outer["authentication"].get("dmarc") == "fail":
        return True
    senders = {_domain(one["address"]) for one in outer["from"]}
    return any(_domain(one["address"]) not in senders for one in outer["reply_to"])


def _domain(address: str) -> str:
    return address.rpartition("@")[2].strip(". \t").lower()


def _is_picture(attachment: dict[str, Any]) -> bool:
    """Whether it is what signatures carry: a picture by its type and its name."""
    name = (attachment["filename"] or ".png").lower()
    return attachment["content_type"] in _PICTURE_TYPES and name.endswith(_PICTURE_NAMES)


def _content_id(described: list[dict[str, Any]], read: list[Contents], digest: str) -> str:
    """What tells this mail from others of its Message-ID: the same for two reports of one mail, whoever had it in hand.

    A mail of which a part was not read is told by all its bytes.
    """
    told: list[Any] = [
        [one["subject"], [[_["address"].lower() for _ in one[name]] for name in ("from", "reply_to")]]
        for one in described
    ]
    told += [contents.marks if contents.whole else digest for contents in read]
    return "sha256:" + digest_of(json.dumps(told).encode())


def _attached(report: EmailMessage, notes: list[str]) -> tuple[EmailMessage | None, EmailMessage | None]:
    """The first part that is a message, and the message in it."""
    found = [
        (part, inner) for part in leaves(report, notes)[0] if (inner := message_in(part, notes)) is not None
    ]
    if len(found) > 1:
        note(notes, f"{len(found)} messages are attached; this is the first")
    return found[0] if found else (None, None)


def _described(message: EmailMessage, found: Contents, notes: list[str]) -> dict[str, Any]:
    text = found.all_text()
    if len(text) > MAX_TEXT:
        note(notes, f"text cut at {MAX_TEXT} characters")
    links = _links("\n".join(found.all_pages()))
    if len(links) > MAX_LINKS:
        note(notes, f"only the first {MAX_LINKS} links of the HTML are kept")
    received = [" ".join(line.split()) for line in values_of(message, "Received", MAX_RECEIVED)]
    return {
        "id": text_of(message, "Message-ID"),
        "subject": text_of(message, "Subject"),
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
        "attachments": found.attachments,
    }


def _addresses(message: EmailMessage, name: str) -> list[dict[str, str]]:
    return addresses_in(values_of(message, name, _MAX_REPEATED))


def addresses_in(values: list[str]) -> list[dict[str, str]]:
    """``Jane <jane@example.com>, …`` as objects with ``name`` and ``address``."""
    try:
        pairs = getaddresses([clean(value)[:MAX_HEADER] for value in values])
    except Exception:  # comments within comments, for one
        return []
    return [{"name": name, "address": address} for name, address in pairs if "@" in address]


def _date(message: EmailMessage) -> str | None:
    return date_of(text_of(message, "Date") or "")


def date_of(text: str) -> str | None:
    """An RFC 5322 date as ISO 8601, without a zone where it names none."""
    try:
        moment: datetime = parsedate_to_datetime(text)
    except Exception:  # it is written by anybody
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
    found = _CONNECTING.search(text_of(message, "X-Forefront-Antispam-Report") or "")
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
    results = (text_of(message, "Authentication-Results") or "").lower()
    found: dict[str, str] = {}
    for name, verdict in _VERDICT.findall(results):
        found.setdefault(name, verdict)
    if "spf" not in found and (spf := _SPF.search(text_of(message, "Received-SPF") or "")) is not None:
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
