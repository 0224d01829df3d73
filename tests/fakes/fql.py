"""The part of the Falcon Query Language that a poller uses, really evaluated.

Pages: falconpy.io/Usage/Falcon-Query-Language (and github crowdstrike/psfalcon wiki Filtering-Results); the filter
parameter of GetQueriesAlertsV2 (gofalcon falcon/client/alerts/query_v2_parameters.go: ranges on created_timestamp,
timestamp, updated_timestamp, severity; negation on all; wildcards). `+` is AND, `,` is OR; anything else: FqlError.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.fakes.base import now, time_ns

_TERM = re.compile(
    r"(?P<field>!?[A-Za-z_][\w.]*):(?P<op>!|>=|<=|=>|=<|>|<|\*|=|)"
    r"(?P<value>'(?:[^'\\]|\\.)*'|\[[^\]]*\]|-?\d+(?:\.\d+)?|true|false|null)"
)
_ITEM = re.compile(r"\s*('(?:[^'\\]|\\.)*'|-?\d+(?:\.\d+)?|true|false)\s*(,|$)")
_RANGES: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "=>": operator.ge, "<": operator.lt, "<=": operator.le, "=<": operator.le,
}  # fmt: skip
_RANGE_FIELDS = (
    "created_timestamp",
    "updated_timestamp",
    "timestamp",
    "severity",
    "confidence",
    "crawled_timestamp",
)
Test = Callable[[dict[str, Any]], bool]


class FqlError(ValueError):
    """Not a valid FQL expression."""


def field_of(item: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def parse(text: str) -> Test:
    """The test of a filter; an empty one or `*` takes everything."""
    if text in ("", "*"):
        return lambda item: True
    test, position = _either(text, 0)
    if position != len(text):
        raise FqlError(f"invalid filter: unexpected {text[position:][:12]!r}")
    return test


def _either(text: str, position: int) -> tuple[Test, int]:
    first, position = _both(text, position)
    tests = [first]
    while text[position : position + 1] == ",":
        test, position = _both(text, position + 1)
        tests.append(test)
    return (lambda item: any(one(item) for one in tests)), position


def _both(text: str, position: int) -> tuple[Test, int]:
    first, position = _one(text, position)
    tests = [first]
    while text[position : position + 1] == "+":
        test, position = _one(text, position + 1)
        tests.append(test)
    return (lambda item: all(one(item) for one in tests)), position


def _one(text: str, position: int) -> tuple[Test, int]:
    if text[position : position + 1] == "(":
        test, position = _either(text, position + 1)
        if text[position : position + 1] != ")":
            raise FqlError("invalid filter: unbalanced parenthesis")
        return test, position + 1
    match = _TERM.match(text, position)
    if not match:
        raise FqlError(f"invalid filter: {text[position:][:24]!r} is no property")
    field, name, value = match["field"], match["op"], match["value"]
    test = _term(field.lstrip("!"), name, value)
    if field.startswith("!"):
        return (lambda item: not test(item)), match.end()
    return test, match.end()


def _term(field: str, name: str, raw: str) -> Test:
    if name in _RANGES:
        if field not in _RANGE_FIELDS:
            raise FqlError(f"invalid filter: {field} takes no range")
        limit, compare = _comparable(field, _plain(raw)), _RANGES[name]

        def ranged(item: dict[str, Any]) -> bool:
            value = field_of(item, field)
            return value is not None and compare(_comparable(field, value), limit)

        return ranged
    if raw.startswith("["):
        options = _options(raw[1:-1])
        found: Test = lambda item: any(str(one) in options for one in _many(field_of(item, field)))  # noqa: E731
    elif raw == "null":
        found = lambda item: field_of(item, field) is None  # noqa: E731
    else:
        wanted = _plain(raw)
        found = lambda item: any(_same(one, wanted, field) for one in _many(field_of(item, field)))  # noqa: E731
    return (lambda item: not found(item)) if name == "!" else found


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _plain(raw: str) -> str:
    return re.sub(r"\\(.)", r"\1", raw[1:-1]) if raw.startswith("'") else raw


def _options(text: str) -> list[str]:
    options, position = [], 0
    while position < len(text):
        match = _ITEM.match(text, position)
        if not match:
            raise FqlError("invalid filter: a list holds quoted values")
        options.append(_plain(match[1]))
        position = match.end()
    if not options:
        raise FqlError("invalid filter: an empty list")
    return options


def _same(value: Any, wanted: str, field: str) -> bool:
    if field.endswith("timestamp"):
        return bool(_comparable(field, value) == _comparable(field, wanted))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return fnmatch.fnmatchcase(text, re.sub(r"([\[\]?])", r"[\1]", wanted))


def _comparable(field: str, value: Any) -> Any:
    """A time (ISO 8601, or `now-1h`, `now-30m`, `now-7d`) in nanoseconds, or a number."""
    text = str(value)
    if not field.endswith("timestamp"):
        try:
            return float(text)
        except ValueError as error:
            raise FqlError(f"invalid filter: {text!r} is no number") from error
    relative = re.fullmatch(r"now(?:-(\d+)([smhd]))?", text)
    if relative:
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", None: "days"}[relative[2]]
        moment = now() - timedelta(**{unit: int(relative[1] or 0)})
        return int(moment.timestamp() * 1_000_000) * 1000
    try:
        return time_ns(text)
    except ValueError as error:
        raise FqlError(f"invalid filter: {text!r} is no time") from error


def ordered(items: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The order of a `sort` of the form `field|asc` or `field|desc` (also `field.asc`); items without it come last."""
    match = re.fullmatch(r"([a-z_][\w.]*?)[|.](asc|desc)", text)
    if not match:
        raise FqlError(f"invalid sort parameter: {text!r}")
    field, down = match[1], match[2] == "desc"
    with_it = [item for item in items if field_of(item, field) is not None]
    without = [item for item in items if field_of(item, field) is None]
    timed = field.endswith("timestamp")

    def key(item: dict[str, Any]) -> Any:
        value = field_of(item, field)
        if timed:
            return time_ns(str(value))
        return (0, value, "") if isinstance(value, (int, float)) else (1, 0, str(value))

    return sorted(with_it, key=key, reverse=down) + without
