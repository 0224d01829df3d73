"""What happens to alerts, incidents and observables becomes sequences and runs, inside the transaction that stores it."""

from __future__ import annotations

import threading
from uuid import UUID

from alerts.events import (
    AlertChange,
    CreatedAlert,
    CreatedObservables,
    alert_created,
    alert_updated,
    observables_created,
)
from incidents.events import IncidentChange, incident_opened, incident_updated
from playbooks_engine.snapshots import alert_snapshot, incident_snapshot
from playbooks_engine.starting import Cause, Start, store
from playbooks_engine.triggers import Triggers, triggers


class _Asked(threading.local):
    """What was asked for the alerts of a group commit serves its observables, whose event follows: one query a batch."""

    alert_id: UUID | None = None
    answer: Triggers


_asked = _Asked()


@alert_created.in_transaction
def start_on_alerts(batch: list[CreatedAlert]) -> None:
    """One sequence per alert that triggers anything, one run per matching playbook, in ascending order."""
    found = triggers()
    _asked.alert_id, _asked.answer = batch[0].alert_id, found
    if not found.alert:
        return
    starts = []
    for alert in batch:
        matching = [t for t in found.alert if t.matches_alert(alert.source, alert.partner_id, alert.subject)]
        if matching:
            alert.playbooks.extend(trigger.name for trigger in matching)
            starts.append(
                Start(
                    "alert_created", matching, alert.partner_id, alert.subject,
                    correlation_id=alert.correlation_id, alert_id=alert.alert_id,
                )
            )  # fmt: skip
    store(starts)


@alert_updated.in_transaction
def start_on_changed_alert(change: AlertChange) -> None:
    """One sequence for one change: resolving and reopening are updates, too, so their playbooks are in it."""
    alert, names, event = change.alert, {"alert.updated"}, "alert_updated"
    if change.resolved:
        names, event = names | {"alert.resolved"}, "alert_resolved"
    elif change.reopened:
        names, event = names | {"alert.reopened"}, "alert_reopened"
    # What a suppression hides starts nothing, whatever becomes of it.
    candidates = triggers().of_changed_alerts(names) if alert.suppressed_by_id is None else []
    if not candidates:
        return
    cause = Cause.of(change.actor)
    subject = alert_snapshot(alert)
    matching = [t for t in cause.allowed(candidates) if t.matches(alert.partner_id, subject)]
    if matching:
        start = Start(
            event, matching, alert.partner_id, subject, correlation_id=alert.correlation_id, alert_id=alert.pk
        )
        store([start], cause)


@observables_created.in_transaction
def start_on_observables(event: CreatedObservables) -> None:
    """One sequence per observable that is new to its partner."""
    known = event.alerts and event.alerts[0].alert_id == _asked.alert_id
    candidates = (_asked.answer if known else triggers()).observable
    if not candidates:
        return
    cause = Cause.of(event.actor)
    candidates = cause.allowed(candidates)
    starts = []
    for new in event.found() if candidates else ():
        matching = [trigger for trigger in candidates if trigger.matches(new.partner_id, new.subject)]
        if matching:
            starts.append(
                Start(
                    "observable_created", matching, new.partner_id, new.subject,
                    correlation_id=new.correlation_id, observable_id=new.observable_id,
                )
            )  # fmt: skip
    store(starts, cause)


@incident_opened.in_transaction
def start_on_opened_incident(change: IncidentChange) -> None:
    """The sequence of those that wait for new incidents."""
    _start_on_incident(change, "incident_opened", {"incident"})


@incident_updated.in_transaction
def start_on_changed_incident(change: IncidentChange) -> None:
    """One sequence for one change: closing an incident is an update, too, so both kinds of playbooks are in it."""
    closed = "status" in change.changed and not change.incident.is_open
    if closed:
        _start_on_incident(change, "incident_closed", {"incident.updated", "incident.closed"})
    else:
        _start_on_incident(change, "incident_updated", {"incident.updated"})


def _start_on_incident(change: IncidentChange, event: str, names: set[str]) -> None:
    candidates = triggers().of_incidents(names)
    if not candidates:
        return
    cause = Cause.of(change.actor)
    subject = incident_snapshot(change.incident)
    partner_id = change.incident.partner_id
    matching = [t for t in cause.allowed(candidates) if t.matches(partner_id, subject)]
    if matching:
        start = Start(event, matching, partner_id, subject, incident_id=change.incident.pk)
        store([start], cause)
