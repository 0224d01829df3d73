"""Reading a webhook body: which alerts it holds, each with the bytes it came as.

A webhook is never refused for its content. What cannot be understood comes back without a payload and with the reason,
to be quarantined and replayed. Hostile bodies cost no more than they weigh: sizes are counted before anything is
parsed, and nothing here recurses.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from alerts.lines import LineError, is_event_line, parse_line
from alerts.safejson import check, crowded, load, parse_object, why_not
from alerts.wrappers import WRAPPERS, opened, why_no_alert

MAX_ITEMS = 20_000
"""Alerts in one body."""
_MAX_FORM_FIELDS = 200

_BOM = b"\xef\xbb\xbf"
NDJSON_TYPES = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines")
)
_LINE = re.compile(rb"\S[^\n]*")  # from the first character that is no blank; blank lines cost nothing
_DECODER = json.JSONDecoder()
_FORM_TYPE = "application/x-www-form-urlencoded"
MESSAGE_TYPE = "message/rfc822"
"""A mail as it came."""


class PayloadTooLarge(ValueError):
    """More bytes than allowed: 413."""


class BadGzip(ValueError):
    """Not a whole gzip stream."""


@dataclass(frozen=True, slots=True)
class Item:
    """One alert of a body, or something to quarantine."""

    raw: bytes
    """The bytes it came as; for a body that is one alert, the body."""
    payload: dict[str, Any] | None
    """None: quarantine."""
    reason: str | None = None
    """Why there is no payload, one sentence."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A body taken apart. There is always at least one item."""

    items: list[Item]
    format: str
    """json, array, ndjson, form, lines, message, a wrapper's of :mod:`alerts.wrappers`, or unknown."""


