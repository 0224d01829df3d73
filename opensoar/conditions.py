"""The one condition language: which alerts, incidents or observables a playbook, a view or a suppression means.

``{"severity": ["high", "critical"], "source_ip__cidr": "10.0.0.0/8", "not_hostname": "kiosk-1"}``

* A key is ``[not_]field[__path…][__lookup]``; different keys must all hold.
* A list of values means any of them. A field that holds a list (``tags``) matches when any of its
  elements does, so two lists match when they overlap; ``tags__all`` asks for every value.
* ``raw__process__name`` walks into the payload (also ``normalized__…``, ``iocs__…``): a step is a
  key, a flat key with dots (``"process.name"``), an index of a list, or else every element of it.
* ``severity``, ``status``, ``determination`` and ``source`` compare without regard to case;
  ``severity__gte`` and its kin compare by rank.
* ``not_`` negates the whole key, so ``not_hostname="a"`` also holds where there is no hostname.

Alerts, incidents and observables have fields of their own (:data:`SUBJECTS`); the language is one.

Pure Python, importable without settings. The predicate is exact and never raises, whatever the
alert contains; ``alerts/matching.py`` derives a prefilter in SQL from the same terms.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opensoar import condition_lookups as lookups
from opensoar.condition_fields import FIELDS, SUBJECTS, Subject

__all__ = ["FIELDS", "SUBJECTS", "Condition", "ConditionError", "Subject", "Term", "nearest", "parse"]


class ConditionError(ValueError):
    """A condition that cannot mean anything; the message says what would."""


_EQUAL = ("exact", "in", "isnull")
_ORDER = ("gte", "gt", "lte", "lt")
_TEXT = ("iexact", "contains", "icontains", "startswith", "endswith", "regex")
#: kind -> lookups it knows
LOOKUPS: Mapping[str, tuple[str, ...]] = {
    "text": (*_EQUAL, *_TEXT),
    "word": (*_EQUAL, *_TEXT),
    "severity": (*_EQUAL, *_ORDER, "iexact"),
    "ip": (*_EQUAL, "cidr", *_TEXT),
    "list": (*_EQUAL, *_TEXT, "all", "overlap"),
    "number": (*_EQUAL, *_ORDER),
    "time": (*_EQUAL, *_ORDER),
    "flag": _EQUAL,
    "path": (*_EQUAL, *_ORDER, *_TEXT, "cidr", "all", "overlap"),
}
_EVERY_LOOKUP = frozenset(name for names in LOOKUPS.values() for name in names)
_ONE_VALUE = frozenset({*_ORDER, "isnull"})
_MAX_STEPS = 16


@dataclass(frozen=True)
class Term:
    """One key of a condition with its values.

    Attributes:
        key: as it was written.
        path: steps into the field's value; empty for a plain field.
        values: what was asked for, always a tuple; `listed` tells whether it was a list.
    """

    key: str
    field: str
    kind: str
    path: tuple[str, ...]
    lookup: str
    negated: bool
    values: tuple[Any, ...]
    listed: bool
    test: Callable[[Any], bool] = dataclasses.field(compare=False, repr=False)

    def matches(self, subject: Mapping[str, Any]) -> bool:
        name = "raw_payload" if self.field == "raw" else self.field
        value = subject.get(name)
        if self.path:
            value = lookups.walk(value, self.path)
        return self.test(value) is not self.negated

    def to_json(self) -> Any:
        values = [v.isoformat() if isinstance(v, datetime) else v for v in self.values]
        return values if self.listed else values[0]


@dataclass(frozen=True)
class Condition:
    """What :func:`parse` returns: terms that must all hold. No terms match everything."""

    terms: tuple[Term, ...] = ()

    def matches(self, subject: Mapping[str, Any]) -> bool:
        """Tell whether ``subject`` meets the condition.

        Args:
            subject: the fields by name, an alert's payload under ``"raw_payload"``. A field that
                is absent counts as empty.
        """
        return all(term.matches(subject) for term in self.terms)

    def to_json(self) -> dict[str, Any]:
        """Return the condition in JSON types; ``parse(c.to_json()) == c``."""
        return {term.key: term.to_json() for term in self.terms}


def parse(conditions: Mapping[str, Any] | None, subject: str = "alert") -> Condition:
    """Check a condition and make it ready to match.

    Args:
        subject: what it is about, a key of :data:`SUBJECTS`.

    Raises:
        ConditionError: a field, lookup or value that does not exist, with the nearest that does.
    """
    if conditions is None:
        return Condition()
    if not isinstance(conditions, Mapping):
        raise ConditionError(
            f"conditions must be a mapping such as {{'severity': ['critical']}}, "
            f"not {type(conditions).__name__}"
        )
    about = SUBJECTS[subject]
    return Condition(tuple(_term(about, key, value) for key, value in conditions.items()))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known word, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _term(about: Subject, key: object, raw: Any) -> Term:
    if not isinstance(key, str):
        raise ConditionError(f"a condition's key must be a string, not {key!r}")
    negated = key.startswith("not_")
    name, *steps = key.removeprefix("not_").split("__")
    if name not in about.fields:
        known = [field for field in about.fields if field != "raw_payload"]
        raise ConditionError(
            f"condition {key!r}: unknown field {name!r}{nearest(name, known)}. "
            f"Known fields: {', '.join(known)}"
        )
    kind = about.fields[name]
    path, lookup = _split(key, name, kind, steps)
    values, listed = _values(about, key, lookup, raw)
    values = _checked(about, key, name, kind, lookup, values)
    test = _compile(key, kind, lookup, values)
    return Term(key, name, kind, path, lookup, negated, values, listed, test)


def _split(key: str, name: str, kind: str, steps: list[str]) -> tuple[tuple[str, ...], str]:
    """Tell the steps of a path from the lookup at its end."""
    if kind != "path":
        lookup = "__".join(steps) or "exact"
        if lookup not in LOOKUPS[kind]:
            raise ConditionError(
                f"condition {key!r}: {name} has no lookup {lookup!r}"
                f"{nearest(lookup, LOOKUPS[kind])}. It has: {', '.join(LOOKUPS[kind])}"
            )
        return (), lookup
    lookup = steps.pop() if steps and steps[-1] in _EVERY_LOOKUP else "exact"
    # "raw__kibana.alert.severity" means the same as "raw__kibana__alert__severity".
    path = tuple(part for step in steps for part in step.split("."))
    if not path and lookup != "isnull":
        raise ConditionError(
            f"condition {key!r}: {name} holds an object; name what lies in it, such as {name}__process__name"
        )
    if len(path) > _MAX_STEPS or not all(path):
        raise ConditionError(f"condition {key!r}: a path has 1 to {_MAX_STEPS} non-empty steps")
    return path, lookup


def _values(about: Subject, key: str, lookup: str, raw: Any) -> tuple[tuple[Any, ...], bool]:
    """Return the values asked for and whether they were given as a list."""
    if isinstance(raw, set | frozenset):
        raw = sorted(raw, key=repr)
    listed = isinstance(raw, list | tuple)
    values = tuple(raw) if listed else (raw,)
    if listed and lookup in _ONE_VALUE:
        raise ConditionError(f"condition {key!r}: {lookup} takes one value, not a list")
    if not listed and lookup in ("in", "all", "overlap"):
        raise ConditionError(f"condition {key!r}: {lookup} takes a list of values")
    if not values and lookup == "all":
        raise ConditionError(f"condition {key!r}: all takes at least one value")
    for value in values:
        if value is not None and not isinstance(value, str | int | float | bool | datetime):
            raise ConditionError(
                f"condition {key!r}: a value is text, a number, a date, true, false or none, "
                f"not {type(value).__name__}"
            )
        if not _storable(value):
            raise ConditionError(f"condition {key!r}: {value!r} is in no {about.noun}")
    return values, listed


def _storable(value: Any) -> bool:
    """Conditions are kept as JSON in the database, which has no NaN, NUL or half characters."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
    return True


