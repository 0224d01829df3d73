"""CEF and LEEF: one event per line, a header of ``|`` fields, then ``key=value`` pairs."""

from __future__ import annotations

import re
from itertools import islice

_START = re.compile(r"(?:^|[\s:>])(CEF|LEEF): ?([0-9]{1,2}(?:\.[0-9]{1,2})?)\|")
# A key starts the extension or follows a blank, and its "=" is not escaped.
_CEF_KEY = re.compile(r"(?:^|\s)([A-Za-z0-9_.\[\]]{1,128})=")
# Possessive: a header field is either there or not, there is nothing to try again.
_HEADER_FIELD = re.compile(r"((?:[^|\\]++|\\.)*+)\|", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_HEADER_SPAN = 1024
MAX_PAIRS = 1_000

_CEF_HEADER = ("deviceVendor", "deviceProduct", "deviceVersion", "signatureId", "name", "severity")
_LEEF_HEADER = ("vendor", "product", "version", "signatureId")
# LEEF's short names for what other products write out.
_LEEF_NAMES = {
    "sev": "severity",
    "usrName": "username",
    "cat": "category",
    "devTime": "eventTime",
    "identHostName": "hostname",
}


class LineError(ValueError):
    """A line that starts like CEF or LEEF and is neither."""


def is_event_line(text: str) -> bool:
    """Whether ``text`` is a CEF or LEEF line, with or without a syslog header before it."""
    return _START.search(text[:_HEADER_SPAN]) is not None


def parse_line(text: str) -> dict[str, str]:
    """The fields of a CEF or LEEF line as one flat object with ``_format``. Raises LineError."""
    start = _START.search(text[:_HEADER_SPAN])
    if start is None:
        raise LineError("neither CEF nor LEEF")
    rest = text[start.end() :].rstrip("\r\n")
    return _cef(rest) if start.group(1) == "CEF" else _leef(rest, start.group(2))


def _header(text: str, count: int) -> tuple[list[str], str]:
    """The first ``count`` fields, in which ``\\|`` and ``\\\\`` are escapes, and what follows them."""
    fields: list[str] = []
    position = 0
    while len(fields) < count:
        field = _HEADER_FIELD.match(text, position)
        if field is None:
            return [*fields, text[position:]], ""
        fields.append(_ESCAPE.sub(r"\1", field.group(1)).strip())
        position = field.end()
    return fields, text[position:]


def _cef(text: str) -> dict[str, str]:
    fields, extension = _header(text, len(_CEF_HEADER))
    if len(fields) < len(_CEF_HEADER):
        raise LineError(f"a CEF header has {len(_CEF_HEADER) + 1} fields, this one {len(fields) + 1}")
    event = {"_format": "cef", **dict(zip(_CEF_HEADER, fields, strict=True))}
    keys = list(islice(_CEF_KEY.finditer(extension), MAX_PAIRS))
    for number, key in enumerate(keys):
        end = keys[number + 1].start() if number + 1 < len(keys) else len(extension)
        event.setdefault(key.group(1), _unescape(extension[key.end() : end].strip()))
    return event


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    plain = text.replace("\\\\", "\0").replace("\\=", "=").replace("\\|", "|")
    return plain.replace("\\n", "\n").replace("\\r", "\n").replace("\0", "\\")


def _leef(text: str, version: str) -> dict[str, str]:
    fields, attributes = _header(text, len(_LEEF_HEADER))
    if len(fields) < len(_LEEF_HEADER):
        raise LineError(f"a LEEF header has {len(_LEEF_HEADER) + 1} fields, this one {len(fields) + 1}")
    event = {"_format": "leef", **dict(zip(_LEEF_HEADER, fields, strict=True))}
    separator = "\t"
    if version.startswith("2"):
        given, bar, following = attributes.partition("|")
        if bar and "=" not in given:
            separator, attributes = _separator(given), following
    for pair in attributes.split(separator, MAX_PAIRS)[:MAX_PAIRS]:
        key, equals, value = pair.partition("=")
        if equals and key.strip():
            event.setdefault(_LEEF_NAMES.get(key.strip(), key.strip()), value.strip())
    if "name" not in event and "title" not in event:
        event["name"] = " ".join(filter(None, (event["product"], event["signatureId"])))
    return event


def _separator(given: str) -> str:
    """LEEF 2.0 names its separator: one character, or its code as ``x5E`` or ``0x5E``."""
    code = given.strip().lower().removeprefix("0x").removeprefix("x")
    if len(given.strip()) > 1 and len(code) <= 4:
        try:
            return chr(int(code, 16))
        except ValueError:
            return "\t"
    return given[:1] or "\t"
