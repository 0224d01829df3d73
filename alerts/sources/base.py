"""What every source's normaliser gives back, and the checked reader it reads untrusted JSON with."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from alerts.iocs import ObservableValue
from alerts.iocs.extract import PLACEHOLDERS, address_of_number
from alerts.iocs.hosts import UNSPECIFIED, canonical_ip
from alerts.jsonwalk import Walk, clean, fold, walk
from alerts.sources.times import parse_time

MAX_TITLE = 500
MAX_RULE = 500
MAX_DESCRIPTION = 20_000
MAX_SOURCE = 50
MAX_SOURCE_ID = 500
MAX_NAME = 255
MAX_GROUP_KEY = 255
MAX_PARTNER = 100
MAX_URL = 2048
MAX_TAG = 100
MAX_TAGS = 50
MAX_TECHNIQUES = 50

# Parents that speak of the other side of a connection: http.hostname is no machine of ours.
_REMOTE = (["http"], ["tls"], ["url"], ["dns"], ["request"], ["response"])
# Text in a place where an object stands instead: {"organization": {"name": "Acme"}}.
_NAME_KEYS = ("name", "title", "displayName", "display_name", "slug", "label", "text", "value")
_TECHNIQUE = re.compile(r"(?<![A-Za-z0-9])[Tt]([0-9]{4})(?:\.([0-9]{3}))?(?![0-9A-Za-z])")


@dataclass(frozen=True, slots=True)
class NormalisedAlert:
    """One alert in our words. Every text is free of NUL and lone surrogates and fits its column."""

    title: str
    severity: str
    """informational, low, medium, high or critical."""
    source_id: str | None = None
    """The vendor's id: two deliveries with one id are one alert."""
    description: str | None = None
    source_ip: str | None = None
    dest_ip: str | None = None
    hostname: str | None = None
    username: str | None = None
    rule_name: str | None = None
    rule_id: str | None = None
    tags: tuple[str, ...] = ()
    event_at: datetime | None = None
    """When it happened at the source; aware."""
    techniques: tuple[str, ...] = ()
    """ATT&CK ids: ``T1059.001``."""
    group_key: str | None = None
    """What the vendor groups alerts by."""
    vendor_url: str | None = None
    source: str | None = None
    """The payload's own word for its source."""
    partner: str | None = None
    """The customer the payload names, as written."""
    determination: str | None = None
    resolved: bool = False
    """The source says that it is over."""
    only_closes: bool = False
    """It says no more than that: without the alert it is about, it is none."""
    observables: tuple[ObservableValue, ...] = ()
    iocs: dict[str, list[str]] = field(default_factory=dict)
    """The public groups: ``ips domains urls hashes emails …``."""
    normalized: dict[str, Any] = field(default_factory=dict)
    """JSON-safe copy of what was recognised."""
    notes: tuple[str, ...] = ()
    """What was cut, coerced or ignored, one sentence each."""


@lru_cache(maxsize=1024)
def _fold_all(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(fold, paths))


