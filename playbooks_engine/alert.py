"""The alert as a playbook sees it: a read-only snapshot taken when the run first started."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from opensoar.conditions import nearest
from playbooks_engine import context

#: What every alert has; a field without a value is None.
FIELDS = (
    "id",
    "source",
    "source_id",
    "title",
    "description",
    "severity",
    "status",
    "determination",
    "source_ip",
    "dest_ip",
    "hostname",
    "username",
    "rule_name",
    "tags",
    "iocs",
    "partner",
    "raw_payload",
    "normalized",
    "duplicate_count",
    "first_seen",
    "last_seen",
    "assigned_to",
    "assigned_username",
    "correlation_id",
    "created_at",
    "updated_at",
    "resolved_at",
    "resolve_reason",
)


class Alert(Mapping[str, Any]):
    """Answers attributes and mapping access alike: ``alert.title``, ``alert["title"]``.

    A known field that is empty is None, and ``alert.get(field, default)`` then gives the default,
    as it did where playbooks were handed a plain dict that lacked the key. An unknown attribute
    is an `AttributeError`, an unknown key a `KeyError`; both name the nearest field.
    """

    __slots__ = ("_data",)
    _data: dict[str, Any]

    def __init__(self, data: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_data", _complete(data))

    async def refresh(self) -> Alert:
        """Read the alert anew, as a durable step, into this object, and return it.

        Raises:
            NoCurrentRun: outside a run.
        """
        run = context.alert_run_for("alert.refresh")
        fresh = await run.call_helper("refresh_alert", {})
        object.__setattr__(self, "_data", _complete(fresh))
        return self

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
            raise KeyError(f"an alert has no field {key!r}{_hint(key, self._data)}") from None

    def __getattr__(self, name: str) -> Any:
        # Private names are asked for by copy and pickle while there is no `_data` yet.
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._data[name]
        except KeyError:
            raise AttributeError(f"an alert has no field {name!r}{_hint(name, self._data)}") from None

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"the alert is a read-only snapshot, {name!r} cannot be set; "
            f"await update_current_alert(...) changes the alert"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("the alert is a read-only snapshot")

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._data})

    def __repr__(self) -> str:
        return f"<Alert {self._data['id']} {self._data['severity']} {self._data['title']!r}>"

    def __reduce__(self) -> tuple[type[Alert], tuple[dict[str, Any]]]:
        return Alert, (self._data,)


def _complete(data: Mapping[str, Any]) -> dict[str, Any]:
    # Copied, so that what a playbook does to a list inside never reaches the stored input.
    known: dict[str, Any] = dict.fromkeys(FIELDS)
    known.update(copy.deepcopy(dict(data)))
    return known


def _hint(name: object, data: Mapping[str, Any]) -> str:
    return nearest(name, data) if isinstance(name, str) else ""
