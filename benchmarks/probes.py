"""Stopwatches around functions of the product, by name: how much time each spends itself, without those inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from time import perf_counter
from typing import Any


class Stopwatch:
    """Seconds by stage since the last :meth:`reset`, of one thread. They add up to the outermost stage's time."""

    def __init__(self) -> None:
        self.own: dict[str, float] = {}
        self._inside: list[float] = []  # of each stage that runs, what others within it took

    def reset(self) -> dict[str, float]:
        """Begin anew; returns what was measured."""
        measured, self.own = self.own, {}
        return measured

    def timed(self, stage: str | Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, measured as ``stage``, which may depend on the arguments."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            name = stage if isinstance(stage, str) else stage(*args)
            self._inside.append(0.0)
            began = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = perf_counter() - began
                self.own[name] = self.own.get(name, 0.0) + took - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took

        return measured

    def timed_steps(self, stage: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """``function``, of whose iterator each step is measured as ``stage``."""

        def measured(*args: Any, **kwargs: Any) -> Iterator[Any]:
            step = self.timed(stage, function(*args, **kwargs).__next__)
            while True:
                try:
                    one = step()
                except StopIteration:
                    return
                yield one

        return measured

    def put(self, place: str, stage: str | Callable[..., str], *, steps: bool = False) -> None:
        """Measure what ``place`` (``package.module:name``, or ``:Class.name``) names wherever it is called by that name."""
        module, _colon, path = place.partition(":")
        *owners, name = path.split(".")
        owner: Any = import_module(module)
        for attribute in owners:
            owner = getattr(owner, attribute)
        function = getattr(owner, name)
        setattr(owner, name, self.timed_steps(str(stage), function) if steps else self.timed(stage, function))