class Reader:
    """A payload that may hold anything: every method gives a value of the promised type, or None, and never raises.

    Paths are dotted names as the vendor writes them. They match whether the payload nests them or writes them as one
    flat key, in any spelling that folds alike (``src_ip``, ``srcIp``), and reach through lists to the first element.
    """

    __slots__ = ("_tails", "notes", "walk")

    def __init__(self, payload: dict[str, Any]) -> None:
        self.walk: Walk = walk(payload)
        self.notes: list[str] = list(self.walk.notes)
        self._tails: dict[str, Any] | None = None

    def note(self, text: str) -> None:
        """Say something about this payload, once."""
        text = clean(text)
        if text not in self.notes:
            self.notes.append(text)

    def raw(self, *paths: str) -> Any:
        """The first value that is not null, of whatever type."""
        nodes = self.walk.nodes
        for path in paths:
            value = nodes.get(fold(path))
            if value is not None:
                return value
        return None

    def has(self, path: str) -> bool:
        """Whether there is something other than null at ``path``."""
        return self.walk.nodes.get(fold(path)) is not None

    def values(self, paths: tuple[str, ...], tails: tuple[str, ...] = ()) -> Iterable[tuple[str, Any]]:
        """Every non-null value at ``paths``, then those whose path ends in one of ``tails``, at any depth."""
        nodes = self.walk.nodes
        for path in _fold_all(paths):
            value = nodes.get(path)
            if value is not None:
                yield path, value
        for tail in _fold_all(tails):
            value = self.tails().get(tail)
            if value is not None:
                yield tail, value

    def tails(self) -> dict[str, Any]:
        """The first value for each last name and each last pair of names. Built when first asked for."""
        if self._tails is None:
            tails: dict[str, Any] = {}
            for path, value in self.walk.nodes.items():
                if value is not None:
                    parts = path.rsplit(".", 2)
                    if parts[-2:-1] not in _REMOTE:
                        tails.setdefault(parts[-1], value)
                    tails.setdefault(".".join(parts[-2:]), value)
            self._tails = tails
        return self._tails

    def every(self, *paths: str) -> list[Any]:
        """Every scalar at ``paths``, also those in the second and later elements of lists, in the payload's order."""
        wanted = frozenset(_fold_all(paths))
        return [leaf.value for leaf in self.walk.leaves if leaf.folded in wanted and leaf.value is not None]

    def text(self, name: str, paths: tuple[str, ...], limit: int, tails: tuple[str, ...] = ()) -> str | None:
        """The first usable text at ``paths``. Numbers are written out, longer texts cut at ``limit`` with a note."""
        text = self.whole_text(paths, tails)
        return None if text is None else self.cut(name, text, limit)

    def whole_text(self, paths: tuple[str, ...], tails: tuple[str, ...] = ()) -> str | None:
        """The first usable text at ``paths``, of any length."""
        ignored = None
        for path, value in self.values(paths, tails):
            text = self.as_text(path, value)
            if text is not None:
                return text
            if type(value) is dict:
                ignored = ignored or path
        if ignored is not None:
            self.note(f"{ignored} is an object without a name; ignored")
        return None

    def as_text(self, path: str, value: Any) -> str | None:
        """``value`` as text: of a list the first, of an object its name. None when there is none."""
        if type(value) is list:
            value = next((item for item in value if item is not None), None)
        if type(value) is dict:
            value = next((value[key] for key in _NAME_KEYS if _scalar(value.get(key))), None)
        if type(value) is str:
            text = clean(value).strip()
            return text if text and text.lower() not in PLACEHOLDERS else None
        if type(value) is float:
            return str(int(value)) if value.is_integer() else str(value)
        if type(value) is int:
            try:
                return str(value)
            except ValueError:  # Python refuses to write out thousands of digits
                self.note(f"{path} is a number too long to write out; ignored")
        return None

    def cut(self, name: str, text: str, limit: int) -> str:
        """``text``, at most ``limit`` characters, with a note when it was longer."""
        if len(text) <= limit:
            return text
        self.note(f"{name} cut at {limit} characters")
        return text[: limit - 1] + "…"

    def key(self, name: str, text: str, limit: int) -> str:
        """``text`` as an identity of at most ``limit`` characters: cut ones get a digest, so that none become equal."""
        if len(text) <= limit:
            return text
        self.note(f"{name} of {len(text)} characters shortened")
        return text[: limit - 65] + ":" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()

    def address(self, name: str, paths: tuple[str, ...], tails: tuple[str, ...] = ()) -> str | None:
        """The first IP address at ``paths``: text, a number (16909060), or a list of either."""
        for path, value in self.values(paths, tails):
            items = value if type(value) is list else [value]
            for item in items[:100]:
                address = _address(item)
                if address is not None:
                    if len(items) > 1:
                        self.note(f"{path} lists {len(items)} values; {name} is the first address")
                    return address
        return None

    def time(self, paths: tuple[str, ...], tails: tuple[str, ...] = ()) -> datetime | None:
        """The first readable time at ``paths``; see :func:`alerts.sources.times.parse_time`."""
        for path, value in self.values(paths, tails):
            item = value[0] if type(value) is list and value else value
            if type(item) not in (str, int, float):
                continue
            moment, note = parse_time(item)
            if note:
                self.note(f"{path}: {note}")
            if moment is not None:
                return moment
        return None

    def strings(self, name: str, paths: tuple[str, ...], limit: int, count: int) -> tuple[str, ...]:
        """Texts at ``paths``, each once: of lists, of ``"a, b"``, and ``env:prod`` of ``{"env": "prod"}``."""
        found: dict[str, None] = {}
        for path, value in self.values(paths):
            for text in self._pieces(path, value):
                if len(found) >= count:
                    self.note(f"only the first {count} {name} are kept")
                    return tuple(found)
                found[self.cut(f"a value of {name}", text, limit)] = None
        return tuple(found)

    def _pieces(self, path: str, value: Any) -> Iterable[str]:
        if type(value) is str:
            yield from filter(None, (piece.strip() for piece in clean(value)[:MAX_DESCRIPTION].split(",")))
        elif type(value) is dict:
            for key, item in value.items():
                if _scalar(item):
                    yield clean(f"{key}:{item}".strip())
        else:
            for item in value if type(value) is list else [value]:
                text = self.as_text(path, item) if item is not None else None
                if text:
                    yield text


def _scalar(value: Any) -> bool:
    if type(value) is int:
        return -(10**40) < value < 10**40
    return type(value) is float or (type(value) is str and bool(value.strip()))


def _address(value: Any) -> str | None:
    if type(value) is int:
        return address_of_number(value)
    if type(value) is not str or not 2 < len(value) <= 200:
        return None
    text = value.partition(",")[0].strip()
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = canonical_ip(text)
    except ValueError:
        return None
    return None if address in UNSPECIFIED else address


def techniques_in(texts: Iterable[str]) -> tuple[str, ...]:
    """ATT&CK technique ids in ``texts``, each once: ``T1059.001 PowerShell``, ``attack.t1059``."""
    found: dict[str, None] = {}
    for text in texts:
        for number, part in _TECHNIQUE.findall(text[:1000]):
            if len(number) == 4:
                found[f"T{number}.{part}" if part else f"T{number}"] = None
    return tuple(found)[:MAX_TECHNIQUES]