def _checked(
    about: Subject, key: str, name: str, kind: str, lookup: str, values: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Check the values against what the field can hold, and put them into their usual form."""
    if lookup == "isnull":
        if not isinstance(values[0], bool):
            raise ConditionError(f"condition {key!r}: isnull takes true or false")
        return values
    if lookup in (*_TEXT, "cidr") and not all(isinstance(value, str) for value in values):
        raise ConditionError(f"condition {key!r}: {lookup} compares text")
    if kind == "flag" and not all(isinstance(value, bool | None) for value in values):
        raise ConditionError(f"condition {key!r}: {name} is true or false")
    choices = about.choices.get(name)
    if choices is None or lookup not in ("exact", "iexact", "in", *_ORDER):
        return values
    if lookup in _ORDER and values[0] is None:
        raise ConditionError(f"condition {key!r}: {lookup} takes one of {', '.join(choices)}")
    words = tuple(v if v is None else lookups.word(v) for v in values)
    for word in words:
        if word is not None and word not in choices:
            raise ConditionError(
                f"condition {key!r}: {name} is never {word!r}{nearest(word, choices)}. "
                f"It is one of: {', '.join(choices)}"
            )
    return words


def _compile(key: str, kind: str, lookup: str, values: tuple[Any, ...]) -> Callable[[Any], bool]:
    try:
        return lookups.compile_test(kind, lookup, values)
    except ValueError as error:
        raise ConditionError(f"condition {key!r}: {error}") from None
