"""Numbers beside the menu's entries: each app says how to count its own, the frame shows them."""

from __future__ import annotations

from collections.abc import Callable

from opensoar.actors import Actor

_COUNTS: dict[str, tuple[str, Callable[[Actor], int]]] = {}


def register_count(name: str, capability: str, count: Callable[[Actor], int]) -> None:
    """Show ``count(actor)`` in ``#count-<name>`` to whoever holds ``capability``."""
    _COUNTS[name] = (capability, count)


def counts(actor: Actor) -> dict[str, int]:
    """Every number that ``actor`` may see."""
    return {name: count(actor) for name, (capability, count) in _COUNTS.items() if actor.can(capability)}