def parse_body(raw: bytes, content_type: str | None = None) -> Parsed:
    """The alerts in a body, which may be JSON in any of the known wrappers, NDJSON, CEF, LEEF, a form or a mail.

    The content type is a hint: senders get it wrong all the time (``curl -d`` calls JSON a form). Text is UTF-8
    whatever charset is declared. Of a repeated key in an object the last one counts; the raw bytes keep all.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in NDJSON_TYPES:
        return _one_or_many(raw, list(parse_lines(raw)), "ndjson")
    body = raw.removeprefix(_BOM).strip()
    if not body:
        return _quarantine(raw, "the body is empty")
    if kind == MESSAGE_TYPE:
        return Parsed([parse_message(raw)], "message")
    if body[:1] in (b"{", b"["):
        return _json_body(raw, body)
    return _other_body(raw, body, kind)


def _quarantine(raw: bytes, reason: str) -> Parsed:
    return Parsed([Item(raw, None, reason)], "unknown")


def _json_body(raw: bytes, body: bytes) -> Parsed:
    if body[:1] == b"{" and b"\n" in body and (lines := _as_object_lines(raw, body)) is not None:
        return lines
    if body[:1] == b"[":
        return _array(raw, body)
    value, reason = load(body)
    if value is None:
        return _quarantine(raw, reason or "not understood")
    wrapped = _unwrap(raw, body, value)
    if wrapped is not None:
        return wrapped
    payload, reason = check(body, value)
    return Parsed([Item(raw, payload, reason)], "json")


def _as_object_lines(raw: bytes, body: bytes) -> Parsed | None:
    """NDJSON sent under another content type: the first line alone is an object, and another line follows."""
    first = body.partition(b"\n")[0].strip()
    if not first.endswith(b"}") or parse_object(first)[0] is None:
        return None
    return Parsed(list(parse_lines(raw)), "ndjson")


def parse_lines(raw: bytes) -> Iterator[Item]:
    """One item per line that is not blank. A line that is no object is quarantined, the others are not."""
    count = 0
    for match in _LINE.finditer(raw, len(_BOM) if raw.startswith(_BOM) else 0):
        if count == MAX_ITEMS:
            yield Item(raw[match.start() :], None, f"more than {MAX_ITEMS} lines in one body")
            return
        count += 1
        yield parse_item(match.group().rstrip())
    if count == 0:
        yield Item(raw, None, "the body is empty")


def parse_item(line: bytes) -> Item:
    """One line of a stream: a JSON object, CEF or LEEF."""
    if line[:1] != b"{":
        return _event_line(line) or Item(line, None, "the line is not a JSON object")
    payload, reason = parse_object(line)
    return Item(line, payload, reason)


def parse_message(raw: bytes) -> Item:
    """A mail: the alert is about the message that it reports."""
    from alerts.mail import read_message  # late: most processes never see a mail

    try:
        return Item(raw, read_message(raw))
    except ValueError as error:
        return Item(raw, None, str(error) or "the mail cannot be read")
    except Exception as error:  # a mail that raised would come again and again, and those behind it never
        return Item(raw, None, f"the mail cannot be read: {type(error).__name__}")


def _array(raw: bytes, body: bytes) -> Parsed:
    if crowded(body):
        return _quarantine(raw, "more lists and objects than any alerts of this size")
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _quarantine(raw, why_not(body, error))
    return _elements(raw, body.decode(), values, 0, "array")


def _elements(
    raw: bytes, text: str, values: list[Any], start: int, format: str, common: dict[str, Any] | None = None
) -> Parsed:
    """One item per element of ``values``, which stand in ``text`` as the array that opens at ``start``."""
    if not any(type(value) is dict for value in values):
        return _quarantine(raw, "the array holds no objects" if values else "the array is empty")
    if len(values) > MAX_ITEMS:
        return _quarantine(raw, f"more than {MAX_ITEMS} elements in one array")
    try:
        pieces = [text[begin:end].encode() for begin, end in _spans(text, start)]
    except RecursionError:
        return _quarantine(raw, "nested too deeply")
    items = [_element(piece, value, common) for piece, value in zip(pieces, values, strict=True)]
    return _one_or_many(raw, items, format)


def _element(piece: bytes, value: Any, common: dict[str, Any] | None) -> Item:
    if type(value) is not dict:
        return Item(piece, None, "the element is not an object")
    payload, reason = check(piece, value)
    if payload is not None and common:
        payload = {**common, **payload}
    return Item(piece, payload, reason)


def _one_or_many(raw: bytes, items: list[Item], format: str) -> Parsed:
    """A body that is one alert keeps all its bytes, wrapper and blanks included."""
    if len(items) == 1:
        items = [Item(raw, items[0].payload, items[0].reason)]
    return Parsed(items, format)


def _spans(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where each element begins and ends of the array that opens at ``start`` of a valid document."""
    position = _skip(text, start + 1)
    while text[position] != "]":
        _, end = _DECODER.raw_decode(text, position)
        yield position, end
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def _member(text: str, start: int, name: str) -> int:
    """Where the value of ``name`` begins in the object that opens at ``start``; of a repeated name the last."""
    found = -1
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, end = _DECODER.raw_decode(text, position)
        begin = _skip(text, _skip(text, end) + 1)  # over the colon
        if key == name:
            found = begin
        _, end = _DECODER.raw_decode(text, begin)
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _skip(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


def _unwrap(raw: bytes, body: bytes, value: dict[str, Any]) -> Parsed | None:
    """The alerts in a vendor's wrapper or envelope; None when ``value`` is neither."""
    for wrapper in WRAPPERS:
        alerts = wrapper.alerts_in(value)
        if alerts is not None:
            text, start = body.decode(), 0
            for name in wrapper.path:
                start = _member(text, start, name)
            common = {key: value[key] for key in wrapper.common if type(value.get(key)) is str}
            return _elements(raw, text, alerts, start, wrapper.format, common)
    inner = opened(value)
    if inner is not None:
        return _envelope(raw, inner)
    reason = why_no_alert(value)
    return None if reason is None else _quarantine(raw, reason)


def _envelope(raw: bytes, inner: bytes) -> Parsed:
    """One envelope deep: what is in it is taken apart like a body, but keeps no envelope of its own."""
    value, reason = load(inner)
    if value is not None and opened(value) is not None:
        payload, reason = check(inner, value)
        return Parsed([Item(raw, payload, reason)], "json")
    found = _json_body(inner, inner)
    return _one_or_many(raw, found.items, found.format)


def _other_body(raw: bytes, body: bytes, kind: str) -> Parsed:
    if kind == _FORM_TYPE or body.startswith(b"payload="):
        return _form(raw, body)
    if body[:1] in b'"-0123456789tfn' and _is_json(body):
        return _quarantine(raw, "the JSON is not an object")
    if _event_line(body.partition(b"\n")[0].strip()) is not None:
        return _one_or_many(raw, list(parse_lines(raw)), "lines")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as invalid:
        return _quarantine(raw, f"invalid UTF-8 at byte {invalid.start}")
    return _quarantine(raw, "neither JSON nor CEF, LEEF or a form")


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _event_line(line: bytes) -> Item | None:
    """The item of a CEF or LEEF line, or None when it starts like neither."""
    text = line.decode("utf-8", "replace")
    if not is_event_line(text):
        return None
    if "\ufffd" in text:
        return Item(line, None, "the line is not UTF-8")
    try:
        return Item(line, dict(parse_line(text)))
    except LineError as error:
        return Item(line, None, str(error))


def _form(raw: bytes, body: bytes) -> Parsed:
    """A form whose field ``payload`` holds the JSON, or whose fields are the alert."""
    try:
        fields = dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS)
        )
    except ValueError:
        return _quarantine(raw, f"not a form of at most {_MAX_FORM_FIELDS} fields")
    inner = fields.get("payload", "").strip().encode("utf-8", "replace")
    if inner[:1] in (b"{", b"["):
        found = _json_body(inner, inner)
        return _one_or_many(raw, found.items, "form" if found.format == "json" else found.format)
    if not fields or list(fields.values()) == [""]:
        return _quarantine(raw, "neither JSON nor CEF, LEEF or a form")
    return Parsed([Item(raw, dict(fields))], "form")


def decompress_gzip(raw: bytes, max_bytes: int, *, max_ratio: int = 200) -> bytes:
    """``raw`` unpacked. Raises PayloadTooLarge beyond ``max_bytes``, BadGzip for anything that is not whole gzip.

    A body that grows more than ``max_ratio`` times is refused as too large once it passes a megabyte: alerts do not
    compress like that.
    """
    ceiling = min(max_bytes, max(1 << 20, len(raw) * max_ratio))
    chunks: list[bytes] = []
    size = 0
    rest = raw
    while rest:
        stream = zlib.decompressobj(wbits=31)
        try:
            while not stream.eof:
                chunk = stream.decompress(rest, ceiling - size + 1)
                size += len(chunk)
                if size > ceiling:
                    raise PayloadTooLarge(f"more than {ceiling} bytes after unpacking")
                chunks.append(chunk)
                rest = stream.unconsumed_tail
                if not rest and not stream.eof:
                    raise BadGzip("the gzip stream ends early")
        except zlib.error as error:
            raise BadGzip(f"not gzip: {error}") from None
        rest = stream.unused_data.lstrip(b"\0")  # padding is allowed after a member
    if not raw:
        raise BadGzip("the gzip stream ends early")
    return b"".join(chunks)
