"""Which normaliser reads which source. A source's module is imported when its first alert comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

type _Normaliser = Callable[[dict[str, Any]], Any]

GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Source:
    """A product whose alerts have a normaliser of their own."""

    slug: str
    module: str
    """Dotted path of a module with ``normalise(payload) -> NormalisedAlert``."""
    markers: tuple[str, ...] = ()
    """Paths that together tell this product's payloads from all others. None: only by name."""


# One line per source; the first whose markers are all present wins.
SOURCES: tuple[Source, ...] = (Source(GENERIC, "alerts.sources.generic"),)


def _by_slug(sources: tuple[Source, ...]) -> dict[str, Source]:
    table: dict[str, Source] = {}
    for source in sources:
        if source.slug in table:
            both = f"{table[source.slug].module}, {source.module}"
            raise ValueError(f"source “{source.slug}” is registered twice: {both}")
        table[source.slug] = source
    return table


_TABLE = _by_slug(SOURCES)


def slugs() -> tuple[str, ...]:
    """The sources that have a normaliser of their own, and ``generic``."""
    return tuple(_TABLE)


@cache
def _load(module: str) -> _Normaliser:
    normalise: _Normaliser = import_module(module).normalise
    return normalise


def get(slug: str) -> _Normaliser:
    """The normaliser of ``slug``, a pure function payload → NormalisedAlert.

    The generic one for a slug nobody registered: a webhook is never refused for the word in its path.
    """
    return _load(_TABLE.get(slug.strip().lower(), _TABLE[GENERIC]).module)


def detect(payload: dict[str, Any], sources: tuple[Source, ...] = SOURCES) -> str:
    """The slug of the source whose payloads look like this one; ``generic`` when none does."""
    for source in sources:
        if source.markers and all(_present(payload, marker) for marker in source.markers):
            return source.slug
    return GENERIC


def _present(payload: dict[str, Any], marker: str) -> bool:
    """Whether ``marker`` is there as one flat key or nested, without walking the rest of the payload."""
    if marker in payload:
        return True
    node: Any = payload
    for part in marker.split("."):
        if type(node) is not dict:
            return False
        node = node.get(part)
    return node is not None
