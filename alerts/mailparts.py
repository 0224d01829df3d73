"""A mail taken apart: its headers and parts, whoever wrote them, without raising and in time linear in its size."""

from __future__ import annotations

import email
import email.policy
import hashlib
import html
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, cast

import re2

from alerts.jsonwalk import clean

MAX_PARTS = 200
MAX_DEPTH = 8  # messages within messages
MAX_NESTING = 30  # parts within parts: the parser compares every line with all that are open around it
MAX_PARSED = 5_000  # parts of any kind
MAX_TEXT = 200_000  # characters of text, and of HTML
MAX_HEADER = 2_000
_MAX_RAW_HEADER = 4_000  # characters that are parsed: for every word the parser copies those left
# Taken as they stand: the parser understands more of them, but takes long for hostile ones and raises for some.
_PLAIN = frozenset({"received", "content-type", "content-disposition", "content-transfer-encoding"})
_UNREAD = "application/octet-stream"

_UNSEEN = re2.compile(r"(?is)<(?:style|script|head)\b.*?</(?:style|script|head)\s*>|<!--.*?-->")
_BREAK = re2.compile(r"(?i)<(?:br|/p|/div|/tr|/li|/h[1-6]|/blockquote)\b[^>]*>")
_TAG = re2.compile(r"<[^>]*>")


