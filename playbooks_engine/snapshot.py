"""What a playbook is handed of an alert, an incident or an observable: a read-only snapshot."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NoReturn, Self

from opensoar.conditions import nearest


class Snapshot(Mapping[str, Any]):
    """Answers attributes and mapping access alike: ``alert.title``, ``alert["title"]``.

    A known field that is empty is None, and ``alert.get(field, default)`` then gives the default,
    as it did where playbooks were handed a plain dict that lacked the key. An unknown attribute
    is an `AttributeError`, an unknown key a `KeyError`; both name the nearest field.
    """

    __slots__ = ("_data",)
    _data: dict[str, Any]

    #: What every one has; a field without a value is None.
    FIELDS: ClassVar[tuple[str, ...]]
    NOUN: ClassVar[str]  # for messages, with its article
    CURE: ClassVar[str]  # what to do instead of setting a field

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._take(data)

    def _take(self, data: Mapping[str, Any]) -> None:
        # Copied, so that what a playbook does to a list inside never reaches the stored input.
        known: dict[str, Any] = dict.fromkeys(self.FIELDS)
        known.update(copy.deepcopy(dict(data)))
        object.__setattr__(self, "_data", known)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict of JSON types, a copy."""
        return copy.deepcopy(self._data)

    def get(self, key: str, default: Any = None) -> Any:
        value = self._data.get(key)
        return default if value is None else value

    def __getitem__(self, key: str) -> Any:
        try:
            return self._data[key]
        except KeyError:
            raise KeyError(self._no_field(key)) from None

    def __getattr__(self, name: str) -> Any:
        # Private names are asked for by copy and pickle while there is no `_data` yet.
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._data[name]
        except KeyError:
            raise AttributeError(self._no_field(name)) from None

    def _no_field(self, name: object) -> str:
        hint = nearest(name, self._data) if isinstance(name, str) else ""
        return f"{self.NOUN} has no field {name!r}{hint}"

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"{self.NOUN} in a playbook is a read-only snapshot, {name!r} cannot be set; {self.CURE}"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self.NOUN} in a playbook is a read-only snapshot")

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._data})

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (self._data,)
