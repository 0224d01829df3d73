"""How a source usually speaks, as pure functions over seconds since 1970.

The usual gap is weighted by time: of all the time spent waiting, 95 % was spent in gaps no longer than it. Counting gaps
instead, a source that sends hundreds of alerts by day and none at night would have "usual" gaps of seconds, and be
called silent every night. Where a rhythm of the week is known, hours in which the source never speaks do not count at
all, neither in a gap that was nor in a silence that is.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from django.utils.translation import gettext as _

HOUR, DAY, WEEK_HOURS = 3_600, 86_400, 168
TIMES = 3  # a silence is so many usual gaps
SHORTEST = 15 * 60.0  # seconds; no usual gap is taken for shorter
LONG = SHORTEST  # shorter gaps are counted, but not kept
REMEMBERED = 8 * 7 * DAY
MIN_OBSERVATIONS = 10
LEARN_FOR = 2 * DAY  # at least: two nights
WEEKS = 4  # that a rhythm is read from
MIN_WEEKS = 2
_STEADY = 0.8  # of the hours that are ever used, this share is used every week; else there is no rhythm
_MOST = 0.95
_FURTHEST = 10 * WEEK_HOURS * HOUR

type Gap = Sequence[float]
"""From, to."""


def hour_of_week(hour: int) -> int:
    """0 is Monday 00:00 UTC; ``hour`` counts from 1970."""
    return (hour + 72) % WEEK_HOURS


def waited(start: float, end: float, quiet: frozenset[int]) -> float:
    """Seconds from ``start`` to ``end`` outside of quiet hours."""
    if not quiet:
        return max(end - start, 0.0)
    return sum(last - first for first, last, hour in _hours(start, end) if hour_of_week(hour) not in quiet)


def _hours(start: float, end: float) -> Iterable[tuple[float, float, int]]:
    while start < end:
        hour = int(start // HOUR)
        last = min(end, (hour + 1) * HOUR)
        yield start, last, hour
        start = last


def usual_gap(gaps: Iterable[Gap], quiet: frozenset[int], *, watched: float) -> float:
    """Seconds, outside of quiet hours; ``gaps`` are the long ones of ``watched`` such seconds."""
    lengths = sorted(waited(start, end, quiet) for start, end in gaps)
    passed = max(watched - sum(lengths), 0.0)
    most = (passed + sum(lengths)) * _MOST
    if passed >= most:
        return SHORTEST
    for length in lengths:
        passed += length
        if passed >= most:
            return max(length, SHORTEST)
    return SHORTEST


def silent_at(last: float, usual: float, quiet: frozenset[int]) -> float:
    """When a source that last spoke at ``last`` has been silent for too long."""
    left = usual * TIMES
    if not quiet:
        return last + left
    for first, end, hour in _hours(last, last + _FURTHEST):
        if hour_of_week(hour) in quiet:
            continue
        if left <= end - first:
            return first + left
        left -= end - first
    return last + _FURTHEST


def quiet_hours(counts: Mapping[int, int], *, first: float, now: float) -> frozenset[int]:
    """The hours of the week in which a source says nothing; none while it is too young, or speaks when it likes.

    ``counts`` are alerts by hour since 1970, ``first`` is when it was first heard.
    """
    this_hour = int(now // HOUR)
    weeks = min((this_hour - int(first // HOUR)) // WEEK_HOURS, WEEKS)
    if weeks < MIN_WEEKS:
        return frozenset()
    used: dict[int, int] = {}
    for hour, count in counts.items():
        if count and this_hour - weeks * WEEK_HOURS <= hour < this_hour:
            used[hour_of_week(hour)] = used.get(hour_of_week(hour), 0) + 1
    if not used or sum(used.values()) < _STEADY * weeks * len(used):
        return frozenset()
    return frozenset(range(WEEK_HOURS)) - used.keys()


def usual_day(counts: Mapping[int, int], *, first: float, now: float) -> float | None:
    """Alerts in 24 hours: the median of the days before this one; None before there was a whole one."""
    this_hour, first_hour = int(now // HOUR), int(first // HOUR)
    days = min((this_hour - first_hour) // 24, WEEKS * 7 + 1)
    totals = [
        sum(counts.get(hour, 0) for hour in range(this_hour - 24 * (day + 1), this_hour - 24 * day))
        for day in range(1, days)
    ]
    return float(statistics.median(totals)) if totals else None


def length_text(seconds: float) -> str:
    """``45 minutes``, ``19 hours``, ``3 days``."""
    minutes = max(int(seconds // 60), 1)
    if minutes < 120:
        return _("%d minutes") % minutes
    return _("%d hours") % (minutes // 60) if minutes < 2880 else _("%d days") % (minutes // 1440)
