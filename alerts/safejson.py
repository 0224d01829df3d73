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
_MAX_CONTAINERS = 20_000
# Bytes per list or object below which no body of alerts gets; "[[],[],[],…" has three.
_MIN_DENSITY = 16
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
# Strings are passed over whole. Every part is optional, so nothing here can fail and look back.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
# RE2: one pass whatever the body, where the standard engine starts anew at each of 18 digits.
_LONG_NUMBER = re2.compile(rb"[0-9]{19}")
_CONSTANTS = ("NaN", "Infinity", "-NaN", "-Infinity", "nan", "inf", "-inf")


def parse_object(body: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """A JSON object that is safe to store, or None and the reason.

    Limits: depth 32, 10,000 keys, numbers of 40 digits. Integers beyond 64 bits become text, so that an id keeps all
    of its digits.
    """
    value, reason = load(body)
    return (None, reason) if value is None else check(body, value)


def load(body: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """A JSON object of which only the count of lists and objects was checked, or None and the reason."""
    if crowded(body):
        return None, f"more than {_MAX_CONTAINERS} lists and objects"
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return None, why_not(body, error)
    return (value, None) if type(value) is dict else (None, "the JSON is not an object")


def check(body: bytes, value: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """The other limits of :func:`parse_object`, for a ``body`` that was parsed to ``value``."""
    # Brackets and colons bound depth and keys from above; most alerts need no closer look.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH or body.count(b":") > MAX_KEYS:
        reason = _too_much(value)
        if reason:
            return None, reason
    if _LONG_NUMBER.search(body) is None:
        return value, None
    # The fast parser rounds integers beyond 64 bits.
    try:
        return json.loads(body, parse_int=_exact), None
    except ValueError as error:
        return None, str(error)


def _exact(digits: str) -> int | str:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else digits


def crowded(body: bytes) -> bool:
    """Whether ``body`` holds more lists and objects than any alerts of its size; counted before parsing."""
    limit = max(_MAX_CONTAINERS, len(body) // _MIN_DENSITY)
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    bare = _STRING.sub(b"", body)
    return bare.count(b"[") + bare.count(b"{") > limit


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


def is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects of ``value`` are nested deeper than ``limit`` levels; ``value`` itself is the first."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for one in level
            for child in (one.values() if type(one) is dict else one)
            if type(child) is dict or type(child) is list
        ]
    return bool(level)


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
    if "infinity" in text or body.decode()[error.pos : error.pos + 9].startswith(_CONSTANTS):
        return "NaN, Infinity and numbers beyond 1.8e308 are not JSON"
    return f"not valid JSON: {text}"
