"""What durable helpers share: the table of them, and how they find what they act on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError

from alerts.models import Alert
from opensoar.accounts.models import User
from opensoar.actors import Actor


@dataclass(frozen=True, slots=True)
class Subject:
    """What the run is about: ids of its alert and of its incident, as far as it has them."""

    alert_id: UUID | None = None
    incident_id: UUID | None = None


type Helper = Callable[[Actor, Subject, dict[str, Any]], Any]
HELPERS: dict[str, Helper] = {}


def helper(function: Helper) -> Helper:
    """Register under the function's own name (playbooks_engine/context.py lists them)."""
    HELPERS[function.__name__] = function
    return function


def id_of_alert(about: Subject) -> UUID:
    """The id of the run's alert."""
    if about.alert_id is None:
        raise RuntimeError("this run is about no alert")
    return about.alert_id


def alert_of(about: Subject) -> Alert:
    """The run's alert; whether the run may still change it is the services' to say."""
    return Alert.objects.select_related("partner", "assigned_to").get(pk=id_of_alert(about))


def active_user(**by: Any) -> User:
    """Raises RuntimeError where there is no such analyst, or not any more."""
    try:
        user = User.objects.filter(is_active=True, **by).first()
    except (ValidationError, ValueError):  # no id, or not even text that the database takes
        user = None
    if user is None:
        raise RuntimeError(f"Analyst not found or inactive: {next(iter(by.values()))}")
    return user
