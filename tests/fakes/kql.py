"""A very small part of the Kusto Query Language, for the Log Analytics fake; anything else raises KqlError.

Pages: learn.microsoft.com/kusto/query/where-operator, sort-operator, take-operator, project-operator, datetime and
timespan literals, ago(); learn.microsoft.com/azure/azure-monitor/logs/api/timespan.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.fakes.base import now, time_ns

_CONDITION = re.compile(r"(\w+)\s*(==|!=|>=|<=|>|<)\s*(.+)$", re.DOTALL)
_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")


class KqlError(ValueError):
    """Not a query this fake takes."""


def _now_ns() -> int:
    return int(now().timestamp() * 1_000_000) * 1000


def _literal(text: str) -> tuple[str, Any]:
    """The kind and value of a literal: a string, a number, datetime(...), ago(...), now()."""
    text = text.strip()
    if re.fullmatch(r"'[^']*'|\"[^\"]*\"", text):
        return "string", text[1:-1]
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return "number", float(text)
    if text == "now()":
        return "time", _now_ns()
    match = re.fullmatch(r"ago\((\d+)([dhms])\)", text)
    if match:
        return "time", _now_ns() - int(timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds()) * 10**9
    match = re.fullmatch(r"datetime\(['\"]?([^)'\"]+)['\"]?\)", text)
    if match:
        try:
            return "time", time_ns(match[1].strip())
        except ValueError as error:
            raise KqlError(f"Invalid datetime literal {text}") from error
    raise KqlError(f"A recognition error occurred near {text!r}")


def _where(rows: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    for part in re.split(r"\s+and\s+", text):
        match = _CONDITION.match(part.strip())
        if not match:
            raise KqlError(f"A recognition error occurred in where {part!r}")
        name, compare = match[1], _OPS[match[2]]
        kind, wanted = _literal(match[3])
        kept = []
        for row in rows:
            if name not in row:
                raise KqlError(f"Failed to resolve column or scalar expression named '{name}'")
            value = (
                time_ns(str(row[name]))
                if kind == "time"
                else float(row[name])
                if kind == "number"
                else str(row[name])
            )
            if compare(value, wanted):
                kept.append(row)
        rows = kept
    return rows


def _sort(rows: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """`sort by a asc, b` (descending unless told)."""
    for part in reversed(text.split(",")):
        match = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", part)
        if not match or any(match[1] not in row for row in rows):
            raise KqlError(f"A recognition error occurred in sort by {text!r}")
        name = match[1]

        def key(row: dict[str, Any], name: str = name) -> Any:
            timed = name.endswith(("Time", "Generated"))
            return time_ns(str(row[name])) if timed else row[name]

        rows = sorted(rows, key=key, reverse=match[2] != "asc")
    return rows


def _span(rows: list[dict[str, Any]], span: str) -> list[dict[str, Any]]:
    """The rows within a timespan: `P1D`, `start/end` or `start/P1D`."""

    def length(text: str) -> int:
        match = _DURATION.match(text)
        if not match or text in ("P", "PT"):
            raise KqlError(f"Invalid timespan {text!r}")
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 10**9

    start, _, end = span.partition("/")
    try:
        if not end:
            low, high = _now_ns() - length(start), _now_ns()
        else:
            low = time_ns(start)
            high = low + length(end) if end.startswith("P") else time_ns(end)
    except ValueError as error:
        raise KqlError(f"Invalid timespan {span!r}") from error
    return [row for row in rows if low <= time_ns(str(row["TimeGenerated"])) <= high]


def run(
    query: str, tables: dict[str, list[dict[str, Any]]], timespan: str = ""
) -> tuple[list[str], list[list[Any]]]:
    """The columns and rows of a query."""
    first, *steps = [part.strip() for part in query.strip().rstrip(";").split("|")]
    if first not in tables:
        raise KqlError(f"Failed to resolve table or column expression named '{first}'")
    rows = list(tables[first])
    names = list(rows[0]) if rows else ["TimeGenerated", "IncidentName"]
    rows = _span(rows, timespan) if timespan else rows
    for step in steps:
        word, _, rest = step.partition(" ")
        if word == "where":
            rows = _where(rows, rest)
        elif word in ("sort", "order") and rest.strip().startswith("by "):
            rows = _sort(rows, rest.strip()[3:])
        elif word in ("take", "limit") and rest.strip().isdigit():
            rows = rows[: int(rest)]
        elif word == "project":
            names = [name.strip() for name in rest.split(",")]
            if any(name not in row for row in rows for name in names):
                raise KqlError(f"Failed to resolve a column of project {rest!r}")
        else:
            raise KqlError(f"A recognition error occurred: {step!r}")
    return names, [[row.get(name) for name in names] for row in rows]
