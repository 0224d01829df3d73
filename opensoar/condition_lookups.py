"""How one value of an alert is compared with what a condition asks for (see conditions.py).

Alerts carry text that attackers wrote: nothing here raises for any value, walks more than the
payload holds, or needs more than linear time.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

SEVERITIES = ("informational", "low", "medium", "high", "critical")
_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}

Test = Callable[[Any], bool]


class Many(tuple[Any, ...]):
    """Several values found by one path; a condition holds when any of them meets it."""


def word(value: Any) -> str:
    """Return a choice in its usual form; ``info`` is what many tools call informational."""
    text = str(value).strip().lower()
    return "informational" if text == "info" else text


def walk(value: Any, path: Sequence[str]) -> Any:
    """Return what lies at `path`: None, one value, or `Many` where lists were crossed."""
    found = list(_walk(value, tuple(path)))
    if len(found) == 1:
        return found[0]
    return Many(found) if found else None


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield value
    elif isinstance(value, dict):
        # Vendors flatten keys ("kibana.alert.rule.name" is one key), wholly or in part.
        for length in range(len(path), 0, -1):
            key = ".".join(path[:length])
            if key in value:
                yield from _walk(value[key], path[length:])
    elif isinstance(value, list | tuple):
        if path[0].isdecimal() and len(path[0]) < 7:
            index = int(path[0])
            if index < len(value):
                yield from _walk(value[index], path[1:])
        else:
            for element in value:
                # Only objects are entered: a list of lists has no name for its middle.
                if isinstance(element, dict):
                    yield from _walk(element, path)


def compile_test(kind: str, lookup: str, values: tuple[Any, ...]) -> Test:
    """Return the test of one term.

    Raises:
        ValueError: a value the lookup cannot work with (a network, a pattern, a date).
    """
    if lookup == "isnull":
        wanted = values[0]
        return lambda value: _is_empty(value) is wanted
    if lookup == "all":
        tests = [_any_element(_single(kind, "exact", v)) for v in values]
        return lambda value: all(test(value) for test in tests)
    if lookup in ("in", "overlap"):
        lookup = "exact"
    if lookup == "exact" and kind in ("text", "list", "word", "severity"):
        test = _any_element(_one_of(kind, values))
    else:
        singles = [_single(kind, lookup, v) for v in values]
        test = _any_element(lambda element: any(single(element) for single in singles))
    if lookup == "exact" and None in values:
        return lambda value: _is_empty(value) or test(value)
    return test


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict) and not value)


def _any_element(test: Test) -> Test:
    def over(value: Any) -> bool:
        if type(value) is str:  # what nearly all are
            return test(value)
        if isinstance(value, Many):
            return any(over(element) for element in tuple(value))
        if isinstance(value, list | tuple | set | frozenset):
            return any(test(element) for element in value)
        return test(value)

    return over


def _one_of(kind: str, values: tuple[Any, ...]) -> Test:
    """Equality with any of the values by one look-up: every stored alert meets every playbook's conditions."""
    words = kind in ("word", "severity")
    wanted = frozenset(word(v) if words else v for v in values if isinstance(v, str))
    only_text = all(isinstance(v, str) for v in values)
    singles = [_single(kind, "exact", v) for v in values]

    def test(value: Any) -> bool:
        if only_text and type(value) is str:
            return (word(value) if words else value) in wanted
        return any(single(value) for single in singles)

    return test


def _single(kind: str, lookup: str, wanted: Any) -> Test:
    """Return the test of one element against one value."""
    if lookup in _ORDERINGS:
        return _ordering(kind, _ORDERINGS[lookup], wanted)
    if lookup == "cidr":
        return _cidr(wanted)
    if lookup == "regex":
        return _regex(wanted)
    if lookup != "exact":
        return _text(lookup, wanted)
    if wanted is None:
        return lambda value: False  # emptiness is tested on the whole value, not on elements
    if kind in ("word", "severity"):
        usual = word(wanted)
        return lambda value: _as_text(value) is not None and word(value) == usual
    if kind == "ip":
        address = _address(wanted)
        if address is not None:
            return lambda value: _address(value) == address
    if kind == "time":
        moment = _moment_or_fail(wanted)
        return lambda value: _moment(value) == moment
    return lambda value: _equal(value, wanted)


