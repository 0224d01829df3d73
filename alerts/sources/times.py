"""Times as products write them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
# (exclusive upper bound of the number, its units per second)
_EPOCHS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000))
_FORMATS = (
    "%b %d %Y %H:%M:%S",  # CEF
    "%b %d %Y %H:%M:%S.%f",
    "%b %d %Y %H:%M:%S %Z",
    "%Y/%m/%d %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",  # web servers
    "%m/%d/%Y %H:%M:%S",
)


def parse_time(value: str | int | float) -> tuple[datetime | None, str | None]:
    """An aware time and, when something is odd about it, a note. Never raises.

    Numbers are seconds, milli-, micro- or nanoseconds since 1970 by their size. Text is ISO 8601 (with ``Z``, offset
    or no zone, any number of decimals), a number, RFC 5322, CEF's ``Nov 24 2026 03:54:00`` or a few other forms.
    Without a zone UTC is meant. Times before 1990 or after 2100 are not believed.
    """
    if type(value) is str:
        text = value.strip()
        if not text or len(text) > 50:
            return None, None
        moment = _number(text) or _text(text)
    else:
        moment = _epoch(value)
    if moment is None:
        return None, f"“{str(value)[:50]}” is not a time" if type(value) is str else "not a time"
    note = None
    if moment.tzinfo is None:
        moment, note = moment.replace(tzinfo=UTC), "a time without a zone is read as UTC"
    try:
        moment = moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None, "not a time"
    if not _EARLIEST <= moment <= _LATEST:
        return None, f"the year {moment.year} is not believed"
    return moment, note


def _number(text: str) -> datetime | None:
    if not (text.isascii() and text.replace(".", "", 1).isdigit()) or len(text.partition(".")[0]) < 9:
        return None
    return _epoch(float(text))


def _epoch(value: object) -> datetime | None:
    if type(value) not in (int, float):
        return None
    # ints of any size compare with floats without being converted
    for bound, units in _EPOCHS:
        if 0 < value < bound:  # type: ignore[operator]
            try:
                return datetime.fromtimestamp(value / units, UTC)  # type: ignore[operator]
            except (OverflowError, OSError, ValueError):
                return None
    return None


def _text(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _FORMATS:  # a missing zone is noted by the caller
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
