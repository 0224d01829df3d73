"""Domain events: a short, listed set of things that other apps react to.

``in_transaction`` subscribers write rows inside the emitting transaction, so that what they promise is stored or not
together with the change; ``after_commit`` subscribers speak to the outside (the broker) once it is.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction


class DomainEvent[T]:
    """One kind of event; ``T`` is what it carries."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._now: list[Callable[[T], object]] = []
        self._later: list[Callable[[T], object]] = []

    def in_transaction(self, subscriber: Callable[[T], object]) -> Callable[[T], object]:
        """Call ``subscriber`` inside the transaction; an exception there undoes the change too."""
        self._now.append(subscriber)
        return subscriber

    def after_commit(self, subscriber: Callable[[T], object]) -> Callable[[T], object]:
        """Call ``subscriber`` once the transaction is stored; its failure cannot undo anything."""
        self._later.append(subscriber)
        return subscriber

    def emit(self, what: T) -> None:
        """Tell the subscribers. Must be called inside the transaction that made the change."""
        for subscriber in self._now:
            subscriber(what)
        for subscriber in self._later:
            transaction.on_commit(lambda s=subscriber: s(what), robust=True)  # type: ignore[misc]
