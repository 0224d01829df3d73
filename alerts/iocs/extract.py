"""Observables of a whole payload, and of pasted text."""

from __future__ import annotations

from typing import Any, NamedTuple

from alerts.iocs.hints import Hint, hint_for
from alerts.iocs.hosts import UNSPECIFIED, is_internal
from alerts.iocs.text import MAX_CANDIDATES, Scan, worth_scanning
from alerts.iocs.values import CANONICAL, HASH_TYPES, MAX_VALUE, ObservableValue
from alerts.jsonwalk import Leaf, Walk, clean, walk

MAX_STRING = 65_536
"""Characters read of one string."""
MAX_TEXT = 262_144
"""Characters read of one payload or pasted text."""

# Words that stand for "nothing" where a name is expected.
PLACEHOLDERS = frozenset(
    {
        "-",
        "--",
        "?",
        "*",
        "n/a",
        "na",
        "none",
        "null",
        "nil",
        "unknown",
        "<unknown>",
        "undefined",
        "(null)",
        "(none)",
    }
)
"""Words, in lower case, that stand for "nothing" where a name is expected."""
_HIVES = ("HKEY_", "HKLM\\", "HKCU\\", "HKCR\\", "HKCC\\")


class Extraction(NamedTuple):
    """What a payload or text mentions."""

    observables: tuple[ObservableValue, ...]
    notes: tuple[str, ...] = ()
    """What was cut or left out, one sentence each."""

    @property
    def truncated(self) -> bool:
        """Whether something may be missing."""
        return bool(self.notes)


def extract(payload: dict[str, Any], *, limit: int = 200) -> Extraction:
    """Typed observables in any string of ``payload``, shallow fields first, each value once.

    Never raises for a JSON object, and takes time linear in its size up to fixed caps. Process names and command lines
    are context rather than indicators and become observables only by hand.
    """
    visited = walk(payload)
    found = extract_walk(visited, limit=limit)
    return Extraction(found.observables, visited.notes + found.notes)


def extract_walk(visited: Walk, *, limit: int = 200) -> Extraction:
    """:func:`extract` for a payload that was walked already."""
    collector = _Collector(limit)
    for leaf in visited.leaves:
        if collector.full:
            break
        value = leaf.value
        if type(value) is str:
            collector.read_string(leaf, value)
        elif type(value) is int and value > 0:
            collector.read_number(leaf, value)
    return collector.result()


def parse_text(text: str, *, limit: int = 1000) -> list[ObservableValue]:
    """What a person's pasted text mentions, for the page that previews it. File names and registry keys included."""
    collector = _Collector(limit)
    for line in text[:MAX_TEXT].splitlines():
        line = line.strip()
        if line[:5].upper() in _HIVES and collector.take("registry_key", line, ""):
            continue
        collector.scan(line, "", Hint(), filenames=True)
        if collector.full:
            break
    return list(collector.result().observables)


class _Collector:
    """Observables being gathered, each (type, value) once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.found: dict[tuple[str, str], str] = {}
        self.notes: dict[str, None] = {}
        self.characters = MAX_TEXT
        self.candidates = MAX_CANDIDATES
        self.full = False

    def add(self, type: str, value: str, field: str) -> None:
        if (type, value) in self.found:
            return
        if len(self.found) >= self.limit:
            self.full = True
            self.notes[f"more than {self.limit} observables; the first {self.limit} are kept"] = None
            return
        self.found[type, value] = field

    def read_string(self, leaf: Leaf, value: str) -> None:
        hint = hint_for(leaf.folded)
        if hint.type is not None and self.take(hint.type, value, leaf.path):
            # A URL names its host as well.
            if hint.type != "url":
                return
        elif not hint.scan and hint.type not in ("hostname", "filename", "path"):
            return
        if len(value) < 4 or not worth_scanning(value):
            return
        if len(value) > MAX_STRING or len(value) > self.characters:
            value = value[: min(MAX_STRING, self.characters)]
            self.notes[
                f"text beyond {MAX_STRING} characters of a field or {MAX_TEXT} of an alert was not read"
            ] = None
        self.characters -= len(value)
        self.scan(value, leaf.path, hint)

    def read_number(self, leaf: Leaf, value: int) -> None:
        kind = hint_for(leaf.folded).type
        if kind == "asn":
            self.take("asn", str(value), leaf.path)
        elif kind == "ip" and (address := address_of_number(value)):
            self.add("ip", address, leaf.path)

    def take(self, kind: str, value: str, field: str) -> bool:
        """Whether the whole ``value`` was taken as what its field promises."""
        text = clean(value.strip()) if len(value) <= MAX_VALUE else ""
        if not text or text.lower() in PLACEHOLDERS:
            return False
        if kind == "hash":
            kind = HASH_TYPES.get(len(text), "other")
            if kind == "other":
                return False
        elif kind == "path" and "/" not in text and "\\" not in text:
            kind = "filename"
        elif kind == "filename" and ("/" in text or "\\" in text):
            kind = "path"
        elif kind == "username":
            if len(text) >= 10 and text.isdigit():  # the number of a cloud account
                return False
            if "@" in text and self.take("email", text, field):
                return True
        elif kind == "hostname":
            text = without_port(text)
        try:
            plain = CANONICAL[kind](text)
        except ValueError:
            return False
        if plain not in UNSPECIFIED:
            self.add(kind, plain, field)
        return True

    def scan(self, text: str, field: str, hint: Hint, *, filenames: bool = False) -> None:
        reading = Scan(
            text,
            hashes=hint.hashes,
            addresses=hint.addresses,
            domains=hint.domains,
            filenames=filenames,
            budget=self.candidates,
        )
        for kind, value in reading.results():
            self.add(kind, value, field)
            if self.full:
                break
        self.candidates = reading.budget
        for note in reading.left_out:
            self.notes[note] = None

    def result(self) -> Extraction:
        found = self.found
        observables = tuple(
            ObservableValue(kind, value, clean(field), is_internal(kind, value))
            for (kind, value), field in found.items()
            # A machine of ours named in running text is no domain of its own.
            if kind != "domain" or ("hostname", value) not in found
        )
        return Extraction(observables, tuple(self.notes))


def without_port(text: str) -> str:
    """``web1:9100`` → ``web1``."""
    name, _, port = text.partition(":")
    return name if port.isdecimal() and len(port) <= 5 else text


def address_of_number(value: int) -> str | None:
    """``16909060`` → ``1.2.3.4``: some products send addresses as numbers. None outside 1.0.0.0 to 255.255.255.254."""
    if not 1 << 24 <= value < (1 << 32) - 1:
        return None
    return ".".join(map(str, value.to_bytes(4, "big")))