def _equal(value: Any, wanted: Any) -> bool:
    """Compare as they are, or as text where the types differ: payloads quote numbers at will."""
    if type(value) is type(wanted):
        return bool(value == wanted)
    if _is_number(value) and _is_number(wanted):
        return bool(value == wanted)
    text = _as_text(value)
    return text is not None and text == _as_text(wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_text(value: Any) -> str | None:
    """Return a scalar as text the way JSON writes it; None for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        try:
            return str(value)
        except ValueError:  # an integer of thousands of digits
            return None
    if value is None or isinstance(value, dict | list | tuple | set | frozenset | bytes):
        return None
    try:
        return str(value)  # UUID, datetime, an address object
    except Exception:
        return None


_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "iexact": lambda text, wanted: text == wanted,
    "contains": lambda text, wanted: wanted in text,
    "icontains": lambda text, wanted: wanted in text,
    "startswith": lambda text, wanted: text.startswith(wanted),
    "endswith": lambda text, wanted: text.endswith(wanted),
}


def _text(lookup: str, wanted: Any) -> Test:
    compare = _TEXT_TESTS[lookup]
    fold = lookup in ("iexact", "icontains")
    target = str(wanted).casefold() if fold else str(wanted)

    def test(value: Any) -> bool:
        text = _as_text(value)
        if text is None:
            return False
        return compare(text.casefold() if fold else text, target)

    return test


def _regex(pattern: str) -> Test:
    # Linear time on hostile text. Imported by those who use it only: authors' tests start faster.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"not a pattern RE2 understands ({_reason(error)})") from None

    def test(value: Any) -> bool:
        text = _as_text(value)
        if text is None:
            return False
        # RE2 works on UTF-8, which has no place for the lone surrogates JSON can spell.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        return compiled.search(clean) is not None

    return test


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(value: Any) -> _Address | None:
    if isinstance(value, str):
        try:
            address = ipaddress.ip_address(value.strip())
        except ValueError:
            return None
    elif isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        address = value
    else:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def _cidr(wanted: str) -> Test:
    try:
        network = ipaddress.ip_network(wanted.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{wanted!r} is not a network such as '10.0.0.0/8'") from None

    def test(value: Any) -> bool:
        address = _address(value)
        return address is not None and address in network

    return test


_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
}


def _ordering(kind: str, compare: Callable[[Any, Any], bool], wanted: Any) -> Test:
    if kind == "severity":
        rank = _RANK[wanted]

        def by_rank(value: Any) -> bool:
            own = _RANK.get(word(value)) if isinstance(value, str) else None
            return own is not None and compare(own, rank)

        return by_rank
    if kind != "time" and (number := _number(wanted)) is not None:

        def by_number(value: Any) -> bool:
            own = _number(value)
            return own is not None and bool(compare(own, number))

        return by_number
    if kind == "number":
        raise ValueError(f"{wanted!r} is not a number")
    moment = _moment_or_fail(wanted)

    def by_time(value: Any) -> bool:
        own = _moment(value)
        return own is not None and compare(own, moment)

    return by_time


def _number(value: Any) -> int | float | None:
    if _is_number(value):
        number: int | float = value
        return number
    if isinstance(value, str) and len(value) < 64:
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _moment(value: Any) -> datetime | None:
    """Return a moment with its zone; one without is taken as UTC, as everything we store is."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _moment_or_fail(wanted: Any) -> datetime:
    moment = _moment(wanted)
    if moment is None:
        raise ValueError(f"{wanted!r} is neither a number nor a date such as '2026-05-01T08:00Z'")
    return moment
