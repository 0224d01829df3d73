"""A small part of Splunk's Search Processing Language, really evaluated; other commands raise SplError (HTTP 400).

Pages (Splunk Search Reference): search, where, sort, head, fields, table, dedup, rename, eval (copies only), Time
modifiers; the macro `notable` of Enterprise Security.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable
from typing import Any

from tests.fakes.base import now, time_ns

Row = dict[str, Any]
Test = Callable[[Row], bool]
_TOKEN = re.compile(
    r'\s*(?:(?P<compare>[\w.]+\s*(?:!=|>=|<=|=|>|<)\s*(?:"(?:[^"\\]|\\.)*"|[^\s()|,]+))'
    r'|(?P<list>[\w.]+\s+IN\s*\([^)]*\))|(?P<mark>[()])|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<macro>`[^`]+`)|(?P<word>[^\s()|]+))'
)
_OPS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_HIDDEN = "#time"


class SplError(ValueError):
    """A search this fake (or Splunk) does not take."""


def seconds_of(text: str) -> float:
    """Epoch seconds of a time: `1700000000.5`, ISO 8601, `now`, `-15m`, `-1d@h`, `@d`."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if re.match(r"\d{4}-\d\d-\d\d", text):
        try:
            return time_ns(text) / 1e9
        except ValueError as error:
            raise SplError(f"Invalid time: {text}") from error
    match = re.fullmatch(r"(?:now|rt)?(?:([+-]\d*)([smhdw])(?:\w*?))?(?:@([smhd]))?", text)
    if not match or not text:
        raise SplError(f'Invalid time modifier: "{text}"')
    moment = now().timestamp()
    if match[2]:
        amount = int(match[1]) if len(match[1]) > 1 else int(f"{match[1]}1")
        moment += amount * _UNITS[match[2]]
    if match[3]:
        moment -= moment % _UNITS[match[3]]
    return moment


def run(search: str, events: list[Row], earliest: float, latest: float | None) -> list[Row]:
    """The results of a search; events come the latest first, as Splunk returns them."""
    text = search.strip()
    first, *commands = _pipes(text[1:] if text.startswith("|") else text)
    word, _, rest = first.partition(" ")
    if word != "search" and not (text.startswith("|") and first.startswith("`notable`")):
        raise SplError(f"Error in 'SearchParser': Unknown search command '{word.partition('=')[0]}'.")
    parser = _Search(rest if word == "search" else first)
    low = parser.bounds.get("earliest", earliest)
    high = parser.bounds.get("latest", latest)
    rows = [
        event
        for event in events
        if event[_HIDDEN] >= low and (high is None or event[_HIDDEN] < high) and parser.test(event)
    ]
    rows = sorted(rows, key=lambda row: row[_HIDDEN], reverse=True)
    for number, row in enumerate(rows):
        rows[number] = {**row, "_serial": str(number)}
    for command in commands:
        rows = _apply(rows, command)
    return [{name: _shown(value) for name, value in row.items() if name != _HIDDEN} for row in rows]


def _shown(value: Any) -> Any:
    """Splunk writes every value as a string, a multivalue field as a list of them."""
    return [str(one) for one in value] if isinstance(value, list) else str(value)


def _pipes(text: str) -> list[str]:
    """The commands of a pipeline (a pipe within quotes does not count)."""
    parts = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^|"])+', text)
    return [part.strip() for part in parts if part.strip()] or [""]


