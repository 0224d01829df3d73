"""How a product's alerts are read: which path holds what. Built-in sources and those made in the admin use the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import orjson

from alerts.iocs import ObservableValue, canonical, extract_walk, make, public_groups
from alerts.iocs.extract import PLACEHOLDERS, Extraction, without_port
from alerts.iocs.hosts import canonical_ip
from alerts.iocs.values import CANONICAL
from alerts.jsonwalk import clean, fold
from alerts.sources import severity
from alerts.sources.base import (
    MAX_DESCRIPTION,
    MAX_GROUP_KEY,
    MAX_NAME,
    MAX_PARTNER,
    MAX_RULE,
    MAX_SOURCE_ID,
    MAX_TAG,
    MAX_TAGS,
    MAX_TITLE,
    MAX_URL,
    NormalisedAlert,
    Reader,
    techniques_in,
)
from alerts.sources.names import has_ended, verdict
from alerts.sources.severity import Severities

_MAX_EMBEDDED = 262_144  # characters of JSON in a string that are still read as JSON


@dataclass(frozen=True)
class Mapping:
    """Paths of a product's payload for each field of an alert, best first, separated by blanks.

    A path is written as the vendor writes it, with dots, without list positions: ``rule.mitre.id`` reaches into every
    element of a list. Spelling, and whether a key is flat or nested, do not matter (see :class:`Reader`).
    """

    source_id: str = ""
    """What tells an alert from all others, and stays when it is sent again."""
    title: str = ""
    description: str = ""
    severity: str = ""
    event_at: str = ""
    source_ip: str = ""
    dest_ip: str = ""
    hostname: str = ""
    username: str = ""
    rule_name: str = ""
    """The rule as people call it."""
    rule_id: str = ""
    """The rule as the product numbers it."""
    tags: str = ""
    techniques: str = ""
    """Where ATT&CK ids stand, alone or within text."""
    group_key: str = ""
    vendor_url: str = ""
    partner: str = ""
    determination: str = ""
    """What it turned out to be, in words such as "false positive"."""
    status: str = ""
    """Its state; words such as "closed" end the alert."""
    process: str = ""
    """Names of processes; they become observables, like the next three."""
    command_line: str = ""
    filename: str = ""
    email: str = ""

    @cached_property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """Field → its paths."""
        return {field.name: tuple(getattr(self, field.name).split()) for field in fields(self)}


def read(reader: Reader, mapping: Mapping, severities: Severities, **found: Any) -> NormalisedAlert:
    """The alert that ``mapping`` finds in a payload. Never raises for what the payload holds.

    ``found`` are fields that the source's own code worked out; they win over the mapping unless they are None.
    Its texts are cut and checked like the payload's. ``observables`` among them are added to what is found by itself.
    """
    paths = mapping.paths

    def text(name: str, limit: int) -> str | None:
        own = found.get(name)
        own = None if own is None else reader.as_text(name, own)
        return reader.cut(name, own, limit) if own else reader.text(name, paths[name], limit)

    def key(name: str, limit: int) -> str | None:
        own = found.get(name)
        value = reader.as_text(name, own) if own is not None else reader.whole_text(paths[name])
        return reader.key(name, value, limit) if value else None

    rule_name = text("rule_name", MAX_RULE) or text("rule_id", MAX_RULE)
    title = one_line(reader, text("title", MAX_DESCRIPTION) or rule_name)
    description = text("description", MAX_DESCRIPTION)
    values: dict[str, Any] = {
        "source_id": key("source_id", MAX_SOURCE_ID),
        "title": title,
        "description": None if description == title else description,
        "severity": _severity(reader, paths["severity"], severities, found.get("severity")),
        "source_ip": found.get("source_ip") or reader.address("source_ip", paths["source_ip"]),
        "dest_ip": found.get("dest_ip") or reader.address("dest_ip", paths["dest_ip"]),
        "hostname": _hostname(reader, found.get("hostname"), paths["hostname"]),
        "username": text("username", MAX_NAME),
        "rule_name": rule_name,
        "rule_id": text("rule_id", MAX_NAME),
        "tags": found.get("tags") or reader.strings("tags", paths["tags"], MAX_TAG, MAX_TAGS),
        "techniques": found.get("techniques") or _techniques(reader, paths["techniques"]),
        "group_key": key("group_key", MAX_GROUP_KEY),
        "vendor_url": web_link(reader, [found.get("vendor_url"), *reader.every(*paths["vendor_url"])]),
        "partner": text("partner", MAX_PARTNER),
        "determination": found.get("determination") or _first(reader, paths["determination"], verdict),
    }
    event_at = found.get("event_at") or reader.time(paths["event_at"])
    own = (*found.get("observables", ()), *_entities(reader, paths))
    over = bool(found.get("resolved") or _first(reader, paths["status"], has_ended))
    only = bool(found.get("only_closes"))
    return finish(reader, values, event_at, own, resolved=over, only_closes=only)


def finish(
    reader: Reader,
    values: dict[str, Any],
    event_at: Any,
    own: tuple[ObservableValue, ...] = (),
    *,
    resolved: bool = False,
    only_closes: bool = False,
) -> NormalisedAlert:
    """The alert of the fields in ``values``, with the observables of the whole payload after those in ``own``."""
    found = extract_walk(reader.walk)
    observables = _each_once(own, found)
    notes = tuple(dict.fromkeys((*reader.notes, *found.notes)))
    normalized = {
        **values,
        "event_at": event_at.isoformat() if event_at else None,
        "resolved": resolved,
        "notes": notes,
    }
    return NormalisedAlert(
        **values,
        event_at=event_at,
        resolved=resolved,
        only_closes=only_closes,
        observables=observables,
        iocs=public_groups(observables),
        normalized={
            name: list(value) if type(value) is tuple else value
            for name, value in normalized.items()
            if value
        },
        notes=notes,
    )


def _each_once(own: tuple[ObservableValue, ...], found: Extraction) -> tuple[ObservableValue, ...]:
    if not own:
        return found.observables
    return tuple({(o.type, o.value): o for o in reversed((*own, *found.observables))}.values())[::-1]


def one_line(reader: Reader, title: str | None) -> str:
    """A title: one printable line, whatever was in it, for it is shown in lists, messages and log lines."""
    if title is None:
        reader.note("no title found")
        return "Untitled alert"
    line = " ".join(title[:MAX_DESCRIPTION].split())
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "\ufffd" for character in line)
    return reader.cut("title", line, MAX_TITLE)


def web_link(reader: Reader, values: list[Any]) -> str | None:
    """The first of ``values`` that is a web address a page may link to."""
    for value in values:
        if type(value) is str and value[:8].lower().startswith(("http://", "https://")):
            if len(value) > MAX_URL:
                reader.note(f"the vendor's link of {len(value)} characters was left out (limit {MAX_URL})")
            elif value.isprintable() and not any(character in value for character in ' "<>\\^`{|}'):
                return value
    return None


def is_address(text: str) -> bool:
    """Whether ``text`` is an IP address."""
    try:
        canonical_ip(text)
    except ValueError:
        return False
    return True


def observable(kind: str, value: Any, field: str) -> ObservableValue | None:
    """``value`` as an observable of type ``kind``; None where it is none. For what a source's own code finds."""
    text = clean(value).strip() if type(value) is str else ""
    if not text or text.lower() in PLACEHOLDERS:
        return None
    try:
        return make(kind, CANONICAL[kind](text), field)
    except ValueError:
        return None


