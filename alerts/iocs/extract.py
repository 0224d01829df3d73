"""Observables of a whole payload, and of pasted text."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from alerts.iocs.candidates import worth_scanning
from alerts.iocs.hints import NOTHING, Hint, hint_for
from alerts.iocs.hosts import UNSPECIFIED, is_internal
from alerts.iocs.pasted import drive_path, registry_keys
from alerts.iocs.text import MAX_CANDIDATES, Scan
from alerts.iocs.values import CANONICAL, HASH_TYPES, MAX_VALUE, ObservableValue
from alerts.jsonwalk import MAX_DEPTH, MAX_NODES, MAX_PATH, Leaf, Walk, clean, walk

MAX_STRING = 65_536
"""Characters read of one string."""
MAX_TEXT = 262_144
"""Characters read of one payload or pasted text."""

MAX_ENCODED = 262_144
"""Characters of a string that is read as the JSON in it."""
_JSON_BEGINS = frozenset("{[ \r\n\t")
_JSON_ENDS = frozenset("}] \r\n\t")

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
    collector.read(visited.leaves)
    return collector.result()


def parse_text(text: str, *, limit: int = 1000) -> Extraction:
    """What a person's pasted text mentions, for the page that previews it. File names and registry keys included."""
    collector = _Collector(limit)
    if len(text) > MAX_TEXT:
        collector.notes[f"text beyond {MAX_TEXT} characters was not read"] = None
    for line in text[:MAX_TEXT].splitlines():
        keys, line = registry_keys(line.strip())
        for key in keys:
            collector.add("registry_key", key, "")
        if path := drive_path(line):
            collector.add("path", path, "")
        if len(line) > 3 or ":" in line:
            collector.scan(line, "", Hint(), filenames=True)
        if collector.full:
            break
    return collector.result()


class _Collector:
    """Observables being gathered, each (type, value) once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.found: dict[tuple[str, str], str] = {}
        self.notes: dict[str, None] = {}
        self.characters = MAX_TEXT
        self.candidates = MAX_CANDIDATES
        self.encoded_values = MAX_NODES
        self.full = False

    def add(self, type: str, value: str, field: str) -> None:
        if (type, value) in self.found:
            return
        if len(self.found) >= self.limit:
            self.full = True
            self.notes[f"more than {self.limit} observables; the first {self.limit} are kept"] = None
            return
        self.found[type, value] = field

    def read(self, leaves: list[Leaf], *, encoded: bool = False) -> None:
        """Read ``leaves``; those of an ``encoded`` string are not decoded again."""
        for leaf in leaves:
            if self.full:
                break
            value = leaf.value
            if type(value) is str:
                if value[:1] in _JSON_BEGINS and not encoded and self.read_encoded(leaf, value):
                    continue
                self.read_string(leaf, value)
            elif type(value) is int and value > 0:
                self.read_number(leaf, value)

    def read_encoded(self, leaf: Leaf, value: str) -> bool:
        """Whether the string was JSON: then it is read as if it stood there, once, with its own names as hints."""
        if len(value) < 4 or value[-1:] not in _JSON_ENDS or self.encoded_values <= 0:
            return False
        if len(value) > MAX_ENCODED:
            self.notes[f"JSON in a text of more than {MAX_ENCODED} characters was read as text"] = None
            return False
        if hint_for(leaf.folded) is NOTHING:
            return True
        try:
            inner = orjson.loads(value)
        except (ValueError, RecursionError):
            return False
        if type(inner) is not dict and type(inner) is not list:
            return False
        above, _, key = leaf.path.rpartition(".")
        folded_above = leaf.folded.rpartition(".")[0]
        found = walk({key: inner}, limit=self.encoded_values)
        self.encoded_values -= len(found.leaves)
        if found.notes or self.encoded_values <= 0:
            self.notes[
                f"values beyond the first {MAX_NODES} of encoded JSON, or {MAX_DEPTH} levels of it, were not read"
            ] = None
        prefix, folded_prefix = above and f"{above}.", folded_above and f"{folded_above}."
        leaves = [
            Leaf(f"{prefix}{one.path}"[:MAX_PATH], folded_prefix + one.folded, one.value)
            for one in found.leaves
        ]
        self.read(leaves, encoded=True)
        return True

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
