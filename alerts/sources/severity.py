"""Severities: every scale is written down here, none is guessed from a number alone when its field says which it is.

| Scale | Values |
|---|---|
| words | see ``_WORDS`` |
| 0-10 (CVSS, GuardDuty, CEF, numbers up to 10) | 0 informational, below 4 low, 7 medium, 9 high, else critical |
| 0-100 (risk scores, numbers above 10) | 0 informational, to 21 low, to 47 medium, to 73 high, to 100 critical |
| P/S/SEV 0-5, ITIL priority | 0 and 1 critical, 2 high, 3 medium, 4 low, 5 informational |
| Wazuh ``rule.level`` 0-15 | to 3 informational, to 6 low, to 11 medium, to 14 high, then critical |
| Suricata ``alert.severity`` | 1 high, 2 medium, 3 low, then informational |
| TheHive (a ``severity`` beside ``sourceRef``) | 1 low, 2 medium, 3 high, 4 critical |
| OCSF ``severity_id`` | 1 informational, 2 low, 3 medium, 4 high, 5 critical, 6 critical |
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL = "informational", "low", "medium", "high", "critical"

_WORDS = {
    CRITICAL: "critical crit fatal emergency emerg panic severe alert extreme urgent disaster blocker page",
    HIGH: "high major error err important serious danger",
    MEDIUM: "medium med moderate warning warn average elevated",
    LOW: "low minor notice guarded",
    INFORMATIONAL: "informational information informative info debug trace verbose trivial negligible ok success none",
}
WORDS: dict[str, str] = {word: severity for severity, words in _WORDS.items() for word in words.split()}
"""Word, lower case → severity."""
# Words that only count when they stand alone.
_ALONE = frozenset({"alert", "page", "none", "ok", "success", "med", "major", "minor"})
_NO_SEVERITY = frozenset({"", "unknown", "undefined", "unspecified", "null", "n/a", "na", "-", "other"})
_PRIORITY = re.compile(r"(?:p|s|sev|pri|prio|priority|severity)[ _:-]?([0-5])")
_RATIO = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?(?:/ ?(10|100|5)|(%))")
_LETTERS = re.compile(r"[a-z]+")

_PRIORITIES: dict[float, str] = {0: CRITICAL, 1: CRITICAL, 2: HIGH, 3: MEDIUM, 4: LOW, 5: INFORMATIONAL}
_SURICATA: dict[float, str] = {1: HIGH, 2: MEDIUM, 3: LOW}
_THEHIVE: dict[float, str] = {1: LOW, 2: MEDIUM, 3: HIGH, 4: CRITICAL}
_OCSF: dict[float, str] = {1: INFORMATIONAL, 2: LOW, 3: MEDIUM, 4: HIGH, 5: CRITICAL, 6: CRITICAL}

type Scale = Callable[[float], str | None]


def ten(value: float) -> str | None:
    """0 to 10, graver upwards."""
    if not 0 <= value <= 10:
        return None
    if value == 0:
        return INFORMATIONAL
    return LOW if value < 4 else MEDIUM if value < 7 else HIGH if value < 9 else CRITICAL


def hundred(value: float) -> str | None:
    """0 to 100, in Elastic's default bands."""
    if not 0 <= value <= 100:
        return None
    if value == 0:
        return INFORMATIONAL
    return LOW if value < 22 else MEDIUM if value < 48 else HIGH if value < 74 else CRITICAL


def by_size(value: float) -> str | None:
    """A number whose scale nobody names: up to 10 it is on 0-10, above on 0-100."""
    return ten(value) if value <= 10 else hundred(value)


def priority(value: float) -> str | None:
    """1 is the gravest."""
    return _PRIORITIES.get(value)


def wazuh(value: float) -> str | None:
    """Wazuh's rule levels, 0 to 15 (16 in some rule sets)."""
    if not 0 <= value <= 16:
        return None
    return (
        INFORMATIONAL
        if value < 4
        else LOW
        if value < 7
        else MEDIUM
        if value < 12
        else HIGH
        if value < 15
        else CRITICAL
    )


