"""Messages quoted inline: the block of headers that mail programs put above what they forward."""

from __future__ import annotations

from dataclasses import dataclass

import re2

# What programs call a header, in the languages they speak.
_NAMES = {
    "sender": "from von de da van från fra lähettäjä od",
    "date": "sent date gesendet datum envoyé enviado fecha inviato data verzonden skickat dato",
    "to": "to an à para a aan till til",
    "subject": "subject betreff objet asunto oggetto assunto onderwerp ämne emne aihe temat",
    "reply_to": "reply-to antwort répondre-à",
}
_FIELDS = {name: field for field, names in _NAMES.items() for name in names.split()}
_MAX_LINES = 5_000  # in which the block may begin
_BLOCK = 12  # lines that a block of headers may have
_MAILTO = re2.compile(r"[<\[]mailto:([^>\]]*)[>\]]")
_QUOTES = "> \t*\u200b\ufeff"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A quoted message; what it does not name is empty."""

    sender: str
    subject: str
    date: str
    to: str
    reply_to: str
    text: str
    before: str
    """What stands above it: the words of who forwards, or what they did not write."""


def find_forwarded(text: str) -> Forwarded | None:
    """The first message quoted in ``text``: at least its sender and its subject, in lines that follow each other."""
    lines = [line.lstrip(_QUOTES).rstrip() for line in text.splitlines()]
    for start, line in enumerate(lines[:_MAX_LINES]):
        if _header(line)[0] != "sender":
            continue
        found, end = _block(lines, start)
        if found.get("sender") and "subject" in found:
            body = "\n".join(lines[end:]).strip()
            return Forwarded(
                found["sender"], found["subject"], found.get("date", ""), found.get("to", ""),
                found.get("reply_to", ""), body, "\n".join(lines[:start]).strip(),
            )  # fmt: skip
    return None


def _block(lines: list[str], start: int) -> tuple[dict[str, str], int]:
    """The headers from line ``start`` on, and where they end."""
    found: dict[str, str] = {}
    end = start
    for end in range(start, min(start + _BLOCK, len(lines))):
        line = lines[end]
        field, value = _header(line)
        if field and field not in found:
            found[field] = value
        elif not line:
            if "subject" in found:
                break  # blank lines between headers are the doing of HTML
        elif "subject" in found:
            break
    return found, end


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    field = _FIELDS.get(name.strip(_QUOTES).lower(), "") if colon and len(name) <= 20 else ""
    # Outlook writes Jane <jane@example.com<mailto:jane@example.com>>, or Jane [mailto:jane@example.com].
    bare = _MAILTO.sub("", value)
    return field, (bare if "@" in bare else _MAILTO.sub(r"<\1>", value)).strip(" \t*")