class _Search:
    """The expression of the search command: field comparisons, IN, terms, AND, OR, NOT, parentheses, time modifiers."""

    def __init__(self, text: str) -> None:
        """Parse the whole text or raise SplError."""
        self.bounds: dict[str, float] = {}
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if not match:
                raise SplError(f"Error in 'search' command: Unable to parse the search: {text[position:]!r}")
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind]))
            position = match.end()
        self.test: Test = self._either() if self._tokens else lambda row: True
        if self._tokens:
            raise SplError("Error in 'search' command: Unable to parse the search: unbalanced parentheses.")

    def _either(self) -> Test:
        tests = [self._both()]
        while self._tokens[:1] == [("word", "OR")]:
            self._tokens.pop(0)
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._tokens and self._tokens[0] not in (("word", "OR"), ("mark", ")")):
            if self._tokens[0] == ("word", "AND"):
                self._tokens.pop(0)
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if not self._tokens:
            raise SplError("Error in 'search' command: Unable to parse the search: an expression is missing.")
        kind, text = self._tokens.pop(0)
        if (kind, text) == ("word", "NOT"):
            negated = self._one()
            return lambda row: not negated(row)
        if (kind, text) == ("mark", "("):
            inner = self._either()
            if self._tokens[:1] != [("mark", ")")]:
                raise SplError(
                    "Error in 'search' command: Unable to parse the search: unbalanced parentheses."
                )
            self._tokens.pop(0)
            return inner
        if kind == "macro":
            if text != "`notable`":
                raise SplError(
                    f"Error in 'SearchParser': The search specifies a macro {text} that cannot be found."
                )
            return lambda row: row["index"] == "notable"
        if kind == "compare":
            return self._compare(text)
        if kind == "list":
            name, _, rest = re.sub(r"\s+IN\s*\(", " IN ", text[:-1]).partition(" IN ")
            wanted = [part.strip().strip('"') for part in rest.split(",")]
            return lambda row: any(_like(row.get(name), one) for one in wanted)
        if text in ("AND", "OR", ")"):
            raise SplError(f"Error in 'search' command: Unable to parse the search: {text!r} is misplaced.")
        term = text.strip('"')
        return lambda row: fnmatch.fnmatchcase(str(row["_raw"]).lower(), f"*{term.lower()}*")

    def _compare(self, text: str) -> Test:
        match = re.fullmatch(r"([\w.]+)\s*(!=|>=|<=|=|>|<)\s*(.+)", text, re.DOTALL)
        if not match:
            raise SplError(f"Error in 'search' command: Unable to parse {text!r}")
        name, sign = match[1], match[2]
        wanted = re.sub(r"\\(.)", r"\1", match[3][1:-1]) if match[3].startswith('"') else match[3]
        if name in ("earliest", "latest"):
            self.bounds[name] = seconds_of(wanted)
            return lambda row: True
        if name in ("_index_earliest", "_index_latest"):
            limit, sign, name = seconds_of(wanted), ">=" if name == "_index_earliest" else "<", "_indextime"
            return lambda row: _OPS[sign](float(row[name]), limit)
        if sign == "=":
            return lambda row: _like(row.get(name), wanted)
        if sign == "!=":
            return lambda row: row.get(name) is not None and not _like(row.get(name), wanted)
        return lambda row: _numbers(row, name, sign, wanted)


def _like(value: Any, wanted: str) -> bool:
    """Whether a value (or one of many) matches, in any case, with wildcards."""
    many = value if isinstance(value, list) else [] if value is None else [value]
    return any(
        fnmatch.fnmatchcase(str(one).lower(), re.sub(r"([\[\]?])", r"[\1]", wanted.lower())) for one in many
    )


def _numbers(row: Row, name: str, sign: str, wanted: str) -> bool:
    value = row.get(_HIDDEN) if name == "_time" else row.get(name)
    try:
        return value is not None and _OPS[sign](float(value), float(wanted))
    except ValueError:
        return _OPS[sign](str(value), wanted)


