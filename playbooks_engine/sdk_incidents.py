"""What a playbook does with incidents and observables.

Pure Python, as ``sdk.py`` is. The *current incident* is the one the run is about, later the one it created or linked
its alert to. It is set from what the helper returned, so that a replayed run has the same one at the same place.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from opensoar.conditions import SUBJECTS
from playbooks_engine import context
from playbooks_engine.incident import Incident, Observable
from playbooks_engine.options import one_of

__all__ = [
    "add_incident_comment",
    "add_observable",
    "assign_incident",
    "create_incident",
    "current_incident",
    "link_current_alert",
    "update_incident",
]

type AnyIncident = Incident | int | str | uuid.UUID

_NUMBER = re.compile(r"(?:INC-)?([0-9]{1,18})", re.IGNORECASE | re.ASCII)
_CHOICES = SUBJECTS["incident"].choices
_TYPES = SUBJECTS["observable"].choices["type"]
_ASSESSMENT = ("determination", "impact", "summary")


class NoCurrentIncident(RuntimeError):
    """A helper that acts on an incident was given none, in a run that has none."""


async def create_incident(
    title: str | None = None,
    *,
    severity: str | None = None,
    template: str | None = None,
    alerts: Iterable[Any] = (),
    owner: str | None = None,
) -> Incident:
    """Open an incident, as a durable step; it becomes the current one.

    Args:
        title, severity: by default the alert's, where the run is about one.
        alerts: further alerts to link besides the run's own: alert objects or ids.
        owner: username of who is to work it.

    Raises:
        ValueError: no title in a run without an alert, a severity or an alert that does not exist.
        RuntimeError: no such analyst, or one that is not active.
        NoCurrentRun: outside a run.
    """
    if template is not None:
        raise ValueError("incident templates are not available yet: leave template out")
    if title is not None:
        title = _text("an incident's title", title)
    if severity is not None:
        one_of("severity", severity, _CHOICES["severity"])
    if isinstance(alerts, str | Mapping):
        raise TypeError("alerts is a list of alerts or their ids")
    ids = list(dict.fromkeys(_alert_id(alert) for alert in alerts))
    owner = _username(owner)
    run = context.run_for("create_incident")
    if title is None and run.alert_id is None:
        raise ValueError("create_incident() needs a title: this run is about no alert to take it from")
    arguments = {"title": title, "severity": severity, "alerts": ids, "owner": owner}
    run.incident = await run.call_helper("create_incident", arguments)
    return Incident(run.incident)


async def link_current_alert(incident: AnyIncident) -> Incident:
    """Make the run's alert part of an incident, as a durable step; the incident becomes the current one.

    Raises:
        ValueError: no such incident.
        NoCurrentRun, NoCurrentAlert: outside a run, or in one without an alert.
    """
    wanted = _reference(incident)
    run = context.alert_run_for("link_current_alert")
    run.incident = await run.call_helper("link_current_alert", {"incident": wanted})
    return Incident(run.incident)


def current_incident() -> Incident | None:
    """Return the incident the run is about, created or linked its alert to last; None if there is none."""
    run = context.current_run.get()
    return Incident(run.incident) if run is not None and run.incident is not None else None


async def add_incident_comment(text: str, *, incident: AnyIncident | None = None) -> dict[str, Any]:
    """Comment on an incident, by default the current one, as a durable step.

    Returns:
        ``{incident_id, number, comment_id, action, detail}``

    Raises:
        ValueError: an empty text, or no such incident.
        NoCurrentRun, NoCurrentIncident: outside a run, or with no incident to act on.
    """
    text = _text("a comment's text", text)
    run, wanted = _on("add_incident_comment", incident)
    result: dict[str, Any] = await run.call_helper("add_incident_comment", {"incident": wanted, "text": text})
    return result


async def assign_incident(username: str | None, *, incident: AnyIncident | None = None) -> dict[str, Any]:
    """Give an incident, by default the current one, to an analyst, as a durable step; None unassigns.

    Returns:
        ``{incident_id, number, assigned_to, assigned_username}``

    Raises:
        RuntimeError: no such analyst, or one that is not active.
        ValueError: no such incident, or an analyst who does not work for its partner.
        NoCurrentRun, NoCurrentIncident: outside a run, or with no incident to act on.
    """
    username = _username(username)
    run, wanted = _on("assign_incident", incident)
    snapshot = await run.call_helper("assign_incident", {"incident": wanted, "username": username})
    _keep_current(run, snapshot)
    return {
        "incident_id": snapshot["id"],
        "number": snapshot["number"],
        "assigned_to": snapshot["assigned_to"],
        "assigned_username": snapshot["assigned_username"],
    }


async def update_incident(
    *,
    incident: AnyIncident | None = None,
    title: str | None = None,
    description: str | None = None,
    severity: str | None = None,
    status: str | None = None,
    determination: str | None = None,
    impact: str | None = None,
    summary: str | None = None,
    tags: Iterable[str] | None = None,
    tlp: str | None = None,
    pap: str | None = None,
) -> Incident:
    """Change an incident, by default the current one, as a durable step; returns it as it then is.

    Args:
        status: ``"closed"`` closes it; another one reopens what is closed.
        determination, impact, summary: the assessment it is closed with, all three or none.
        description: an empty text clears it.
        tags: all that it is to have.

    Raises:
        ValueError: nothing to change, a word that does not exist, a move that is not allowed, no such incident.
        NoCurrentRun, NoCurrentIncident: outside a run, or with no incident to act on.
    """
    words = {
        "severity": severity, "status": status, "determination": determination, "impact": impact,
        "tlp": tlp, "pap": pap,
    }  # fmt: skip
    for label, word in words.items():
        if word is not None:
            one_of(label, word, _CHOICES[label])
    if isinstance(tags, str):
        raise TypeError(f"tags is a list: tags=[{tags!r}]")
    texts = {
        "title": _text("an incident's title", title) if title is not None else None,
        "description": description,
        "summary": _text("an incident's summary", summary) if summary is not None else None,
    }
    changes = {**words, **texts, "tags": [str(tag) for tag in tags] if tags is not None else None}
    if all(change is None for change in changes.values()):
        raise ValueError(
            f"update_incident() has nothing to change: give at least one of {', '.join(changes)}"
        )
    given = [name for name in _ASSESSMENT if changes[name] is not None]
    if given and (len(given) < len(_ASSESSMENT) or status not in (None, "closed")):
        raise ValueError(
            "an incident is closed with determination, impact and summary together: "
            "update_incident(status='closed', determination=…, impact=…, summary=…)"
        )
    run, wanted = _on("update_incident", incident)
    snapshot = await run.call_helper("update_incident", {"incident": wanted, **changes})
    _keep_current(run, snapshot)
    return Incident(snapshot)


async def add_observable(
    type: str,
    value: str,
    *,
    incident: AnyIncident | None = None,
    tags: Iterable[str] = (),
    tlp: str | None = None,
) -> Observable:
    """Put an observable on an incident, as a durable step: the one given, else the current one, else the run's alert.

    Args:
        type: one of the types that docs/playbooks.md lists; the value is brought into its usual form (``hxxp``,
            ``[.]``).
        tags: added to those that the observable has.

    Raises:
        ValueError: a type that does not exist, a value that is none of the type, no such incident.
        NoCurrentRun: outside a run.
        NoCurrentIncident: with neither an incident nor an alert to put it on.
    """
    if tlp is not None:
        raise ValueError(
            "observables have no TLP of their own yet: mark the incident, update_incident(tlp=…)"
        )
    one_of("type", type, _TYPES)
    value = _text("an observable's value", value)
    if isinstance(tags, str):
        raise TypeError(f"tags is a list: tags=[{tags!r}]")
    run = context.run_for("add_observable")
    wanted = _wanted(run, incident)
    if wanted is None and run.alert_id is None:
        raise _no_incident("add_observable", "incident or alert")
    arguments = {"type": type, "value": value, "incident": wanted, "tags": [str(tag) for tag in tags]}
    return Observable(await run.call_helper("add_observable", arguments))


def _on(helper: str, incident: AnyIncident | None) -> tuple[context.RunContext, int | str]:
    """The run, and the incident that a helper acts on."""
    run = context.run_for(helper)
    wanted = _wanted(run, incident)
    if wanted is None:
        raise _no_incident(helper, "incident")
    return run, wanted


def _wanted(run: context.RunContext, incident: AnyIncident | None) -> int | str | None:
    if incident is not None:
        return _reference(incident)
    return str(run.incident["id"]) if run.incident is not None else None


def _no_incident(helper: str, what: str) -> NoCurrentIncident:
    return NoCurrentIncident(
        f"{helper}() acts on the current incident, and this run has no {what}: name one with incident=, "
        f"or create_incident() or link_current_alert() first."
    )


def _keep_current(run: context.RunContext, snapshot: Mapping[str, Any]) -> None:
    """The current incident is shown as it is after what the run did to it."""
    if run.incident is not None and run.incident["id"] == snapshot["id"]:
        run.incident = snapshot


def _reference(incident: AnyIncident) -> int | str:
    """A number or an id, as JSON types.

    Raises:
        ValueError, TypeError: it is neither.
    """
    if isinstance(incident, Incident):
        return str(incident["id"])
    if isinstance(incident, bool) or not isinstance(incident, int | str | uuid.UUID):
        raise TypeError(f"an incident is an Incident, a number or an id, not {incident!r}")
    if number := _NUMBER.fullmatch(str(incident).strip()):
        return int(number[1])
    try:
        return str(uuid.UUID(str(incident)))
    except ValueError:
        raise ValueError(
            f"an incident is named by its number (1042, 'INC-1042') or id, not {incident!r}"
        ) from None


def _alert_id(alert: Any) -> str:
    value = alert.get("id") if isinstance(alert, Mapping) else alert
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise ValueError(f"alerts takes alerts or their ids, not {alert!r}") from None


def _text(label: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{label} is a string, not {value.__class__.__name__}")
    if not value.strip():
        raise ValueError(f"{label} must not be empty")
    return value.strip()


def _username(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"an analyst is named by username, not {value!r}")
    return value.strip() or None if value else None
