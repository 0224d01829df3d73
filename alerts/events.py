"""What other apps may react to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from alerts.models import Alert
from opensoar.actors import Actor
from opensoar.events import DomainEvent


@dataclass(frozen=True, slots=True)
class CreatedAlert:
    """A new alert of one group commit; its row is stored in the transaction that emits this.

    ``subject`` is what conditions are matched against: the alert's fields by the names a playbook knows them by, the
    parsed body under ``raw_payload``. Subscribers append the names of the playbooks they triggered to ``playbooks``;
    the answer to the sender lists them.
    """

    alert_id: UUID
    partner_id: UUID
    source: str
    correlation_id: UUID
    severity: str
    delivery_id: UUID
    subject: Mapping[str, Any]
    playbooks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CreatedObservable:
    """An observable that its partner had never seen. ``subject`` is what conditions are matched against."""

    observable_id: UUID
    partner_id: UUID
    correlation_id: UUID
    subject: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreatedObservables:
    """The observables that one transaction brought.

    ``found`` names them, inside that transaction: whoever has no use for them does not pay for the question.
    ``alerts`` are those of the same group commit; their event came just before.
    """

    actor: Actor
    found: Callable[[], list[CreatedObservable]]
    alerts: Sequence[CreatedAlert] = ()


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert as it is now, who changed it, which fields, and the status it had before."""

    alert: Alert
    actor: Actor
    changed: frozenset[str]
    was: str

    @property
    def resolved(self) -> bool:
        """Whether this change resolved it."""
        return self.was != self.alert.status == Alert.Status.RESOLVED

    @property
    def reopened(self) -> bool:
        """Whether this change reopened it."""
        return self.alert.status != self.was == Alert.Status.RESOLVED


alert_created: DomainEvent[list[CreatedAlert]] = DomainEvent(
    "alert_created"
)  # a whole batch, emitted by ingest
observables_created: DomainEvent[CreatedObservables] = DomainEvent(
    "observables_created"
)  # emitted by ingest and by whatever else puts observables on things
alert_updated: DomainEvent[AlertChange] = DomainEvent(
    "alert_updated"
)  # any semantic edit, also the two below
alert_resolved: DomainEvent[AlertChange] = DomainEvent("alert_resolved")
alert_reopened: DomainEvent[AlertChange] = DomainEvent("alert_reopened")