def _apply(rows: list[Row], command: str) -> list[Row]:
    """One command after a pipe."""
    word, _, rest = command.partition(" ")
    rest = rest.strip()
    if word == "search":
        return [row for row in rows if _Search(rest).test(row)]
    if word == "where":
        return [row for row in rows if _where(row, rest)]
    if word == "sort":
        return _sort(rows, rest)
    if word == "head":
        if not re.fullmatch(r"(limit=)?\d*", rest):
            raise SplError(f"Error in 'head' command: {rest!r}")
        return rows[: int(rest.removeprefix("limit=") or 10)]
    if word in ("fields", "table"):
        return _fields(rows, word, rest)
    if word == "dedup":
        names = _names(rest)
        seen: dict[tuple[str, ...], Row] = {}
        for row in rows:
            if all(name in row for name in names):
                seen.setdefault(tuple(str(row[name]) for name in names), row)
        return list(seen.values())
    copied = (
        re.fullmatch(r"(\w+)\s*=\s*(\w+)", rest)
        if word == "eval"
        else re.fullmatch(r"(\w+)\s+[aA][sS]\s+(\w+)", rest)
    )
    if word == "eval" and copied:
        source = copied[2]
        return [
            {**row, copied[1]: row[_HIDDEN] if source == "_time" else row.get(source, "")} for row in rows
        ]
    if word == "rename" and copied:
        old, new = copied[1], copied[2]
        return [{new if name == old else name: value for name, value in row.items()} for row in rows]
    raise SplError(
        f"Error in 'SearchParser': Unknown search command '{word}' (or a use of it the fake does not know)."
    )


def _names(text: str) -> list[str]:
    names = [name.strip('"') for name in re.split(r"[,\s]+", text) if name]
    if not names or any(not re.fullmatch(r"[\w.*:]+", name) for name in names):
        raise SplError(f"Error in the list of fields {text!r}")
    return names


def _where(row: Row, text: str) -> bool:
    """`where` with comparisons of a field and a number or a quoted string, joined by AND."""
    for part in re.split(r"\s+(?:AND|and)\s+", text):
        match = re.fullmatch(
            r"\(?\s*(\w+)\s*(==|=|!=|>=|<=|>|<)\s*(-?\d+(?:\.\d+)?|\"[^\"]*\")\s*\)?", part.strip()
        )
        if not match:
            raise SplError(f"Error in 'where' command: The expression is malformed: {part!r}")
        value = row.get(_HIDDEN) if match[1] == "_time" else row.get(match[1])
        if value is None:
            return False
        if match[3].startswith('"'):
            if not _OPS[match[2]](str(value), match[3][1:-1]):
                return False
        elif not _OPS[match[2]](float(value), float(match[3])):
            return False
    return True


def _sort(rows: list[Row], text: str) -> list[Row]:
    """`sort [<count>] [+|-]<field>, ...`; 10,000 results unless the count is told, 0 for all."""
    match = re.match(r"(?:limit=)?(\d+)\s+", text)
    limit = int(match[1]) if match else 10_000
    for part in reversed(_sort_keys(text[match.end() :] if match else text)):
        down, name = part.startswith("-"), part.lstrip("+-").strip()

        def key(row: Row, name: str = name) -> Any:
            value = row.get(_HIDDEN) if name == "_time" else row.get(name)
            try:
                return (0, float(value), "") if value is not None else (2, 0.0, "")
            except (TypeError, ValueError):
                return (1, 0.0, str(value))

        rows = sorted(rows, key=key, reverse=down)
    return rows[: limit or None]


def _sort_keys(text: str) -> list[str]:
    parts = [part.strip() for part in re.split(r",|(?<=\w)\s+(?=[+-]?\w)", text) if part.strip()]
    if not parts or any(not re.fullmatch(r"[+-]?\s*[\w.]+", part) for part in parts):
        raise SplError(f"Error in 'sort' command: {text!r}")
    return parts


def _fields(rows: list[Row], word: str, text: str) -> list[Row]:
    """`fields [-|+] a, b*` (keeps _time and _raw unless told) and `table a, b`."""
    remove = text.startswith("-")
    names = _names(text.lstrip("+- "))
    if remove:
        return [{name: value for name, value in row.items() if not _any(name, names)} for row in rows]
    kept = [*names, *(["_time", "_raw", "_indextime"] if word == "fields" else []), _HIDDEN]
    return [{name: value for name, value in row.items() if _any(name, kept)} for row in rows]


def _any(name: str, patterns: list[str]) -> bool:
    """Whether a field is meant; a leading `_` is met only by its name, not by `*`."""
    return any(
        name == pattern or (not name.startswith("_") and fnmatch.fnmatchcase(name, pattern))
        for pattern in patterns
    )
