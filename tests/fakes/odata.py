"""The part of OData 4 that Microsoft Graph and Azure document for `$filter` and `$orderby`, really evaluated.

Pages: learn.microsoft.com/graph/filter-query-parameter (operators eq, ne, gt, ge, lt, le, and, or, not, in,
startswith, contains), learn.microsoft.com/graph/query-parameters. Anything else raises ODataError.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from tests.fakes.base import time_ns

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)(?![\w:-])"
    r"|(?P<word>[A-Za-z_@][\w./]*)"
    r"|(?P<mark>[(),]))",
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
Test = Callable[[dict[str, Any]], bool]


class ODataError(ValueError):
    """The expression is not one the service takes."""


def lookup(item: dict[str, Any], path: str) -> Any:
    """The value at a path such as `properties/status`, or None."""
    value: Any = item
    for part in path.split("/"):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class Filter:
    """A parsed `$filter`; `fields` maps each property that may be filtered to "time", "string", "number" or "bool"."""

    def __init__(self, text: str, fields: dict[str, str]) -> None:
        """Parse the whole text or raise ODataError."""
        self._fields = fields
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if not match:
                raise ODataError(f"Syntax error at position {position} in '{text}'.")
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            position = match.end()
        self._text = text
        self.test: Test = self._either()
        if self._tokens:
            raise ODataError(f"Syntax error: unexpected '{self._tokens[0][1]}' in '{text}'.")

    def _next(self, *wanted: str) -> tuple[str, str]:
        if not self._tokens:
            raise ODataError(f"Expression expected at the end of '{self._text}'.")
        kind, value = self._tokens.pop(0)
        if wanted and value not in wanted:
            raise ODataError(f"Syntax error: '{value}' in '{self._text}'.")
        return kind, value

    def _at(self, value: str) -> bool:
        return bool(self._tokens) and self._tokens[0] in (("word", value), ("mark", value))

    def _either(self) -> Test:
        tests = [self._both()]
        while self._at("or"):
            self._next()
            tests.append(self._both())
        return lambda item: any(test(item) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._at("and"):
            self._next()
            tests.append(self._one())
        return lambda item: all(test(item) for test in tests)

    def _one(self) -> Test:
        if self._at("("):
            self._next()
            inner = self._either()
            self._next(")")
            return inner
        if self._at("not"):
            self._next()
            negated = self._one()
            return lambda item: not negated(item)
        kind, name = self._next()
        if kind != "word":
            raise ODataError(f"A property was expected, not '{name}'.")
        if name in ("contains", "startswith") and self._at("("):
            return self._function(name)
        return self._comparison(name)

    def _function(self, name: str) -> Test:
        self._next("(")
        path = self._next()[1]
        self._known(path, "string")
        self._next(",")
        wanted = self._literal("string")
        self._next(")")
        if name == "contains":
            return lambda item: wanted.lower() in str(lookup(item, path) or "").lower()
        return lambda item: str(lookup(item, path) or "").lower().startswith(wanted.lower())

    def _comparison(self, path: str) -> Test:
        sort = self._known(path)
        name = self._next()[1]
        if name == "in":
            self._next("(")
            options = [self._literal(sort)]
            while self._next(",", ")")[1] == ",":
                options.append(self._literal(sort))
            return lambda item: typed(lookup(item, path), sort) in options
        if name not in _COMPARE:
            raise ODataError(f"Unknown operator '{name}' in '{self._text}'.")
        wanted = self._literal(sort)
        compare = _COMPARE[name]

        def test(item: dict[str, Any]) -> bool:
            value = typed(lookup(item, path), sort)
            if value is None or wanted is None:
                return (value == wanted) if name == "eq" else (value != wanted) if name == "ne" else False
            return compare(value, wanted)

        return test

    def _known(self, path: str, sort: str | None = None) -> str:
        if path not in self._fields or (sort and self._fields[path] != sort):
            raise ODataError(f"Could not find a filterable property named '{path}'.")
        return self._fields[path]

    def _literal(self, sort: str) -> Any:
        kind, text = self._next()
        if (kind, text) == ("word", "null"):
            return None
        if (kind, text) in (("word", "true"), ("word", "false")):
            kind = "bool"
        if kind != sort:
            raise ODataError(
                f"A binary operator with incompatible types was detected: a {sort} property and the {kind} '{text}'."
            )
        if kind == "string":
            return text[1:-1].replace("''", "'")
        try:
            return time_ns(text, zone_needed=True) if kind == "time" else typed(text, kind)
        except ValueError as error:
            raise ODataError(f"Unrecognized literal '{text}'.") from error


def typed(value: Any, sort: str) -> Any:
    """A stored value in the form in which it is compared."""
    if value is None:
        return None
    if sort == "time":
        return time_ns(str(value))
    if sort == "number":
        return float(value)
    if sort == "bool":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return str(value)


def ordered(items: list[dict[str, Any]], orderby: str, fields: dict[str, str]) -> list[dict[str, Any]]:
    """The items in the order of an `$orderby`; equal ones keep their order, nulls come first when ascending."""
    result = list(items)
    for part in reversed(orderby.split(",")):
        words = part.split()
        if (
            not 1 <= len(words) <= 2
            or words[0] not in fields
            or (len(words) == 2 and words[1] not in ("asc", "desc"))
        ):
            raise ODataError(f"Cannot order by '{part.strip()}'.")
        path, sort = words[0], fields[words[0]]
        missing: Any = "" if sort == "string" else -(10**30)

        def key(item: dict[str, Any], path: str = path, sort: str = sort, missing: Any = missing) -> Any:
            value = typed(lookup(item, path), sort)
            return missing if value is None else value

        result.sort(key=key, reverse=words[-1] == "desc" and len(words) == 2)
    return result
