"""The durable helpers behind ``sdk_incidents.py``.

A run acts for one partner: whatever belongs to another one is not there for it.
"""

from __future__ import annotations

from typing import Any

from alerts import services as alert_services
from alerts.models import Alert, Severity
from incidents import services as incident_services
from incidents.models import Incident
from opensoar.actors import Actor
from opensoar.errors import Invalid
from playbooks_engine.helper_base import Subject, active_user, alert_of, helper
from playbooks_engine.snapshots import incident_snapshot, observable_snapshot

_ASSESSMENT = ("determination", "impact", "summary")


def _incident(actor: Actor, wanted: int | str) -> Incident:
    """The incident of a number or an id."""
    by: dict[str, Any] = {"number": wanted} if isinstance(wanted, int) else {"pk": wanted}
    found = Incident.objects.visible_to(actor).filter(**by).first()
    if found is None:
        raise Invalid(f"Incident not found: {f'INC-{wanted}' if isinstance(wanted, int) else wanted}")
    return found


def _alerts(actor: Actor, ids: list[str]) -> list[Alert]:
    rows = {str(alert.pk): alert for alert in Alert.objects.visible_to(actor).filter(pk__in=ids)}
    if missing := [pk for pk in ids if pk not in rows]:
        raise Invalid(f"Alert not found: {', '.join(missing)}")
    return [rows[pk] for pk in ids]


@helper
def create_incident(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Open an incident with the run's alert and further ones."""
    own = alert_of(about) if about.alert_id is not None else None
    alerts = _alerts(actor, list(dict.fromkeys([*([str(own.pk)] if own else []), *arguments["alerts"]])))
    incident = incident_services.open_incident(
        actor=actor,
        title=arguments["title"] or (own.title if own else ""),
        severity=arguments["severity"] or (own.severity if own else Severity.MEDIUM),
        alerts=alerts,
        owner=active_user(username__iexact=arguments["owner"]) if arguments["owner"] else None,
    )
    return _shown(incident)


@helper
def link_current_alert(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Make the run's alert part of an incident; one that is part of it already stays so."""
    incident = _incident(actor, arguments["incident"])
    incident_services.link_alerts(actor=actor, incident=incident, alerts=[alert_of(about)])
    return _shown(incident)


@helper
def refresh_incident(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """The incident's fields as they are now."""
    return _shown(_incident(actor, arguments["incident"]))


@helper
def add_incident_comment(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Comment on an incident."""
    incident = _incident(actor, arguments["incident"])
    entry = incident_services.comment_incident(actor=actor, incident=incident, text=arguments["text"])
    return {
        "incident_id": str(incident.pk),
        "number": incident.number,
        "comment_id": str(entry.pk),
        "action": entry.action,
        "detail": arguments["text"],
    }


@helper
def assign_incident(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Give an incident to an active analyst, or to nobody."""
    incident = _incident(actor, arguments["incident"])
    user = active_user(username__iexact=arguments["username"]) if arguments["username"] else None
    return _shown(incident_services.assign_incident(actor=actor, incident=incident, user=user))


@helper
def update_incident(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Change an incident, as the API's PATCH would."""
    changes = {name: value for name, value in arguments.items() if name != "incident"}
    incident = _incident(actor, arguments["incident"])
    assessed = any(changes[name] is not None for name in _ASSESSMENT)
    if assessed and changes["status"] is None and incident.is_open:
        raise Invalid(f"{incident} is open: determination, impact and summary take status='closed' with them")
    return _shown(incident_services.update_incident(actor=actor, incident=incident, **changes))


@helper
def add_observable(actor: Actor, about: Subject, arguments: dict[str, Any]) -> Any:
    """Put an observable on an incident or on the run's alert."""
    values = [(arguments["type"], arguments["value"])]
    if arguments["incident"] is not None:
        incident = _incident(actor, arguments["incident"])
        rows = incident_services.add_observables(actor=actor, incident=incident, values=values)
    else:
        rows = alert_services.add_observables(actor=actor, alert=alert_of(about), values=values)
    observable = rows[0]
    if arguments["tags"]:
        observable = alert_services.tag_observable(actor=actor, observable=observable, tags=arguments["tags"])
    return observable_snapshot(observable)


def _shown(incident: Incident) -> dict[str, Any]:
    """The incident as it now stands in the database."""
    return incident_snapshot(Incident.objects.select_related("partner", "assigned_to").get(pk=incident.pk))