def stated(kind: str, value: Any, field: str) -> ObservableValue | None:
    """``value`` as what its sender calls it, in any product's words (``fqdn``, ``ip-dst``, ``hash``).

    What its type says it cannot be, and what has a type we do not know, is ``other``; None where nothing is said.
    """
    if type(value) is int and 0 < value < 1 << 63:
        value = str(value)
    value = clean(value).strip() if type(value) is str else ""
    if not value or value.lower() in PLACEHOLDERS:
        return None
    try:
        return make(*canonical(kind, value), field)
    except ValueError:
        return observable("other", " ".join(clean(value).split()), field)


def ignore(reader: Reader, *paths: str) -> None:
    """Look for no observables at ``paths`` or below: links, advice and copies that hold no indicators.

    What is to be read there by :meth:`Reader.every` must be read before.
    """
    exact = frozenset(map(fold, paths))
    below = tuple(f"{path}." for path in exact)
    leaves = [
        leaf for leaf in reader.walk.leaves if leaf.folded not in exact and not leaf.folded.startswith(below)
    ]
    reader.walk = reader.walk._replace(leaves=leaves)


def with_embedded_json(payload: dict[str, Any], *paths: str) -> dict[str, Any]:
    """``payload`` with the strings at ``paths`` (exact keys, dotted) that hold JSON put in place as what they hold."""
    for path in paths:
        *parents, last = path.split(".")
        copy = payload = dict(payload)
        for parent in parents:
            inner = copy.get(parent)
            if type(inner) is not dict:
                break
            copy[parent] = copy = dict(inner)
        else:
            value = copy.get(last)
            if type(value) is str and 1 < len(value) <= _MAX_EMBEDDED and value.lstrip()[:1] in ("{", "["):
                try:
                    copy[last] = orjson.loads(value)
                except (json.JSONDecodeError, RecursionError):
                    continue
    return payload


def _first[T](reader: Reader, paths: tuple[str, ...], meaning: Callable[[Any], T]) -> T | None:
    """What the first of ``paths`` that means something means."""
    return next((known for path in paths if (known := meaning(reader.raw(path)))), None)


def _severity(reader: Reader, paths: tuple[str, ...], severities: Severities, own: Any) -> str:
    for path, value in (("severity", own), *((path, reader.raw(path)) for path in paths)):
        if type(value) is list and value:
            value = value[0]
        found, note = severities.read(value)
        if note:
            reader.note(f"{path}: {note}")
        if found:
            return found
    reader.note("no severity found; medium is used")
    return severity.MEDIUM


def _hostname(reader: Reader, own: Any, paths: tuple[str, ...]) -> str | None:
    for path, value in (("hostname", own), *reader.values(paths)):
        text = None if value is None else reader.as_text(path, value)
        if text is not None and not is_address(text := without_port(text)):
            return reader.cut("hostname", text, MAX_NAME)
    return None


def _techniques(reader: Reader, paths: tuple[str, ...]) -> tuple[str, ...]:
    texts = [value for value in reader.every(*paths) if type(value) is str] if paths else []
    return techniques_in(texts)


def _entities(reader: Reader, paths: dict[str, tuple[str, ...]]) -> list[ObservableValue]:
    found = []
    for kind in ("process", "command_line", "filename", "email"):
        for path in paths[kind]:
            made = [observable(kind, value, path) for value in reader.every(path)[:50]]
            found += [one for one in made if one is not None]
    return found
