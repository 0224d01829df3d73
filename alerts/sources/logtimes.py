"""Times as log lines write them: ``Nov 15 2017 08:43:57.123 GMT+03:00``, or in a pattern that the line names."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from alerts.sources.base import Reader
from alerts.sources.times import parse_time

_CEF = re.compile(
    r"([A-Za-z]{3})[a-z]{0,6}\.? +([0-9]{1,2}),? +(?:([0-9]{4}),? +)?([0-9]{1,2}):([0-9]{2}):([0-9]{2})"
    r"(?:[.,]([0-9]{1,9}))?(?: +([A-Za-z0-9:+_/-]{1,40}))?"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OFFSET = re.compile(r"(?:GMT|UTC|Z)?([+-])([0-9]{1,2}):?([0-9]{2})?")
_ZONES = {
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "WET": 0, "WEST": 1, "CET": 1,
    "CEST": 2, "MEZ": 1, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3, "YEKT": 5, "SGT": 8, "HKT": 8, "JST": 9, "KST": 9,
    "AEST": 10, "AEDT": 11,
}  # fmt: skip
# Java's letters for a part of a time, as a regular expression that names the part.
_JAVA = {
    "y": r"(?P<year>[0-9]{2,4})", "M": r"(?P<month>[0-9]{1,2})", "d": r"(?P<day>[0-9]{1,2})", "H": r"(?P<hour>[0-9]{1,2})",
    "h": r"(?P<hour>[0-9]{1,2})", "k": r"(?P<hour>[0-9]{1,2})", "K": r"(?P<hour>[0-9]{1,2})", "m": r"(?P<minute>[0-9]{1,2})",
    "s": r"(?P<second>[0-9]{1,2})", "S": r"(?P<fraction>[0-9]{1,9})", "a": r"(?P<half>[AaPp][Mm])",
    "z": r"(?P<zone>[A-Za-z0-9:+_/-]{1,40})", "Z": r"(?P<zone>[A-Za-z0-9:+-]{1,12})", "X": r"(?P<zone>Z|[+-][0-9:]{2,6})",
    "E": r"[A-Za-z]{2,10}",
}  # fmt: skip
_WORD_MONTH = r"(?P<name>[A-Za-z]{3,9})\.?"
_TOKEN = re.compile(r"'([^']*)'|([A-Za-z])\2*|(.)", re.DOTALL)


def zone_of(text: object) -> tzinfo | None:
    """``GMT+03:00``, ``+0200``, ``CEST``, ``Europe/Berlin`` as a zone; None when it is none we know."""
    if type(text) is not str or not 0 < len(text := text.strip()) <= 40:
        return None
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    offset = _OFFSET.fullmatch(text.upper())
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return (
            timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes)) if minutes < 1440 else None
        )
    if text.upper() in _ZONES:
        return timezone(timedelta(hours=_ZONES[text.upper()]))
    if "/" not in text:
        return None
    try:
        return ZoneInfo(text)
    except (ValueError, OSError):  # no such zone, or a name that is no path
        return None


def line_time(
    reader: Reader, paths: tuple[str, ...], pattern: object = None, zone: object = None
) -> datetime | None:
    """The first readable time at ``paths``, written in Java's ``pattern`` if there is one.

    ``zone`` is what the line says of its device's zone; without any, UTC is meant.
    """
    default = zone_of(zone)
    for path, value in reader.values(paths):
        item = value[0] if type(value) is list and value else value
        if type(item) not in (str, int, float):
            continue
        moment, note = _read(item, pattern, default)
        if note:
            reader.note(f"{path}: {note}")
        if moment is not None:
            return moment
    return None


def _read(
    value: str | int | float, pattern: object, default: tzinfo | None
) -> tuple[datetime | None, str | None]:
    if type(value) is str:
        text = value.strip()[:100]
        parts = _parts(text, pattern) or _cef_parts(text)
        if parts is not None:
            return _moment(parts, default)
        if default is not None:
            moment, note = parse_time(text)
            if moment is not None and note:  # only a time without a zone is noted
                return parse_time(moment.replace(tzinfo=default).isoformat())
            return moment, note
        return parse_time(text)
    return parse_time(value)


def _cef_parts(text: str) -> dict[str, str | None] | None:
    found = _CEF.fullmatch(text)
    if found is None:
        return None
    names = ("name", "day", "year", "hour", "minute", "second", "fraction", "zone")
    return dict(zip(names, found.groups(), strict=True))


def _parts(text: str, pattern: object) -> dict[str, str | None] | None:
    if type(pattern) is not str or not 4 <= len(pattern) <= 100:
        return None
    expression = ""
    for token in _TOKEN.finditer(pattern):
        quoted, letter = token[1], token[2]
        if letter:
            part = (
                _WORD_MONTH if letter in "ML" and len(token[0]) > 2 else _JAVA.get(letter.replace("L", "M"))
            )
            if part is None:
                return None
            expression += part
        else:
            expression += re.escape(token[3] if token[3] else quoted or "'")
    try:
        found = re.fullmatch(expression, text)
    except re.error:  # the same part twice
        return None
    return found.groupdict() if found else None


def _moment(parts: dict[str, str | None], default: tzinfo | None) -> tuple[datetime | None, str | None]:
    name, year = parts.get("name"), parts.get("year")
    if not year:
        return None, "a time without a year is not read"
    zone = zone_of(parts.get("zone")) or default
    note = None
    if zone is None:
        named = parts.get("zone")
        note = (
            f"zone “{named}” is not known; read as UTC" if named else "a time without a zone is read as UTC"
        )
    try:
        month = _MONTHS.index(name[:3].lower()) + 1 if name else int(parts.get("month") or 1)
        hour = int(parts.get("hour") or 0) % 24
        half = (parts.get("half") or "").lower()
        hour = hour % 12 + (12 if half == "pm" else 0) if half else hour
        moment = datetime(
            int(year) + (2000 if len(year) == 2 else 0),
            month,
            int(parts.get("day") or 1),
            hour,
            int(parts.get("minute") or 0),
            int(parts.get("second") or 0),
            int((parts.get("fraction") or "0").ljust(6, "0")[:6]),
            zone or UTC,
        )
    except ValueError:
        return None, "not a time"
    found, unbelieved = parse_time(moment.isoformat())
    return found, unbelieved or note
