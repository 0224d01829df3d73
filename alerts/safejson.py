"""A JSON object that is safe to store, or the reason why not.

Sizes are counted before anything is parsed, nothing recurses, and a hostile megabyte costs tens of milliseconds.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
import re2

MAX_DEPTH = 32
MAX_KEYS = 10_000
MAX_DIGITS = 40
_MAX_CONTAINERS = 50_000
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
# Strings are passed over whole. Every part is optional, so nothing here can fail and look back.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
# RE2: one pass whatever the body, where the standard engine starts anew at each of 18 digits.
_LONG_NUMBER = re2.compile(rb"[0-9]{19}")
_TOO_LONG_NUMBER = re2.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_CONSTANT = re.compile(rb"(?:^|[\s:,\[])-?(?:NaN|Infinity|nan|inf)\b")


def parse_object(body: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """A JSON object that is safe to store, or None and the reason.

    Limits: depth 32, 10,000 keys, numbers of 40 digits. Integers beyond 64 bits become text, so that an id keeps all
    of its digits.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return None, why_not(body, error)
    if type(value) is not dict:
        return None, "the JSON is not an object"
    return check(body, value)


def check(body: bytes, value: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """:func:`parse_object` for a ``body`` that was parsed to ``value`` already."""
    # Brackets and colons bound depth and keys from above; most alerts need no closer look.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH or body.count(b":") > MAX_KEYS:
        reason = _too_much(value)
        if reason:
            return None, reason
    if _LONG_NUMBER.search(body) is None:
        return value, None
    bare = _STRING.sub(b"", body)
    if _TOO_LONG_NUMBER.search(bare):
        return None, f"a number of more than {MAX_DIGITS} digits"
    if _LONG_NUMBER.search(bare):
        # The fast parser rounds integers beyond 64 bits.
        value = json.loads(body, parse_int=_exact)
    return value, None


def _exact(digits: str) -> int | str:
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else digits


def _too_much(value: dict[str, Any]) -> str | None:
    """Why a parsed document is beyond the limits. Level by level, giving up as soon as one is crossed."""
    keys = containers = 0
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for container in level:
            if type(container) is dict:
                keys += len(container)
                children: Any = container.values()
            else:
                children = container
            following.extend([child for child in children if type(child) is dict or type(child) is list])
        if keys > MAX_KEYS:
            return f"more than {MAX_KEYS} keys"
        containers += len(following)
        if containers > _MAX_CONTAINERS:
            return f"more than {_MAX_CONTAINERS} lists and objects"
        if not following:
            return None
        level = following
    return f"nested deeper than {MAX_DEPTH} levels"


def why_not(body: bytes, error: orjson.JSONDecodeError) -> str:
    """A reason a person can act on."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as invalid:
        if body[:2] in _OTHER_BOMS:
            return "the body is UTF-16 or UTF-32; send UTF-8"
        return f"invalid UTF-8 at byte {invalid.start}"
    text = str(error)
    if "depth" in text or "recursion" in text:
        return f"nested deeper than {MAX_DEPTH} levels"
    if "surrogate" in text:
        return "a lone surrogate (\\ud800 to \\udfff) is no character"
    if "infinity" in text or _CONSTANT.search(_STRING.sub(b'""', body)):
        return "NaN, Infinity and numbers beyond 1.8e308 are not JSON"
    return f"not valid JSON: {text}"