class _Policy(email.policy.EmailPolicy):
    """Headers as anybody may have written them: reading and writing them never raises."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        plain = value[:_MAX_RAW_HEADER].replace("\r", "").replace("\n", "").strip()
        if name.lower() in _PLAIN:
            return plain
        try:
            return super().header_fetch_parse(name, plain)
        except Exception:  # it raises nearly anything: ValueError, IndexError, RecursionError, ...
            return plain

    def fold_binary(self, name: str, value: str) -> bytes:
        lines = value.replace("\r\n", "\n").replace("\r", "\n")
        return f"{name}: {lines}\n".encode("utf-8", "surrogateescape")


class _Part(EmailMessage):
    """A part of a mail that is being parsed, which knows how deep it stands."""

    def __init__(self, policy: Any = None) -> None:
        super().__init__(policy)
        self.level = 0
        self.within = False
        """Whether it is part of an attached message."""
        self.parsed = [0]
        """How many parts the mail has: one list for all of them."""

    def attach(self, payload: Any) -> None:
        if self.level == MAX_NESTING:
            raise ValueError(f"the mail has more than {MAX_NESTING} parts within each other")
        self.parsed[0] += 1
        payload.level = self.level + 1
        payload.within = self.within or self.get_content_maintype() == "message"
        payload.parsed = self.parsed
        if self.parsed[0] <= MAX_PARSED:
            super().attach(payload)

    @property
    def is_too_deep(self) -> bool:
        """Whether it is left as it is, for a report is to be read whatever is attached to it."""
        return self.get_content_type() != super().get_content_type()

    def get_content_type(self) -> str:
        kind = super().get_content_type()
        if self.within and self.level == MAX_NESTING and kind.startswith(("multipart/", "message/")):
            return _UNREAD
        return kind

    def get_boundary(self, failobj: Any = None) -> Any:
        try:
            return super().get_boundary(failobj)
        except Exception:  # it may name any character set, even one that cannot be looked up
            return failobj


class _Attached(_Part):
    """A part of a mail that came as a file of another mail."""

    def __init__(self, policy: Any = None) -> None:
        super().__init__(policy)
        self.within = True


_POLICY = _Policy()


@dataclass(slots=True)
class Contents:
    """What a message holds, and the messages within it."""

    texts: list[str] = field(default_factory=list)
    """Its parts of plain text."""
    pages: list[str] = field(default_factory=list)
    """Its parts of HTML."""
    inner: list[Contents] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    """Those of the messages within it included, as the marks are."""
    marks: list[str] = field(default_factory=list)
    """A digest of each part: the same in every report of a message."""
    whole: bool = True
    """Whether every part has its mark."""

    def text(self) -> str:
        """What the message says itself."""
        return "\n".join(self.texts).strip() or as_text("\n".join(self.pages))

    def within(self) -> str:
        """What the messages within it say, each by itself: one may have text and another HTML."""
        return "\n".join(one.all_text() for one in self.inner).strip()

    def all_text(self) -> str:
        """What the message and those within it say."""
        return f"{self.text()}\n{self.within()}".strip()

    def all_pages(self) -> list[str]:
        """The HTML of the message and those within it."""
        return self.pages + [page for one in self.inner for page in one.all_pages()]


def parse(raw: bytes) -> EmailMessage:
    """The mail that ``raw`` is. Raises ValueError where parts stand deeper within each other than in any mail."""
    return email.message_from_bytes(raw, _class=_Part, policy=cast(Any, _POLICY))


def leaves(message: EmailMessage, notes: list[str]) -> tuple[list[EmailMessage], bool]:
    """The parts that hold something, messages unopened, in their order; and whether these are all."""
    waiting: list[Any] = [message]
    found: list[EmailMessage] = []
    while waiting:
        part = waiting.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting += reversed(part.get_payload())
        elif len(found) == MAX_PARTS:
            note(notes, f"only the first {MAX_PARTS} parts were read")
            return found, False
        else:
            found.append(part)
    return found, True


def note(notes: list[str], text: str) -> None:
    """Say something about the mail, once."""
    if text not in notes:
        notes.append(text)


def message_in(part: EmailMessage, notes: list[str]) -> EmailMessage | None:
    """The message that ``part`` is, by its type or by the name of its file."""
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], EmailMessage):
            return inner[0]
    elif not _filename(part).lower().endswith(".eml"):
        return None
    return _parsed(_content(part), notes)  # some gateways encode what must not be encoded


def _parsed(raw: bytes, notes: list[str]) -> EmailMessage | None:
    try:
        found: EmailMessage = email.message_from_bytes(raw, _class=_Attached, policy=cast(Any, _POLICY))
    except Exception as error:  # the rest of the mail can be read all the same
        note(notes, f"an attached message was not read: {type(error).__name__}")
        return None
    return found if values_of(found, "From", 1) or values_of(found, "Received", 1) else None


def contents_of(
    message: EmailMessage, notes: list[str], *, without: EmailMessage | None = None, depth: int = 0
) -> Contents:
    """What the parts of a message hold, those of messages within it included, the part ``without`` left out."""
    broken = _is_cut(message)
    parts, all_read = leaves(message, notes)
    found = Contents(whole=not _is_over(message, parts, notes) and all_read)
    for part in parts:
        if part is without:
            continue
        inner = message_in(part, notes)
        kind = part.get_content_type()
        if (
            inner is None
            and kind in ("text/plain", "text/html")
            and part.get_content_disposition() != "attachment"
        ):
            text = _decoded(part)
            (found.pages if kind == "text/html" else found.texts).append(text)
            found.marks.append(digest_of(" ".join(text.split()).encode("utf-8", "replace")))
            continue
        raw = _content(part) or (b"" if inner is None else _written(inner, notes))
        found.attachments.append(_attachment(part, raw, whole=not (broken and part is parts[-1])))
        found.marks.append(digest_of(raw))
        if inner is not None:
            found.whole &= bool(raw)
            if depth < MAX_DEPTH:
                _add(found, contents_of(inner, notes, depth=depth + 1))
    if broken and depth == 0:
        note(notes, "the message is not whole: its last attachment has no hash")
    return found


def _is_over(message: EmailMessage, parts: list[EmailMessage], notes: list[str]) -> bool:
    """Whether some of the message was not even parsed."""
    if any(isinstance(part, _Part) and part.is_too_deep for part in parts):
        note(notes, f"what stands within more than {MAX_NESTING} parts of an attached message was not read")
    if isinstance(message, _Part) and message.parsed[0] > MAX_PARSED:
        note(notes, f"parts beyond the first {MAX_PARSED} were not read")
        return True
    return False


def _add(found: Contents, inner: Contents) -> None:
    found.inner.append(inner)
    found.attachments += inner.attachments
    found.marks += inner.marks
    found.whole &= inner.whole


def _written(inner: EmailMessage, notes: list[str]) -> bytes:
    """The bytes of a message that was parsed with the one around it; nothing where it cannot be written again."""
    try:
        return inner.as_bytes()
    except Exception:
        note(notes, "an attached message has no hash: it cannot be written as it came")
        return b""


def digest_of(raw: bytes) -> str:
    """The SHA-256 of ``raw``."""
    return hashlib.sha256(raw).hexdigest()


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
        found["sha256"] = digest_of(raw)
        found["md5"] = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return found


def _content(part: EmailMessage) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except Exception:  # what the sender wrote about its coding may be anything: then it is read as it stands
        found = str(part.get_payload()).encode("utf-8", "surrogateescape")
    return found if isinstance(found, bytes) else b""


def _decoded(part: EmailMessage) -> str:
    raw = _content(part)
    try:
        return clean(raw.decode(part.get_content_charset() or "utf-8", "replace"))
    except Exception:  # anything may be named as the character set
        return clean(raw.decode("utf-8", "replace"))


def _filename(part: EmailMessage) -> str:
    try:
        name = str(part.get_filename() or "")
    except Exception:  # as above
        return ""
    # Many programs write it as a subject is written, within quotes, where that is not allowed.
    name = str(_POLICY.header_fetch_parse("Subject", name)) if "=?" in name else name
    return clean(name).strip()[:255]


def values_of(message: EmailMessage, name: str, most: int) -> list[str]:
    """The first ``most`` headers of a name. All headers are read here: see :class:`_Policy` for those that are hostile."""
    wanted = name.lower()
    found: list[str] = []
    for key, value in message.raw_items():
        if key.lower() == wanted:
            found.append(clean(str(_POLICY.header_fetch_parse(key, value)))[:MAX_HEADER])
            if len(found) == most:
                break
    return found


def text_of(message: EmailMessage, name: str) -> str | None:
    """A header as one line."""
    return next((" ".join(value.split()) or None for value in values_of(message, name, 1)), None)


def as_text(markup: str) -> str:
    """What a reader of the HTML sees, roughly."""
    seen = _BREAK.sub("\n", _UNSEEN.sub(" ", markup[:MAX_TEXT]))
    lines = (" ".join(line.split()) for line in html.unescape(_TAG.sub(" ", seen)).splitlines())
    return clean("\n".join(line for line in lines if line))