def suricata(value: float) -> str | None:
    """Inverted: 1 is the gravest."""
    return _SURICATA.get(value, INFORMATIONAL) if value >= 1 else None


def ocsf(value: float) -> str | None:
    """OCSF ``severity_id``; 0 (unknown) and 99 (other) say nothing."""
    return _OCSF.get(value)


def thehive(value: float) -> str | None:
    """TheHive's 1 to 4."""
    return _THEHIVE.get(value)


@dataclass(frozen=True)
class Severities:
    """What one product's severities mean to us: a source's table in code, which an admin may edit.

    ``entries``: a word (lower case) → severity; a number → the severity *from there up* to the next number, so
    ``{1: HIGH, 2: MEDIUM, 3: LOW}`` is an inverted scale. Numbers below the first or above ``top`` say nothing.
    """

    entries: Mapping[str | float, str]
    top: float = 1e9

    @cached_property
    def _bands(self) -> tuple[list[float], list[str]]:
        bands = sorted((key, word) for key, word in self.entries.items() if not isinstance(key, str))
        return [bound for bound, _ in bands], [word for _, word in bands]

    def knows(self, value: Any) -> bool:
        """Whether the table itself says what ``value`` means."""
        if type(value) is str:
            return value.strip().lower() in self.entries
        return type(value) in (int, float) and self.number(value) is not None

    def number(self, value: float) -> str | None:
        """The severity of a bare number; None when it is not on this scale."""
        bounds, words = self._bands
        if not bounds or not bounds[0] <= value <= self.top:
            return None
        return words[bisect_right(bounds, value) - 1]

    def read(self, value: Any) -> tuple[str | None, str | None]:
        """A severity, or None, and a note when a value was given that says nothing we know. Never raises.

        Words of the table come first, then words that mean the same everywhere (:data:`WORDS`).
        """
        if type(value) is str:
            known = self.entries.get(value.strip().lower())
            if known:
                return known, None
        return read(value, self.number)


def read(value: Any, scale: Scale = by_size) -> tuple[str | None, str | None]:
    """A severity, or None, and a note when a value was given that says nothing we know. Never raises.

    Words count before numbers: ``"High (75)"``, ``"P2"``, ``"8/10"``, ``"7.5"``. ``scale`` reads bare numbers.
    """
    if type(value) is str:
        return _read_text(value.strip().lower(), scale)
    if type(value) is int or type(value) is float:
        if not -1e9 < value < 1e9:
            return None, "severity is a number beyond every scale"
        found = scale(value)
        return found, None if found else f"severity {value} is not on its scale"
    return None, None


def _read_text(text: str, scale: Scale) -> tuple[str | None, str | None]:
    if text in _NO_SEVERITY:
        return None, None
    known = WORDS.get(text)
    if known:
        return known, None
    text = text[:100]
    found = _PRIORITY.fullmatch(text)
    if found:
        return priority(int(found.group(1))), None
    number = _float(text)
    if number is not None:
        known = scale(number)
        return known, None if known else f"severity “{text[:20]}” is not on its scale"
    words = _LETTERS.findall(text)
    if "very" in words and "high" in words:
        return CRITICAL, None
    known = next((WORDS[word] for word in words if word in WORDS and word not in _ALONE), None)
    if known:
        return known, None
    return _read_ratio(text)


def _read_ratio(text: str) -> tuple[str | None, str | None]:
    ratio = _RATIO.fullmatch(text)
    if ratio:
        top = float(ratio.group(2) or 100)
        known = (
            hundred(float(ratio.group(1)) * 100 / top)
            if top == 100
            else ten(float(ratio.group(1)) * 10 / top)
        )
        if known:
            return known, None
    leading = _PRIORITY.match(text)
    if leading and not text[leading.end() : leading.end() + 1].isalnum():
        return priority(int(leading.group(1))), None
    return None, f"severity “{text[:40]}” is not known"


def _float(text: str) -> float | None:
    # float() also takes "1_0", "nan" and digits of other scripts
    digits = text.removeprefix("+").removeprefix("-").replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()) or len(text) > 20:
        return None
    return float(text)
