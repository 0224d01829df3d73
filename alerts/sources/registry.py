"""What a source tells about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from alerts.sources.base import NormalisedAlert
from alerts.sources.severity import Severities

type Normaliser = Callable[..., NormalisedAlert]
"""``normalise(payload, severities=SOURCE.severities) -> NormalisedAlert``: pure, and never raises for a JSON object."""

_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Sign:
    """What tells a product's payloads from others, and how surely.

    ``has`` are keys (dotted paths, as written, flat or nested) that must all be there; ``is`` in a path names a value:
    ``source=aws.guardduty``; ``=~`` its beginning: ``detail-type=~GuardDuty``.
    """

    has: tuple[str, ...]
    confidence: float
    """0 to 1. From 0.99 on nothing else is looked for; two sources must not claim one payload equally."""
    _tests: tuple[tuple[str, tuple[str, ...], str, str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tests", tuple(map(_test, self.has)))

    def is_in(self, payload: dict[str, Any]) -> bool:
        """Whether ``payload`` bears this sign; walks none of the rest of it."""
        return all(_passes(payload, *test) for test in self._tests)


def sign(has: str, confidence: float) -> Sign:
    """The sign of a payload that has all of ``has``, separated by blanks."""
    return Sign(tuple(has.split()), confidence)


@dataclass(frozen=True, slots=True)
class Source:
    """A product whose alerts have a normaliser of their own."""

    slug: str
    product: str
    """As its vendor calls it: ``Elastic Security``."""
    signs: tuple[Sign, ...]
    """None: only by the name in the address."""
    severities: Severities


def _test(condition: str) -> tuple[str, tuple[str, ...], str, str]:
    path, equals, value = condition.partition("=")
    how = "prefix" if value.startswith("~") else "equal" if equals else ""
    return path, tuple(path.split(".")), how, value.removeprefix("~")


def _passes(payload: dict[str, Any], path: str, parts: tuple[str, ...], how: str, expected: str) -> bool:
    value: Any = payload.get(path, _NOTHING)
    if value is _NOTHING:
        value = payload
        for part in parts:
            if type(value) is list and value:
                value = value[0]
            if type(value) is not dict:
                return False
            value = value.get(part, _NOTHING)
    if value is _NOTHING or value is None:
        return False
    if not how:
        return True
    return type(value) is str and (value == expected if how == "equal" else value.startswith(expected))
