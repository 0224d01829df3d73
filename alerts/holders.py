"""What observables are put on besides alerts. The apps of these things say here how; this app does not know them."""

from __future__ import annotations

from typing import Protocol

from alerts.models import Observable
from alerts.services.observables import TypedValue
from opensoar.actors import Actor


class Put(Protocol):
    """Finds the thing of that id for the actor and puts the values on it; refuses as every service does."""

    def __call__(
        self, *, actor: Actor, pk: str, values: list[TypedValue], source: str | None
    ) -> list[Observable]: ...


_HOLDERS: dict[str, Put] = {}


def register_holder(field: str, put: Put) -> None:
    """Let ``POST /observables`` take ``field``, an id. A second one of a name is an error."""
    if _HOLDERS.setdefault(field, put) is not put:
        raise ValueError(f"two kinds of things want observables by {field!r}")


def holders() -> dict[str, Put]:
    """By the field that names their id."""
    return dict(_HOLDERS)
