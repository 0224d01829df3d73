"""One pass over a JSON value: every leaf with its path, and an index of paths for lookups.

Products spell the same field ``src_ip``, ``srcIp``, ``SrcIP`` or ``source.ip``, flat or nested. Paths are therefore
*folded*: lower case, without ``_``, ``-``, spaces and ``@``, joined with dots, list positions left out. A flat key
``"source.ip"`` and a nested ``{"source": {"ip": …}}`` fold to the same path, which is what makes one lookup serve both.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

MAX_NODES = 20_000
MAX_DEPTH = 32
MAX_PATH = 200
_MAX_KEY = 100

_FOLD = str.maketrans("", "", "_- @")
_UNSTORABLE = re.compile("[\ud800-\udfff\0]")
# A pair like {"type": "sha256", "value": "…"} says in its sibling what the value is.
_PAIR_VALUES = frozenset({"value", "data", "indicator", "observable", "ioc"})
_PAIR_TYPES = ("type", "dataType", "datatype", "data_type", "ioc_type", "indicator_type", "observable_type")


class Leaf(NamedTuple):
    """A scalar of the payload."""

    path: str
    """As written, list positions included: ``iocs.ips.0``. At most 200 characters."""
    folded: str
    """Folded, list positions left out: ``iocs.ips``."""
    value: str | int | float | bool | None


class Walk(NamedTuple):
    """What one pass over a payload found, shallow fields first."""

    nodes: dict[str, Any]
    """Folded path → the first value seen there, objects and lists included."""
    leaves: list[Leaf]
    notes: tuple[str, ...]


def clean(text: str) -> str:
    """``text`` as PostgreSQL can store it: NUL and lone surrogates become U+FFFD."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def fold(key: str) -> str:
    """The spelling-independent form of a key or dotted path."""
    return _fold_short(key) if len(key) <= _MAX_KEY else _fold_uncached(key[:_MAX_KEY])


def _fold_uncached(key: str) -> str:
    return key.lower().translate(_FOLD)


# Keys repeat from alert to alert. Long ones are not kept: an attacker could fill memory with them.
_fold_short = lru_cache(maxsize=8192)(_fold_uncached)


def walk(payload: dict[str, Any], *, limit: int = MAX_NODES) -> Walk:
    """Visit ``payload`` level by level, without recursion.

    At most ``limit`` values and 32 levels are visited; the notes say when something was left out.
    """
    nodes: dict[str, Any] = {}
    leaves: list[Leaf] = []
    level: list[tuple[str, str, Any]] = [("", "", payload)]
    visited = 0
    for _ in range(MAX_DEPTH):
        following: list[tuple[str, str, Any]] = []
        for path, folded, container in level:
            visited += len(container)
            if visited > limit:
                container = _first(container, limit - visited + len(container))
            if type(container) is dict:
                _visit_object(path, folded, container, nodes, leaves, following)
            else:
                _visit_list(path, folded, container, leaves, following)
            if visited > limit:
                return Walk(nodes, leaves, (f"values beyond the first {limit} were not read",))
        if not following:
            return Walk(nodes, leaves, ())
        level = following
    return Walk(nodes, leaves, (f"values nested deeper than {MAX_DEPTH} levels were not read",))


def _first(container: Any, count: int) -> Any:
    if type(container) is dict:
        return dict(list(container.items())[:count])
    return container[:count]


def _visit_object(
    path: str,
    folded: str,
    container: dict[str, Any],
    nodes: dict[str, Any],
    leaves: list[Leaf],
    following: list[tuple[str, str, Any]],
) -> None:
    # Paths stop growing at MAX_PATH: otherwise depth times key length times nodes is an attacker's to choose.
    prefix = path + "." if path and len(path) < MAX_PATH else ""
    fold_prefix = folded + "." if folded and len(folded) < MAX_PATH else ""
    for key, value in container.items():
        own = fold_prefix + (_fold_short(key) if len(key) <= _MAX_KEY else fold(key))
        nodes.setdefault(own, value)
        kind = type(value)
        if kind is dict or kind is list:
            following.append(((prefix + key)[:MAX_PATH], own, value))
            continue
        if kind is str and key in _PAIR_VALUES:
            own = _pair_path(container, own)
        leaves.append(Leaf((prefix + key)[:MAX_PATH], own, value))


def _pair_path(container: dict[str, Any], own: str) -> str:
    """``iocs.value`` beside ``"type": "ip"`` becomes ``iocs.=ip``: a path that no key can have."""
    for key in _PAIR_TYPES:
        kind = container.get(key)
        if type(kind) is str and 0 < len(kind) <= 30:
            return f"{own.rpartition('.')[0]}.={fold(kind)}"
    return own


def _visit_list(
    path: str, folded: str, container: list[Any], leaves: list[Leaf], following: list[tuple[str, str, Any]]
) -> None:
    prefix = path + "." if len(path) < MAX_PATH else path
    for position, value in enumerate(container):
        kind = type(value)
        if kind is dict or kind is list:
            following.append((f"{prefix}{position}"[:MAX_PATH], folded, value))
        else:
            leaves.append(Leaf(f"{prefix}{position}"[:MAX_PATH], folded, value))
