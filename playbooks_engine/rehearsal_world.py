"""What a rehearsed run acts on: an alert and incidents in memory, with the checks and answers of the real helpers.

For authors' tests and dry runs (``rehearsal.py``); the product's helpers are in ``helpers.py``. Pure Python.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from playbooks_engine.history import WINDOW_DAYS
from playbooks_engine.incident import Incident, Observable

_ASSESSMENT = ("determination", "impact", "summary")
_SPACE = UUID("0198f000-0000-7000-8000-00000000f00d")


def made_up_id(*what: object) -> str:
    """The same id for the same thing in every rehearsal."""
    return str(uuid5(_SPACE, ":".join(map(str, what))))


class World:
    """The alert of a run, the incidents there are, and what helpers did to them."""

    def __init__(
        self,
        *,
        alert: Mapping[str, Any] | None,
        incidents: Iterable[Mapping[str, Any]],
        now: Callable[[], datetime],
    ) -> None:
        self.alert = copy.deepcopy(dict(alert)) if alert is not None else None
        self.incidents = [copy.deepcopy(dict(incident)) for incident in incidents]
        self.observables: list[dict[str, Any]] = []
        self.alert_updates: list[dict[str, Any]] = []
        self.comments: list[str] = []
        self.incident_comments: list[str] = []
        self._now = now

    def perform(self, name: str, arguments: dict[str, Any]) -> Any:
        """Do one helper (playbooks_engine/context.py lists them).

        Raises:
            ValueError, RuntimeError: what the SDK documents.
        """
        return getattr(self, f"_{name}")(**arguments)

    # --- the alert ---------------------------------------------------------------------------------------------

    def _own(self) -> dict[str, Any]:
        if self.alert is None:
            raise RuntimeError("this run is about no alert")
        return self.alert

    def _update_current_alert(
        self, *, status: str | None = None, determination: str | None = None, reason: str | None = None,
        partner: str | None = None, activity_action: str | None = None, activity_detail: str | None = None,
        activity_metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        alert = self._own()
        resolved = (status or alert["status"]) == "resolved"
        if resolved and (determination or alert["determination"]) == "unknown":
            raise ValueError(
                "Cannot resolve an alert with determination 'unknown'. Set a determination first."
            )
        given = {
            "status": status, "determination": determination, "reason": reason, "partner": partner,
            "activity_action": activity_action, "activity_detail": activity_detail,
            "activity_metadata": activity_metadata,
        }  # fmt: skip
        self.alert_updates.append({name: value for name, value in given.items() if value is not None})
        if status is not None and status != alert["status"]:
            alert |= {"status": status, "resolve_reason": None}
            alert["resolved_at"] = self._now().isoformat() if resolved else None
        alert["determination"] = determination or alert["determination"]
        alert["resolve_reason"] = reason or alert["resolve_reason"]
        alert["partner"] = partner if partner is not None else alert["partner"]
        alert["updated_at"] = self._now().isoformat()
        shown = ("status", "determination", "partner", "resolved_at")
        return {"alert_id": alert["id"], **{name: alert[name] for name in shown}}

    def _resolve_current_alert(self, **arguments: Any) -> dict[str, Any]:
        return self._update_current_alert(status="resolved", **arguments)

    def _add_current_alert_comment(self, *, text: str, metadata: dict[str, Any] | None) -> dict[str, Any]:
        self.comments.append(text)
        comment_id = made_up_id("comment", len(self.comments))
        return {"alert_id": self._own()["id"], "comment_id": comment_id, "action": "comment", "detail": text}

    def _assign_current_alert(self, *, analyst_id: str | None, username: str | None) -> dict[str, Any]:
        alert = self._own()
        owner = self._analyst(analyst_id, username)
        self.alert_updates.append(owner)
        if owner["assigned_to"] is not None and alert["status"] == "new":
            alert["status"] = "in_progress"
        alert |= owner
        return {"alert_id": alert["id"], **owner}

    def _analyst(self, analyst_id: str | None, username: str | None) -> dict[str, Any]:
        """There is every analyst here."""
        if analyst_id is None and username is None:
            return {"assigned_to": None, "assigned_username": None}
        return {
            "assigned_to": analyst_id or made_up_id("analyst", username),
            "assigned_username": username or f"analyst-{str(analyst_id)[:8]}",
        }

    def _refresh_alert(self) -> dict[str, Any]:
        return copy.deepcopy(self._own())

    def _ip_history(self, *, ip: str) -> dict[str, Any]:
        return _nothing_known(ip)

    def _host_history(self, *, hostname: str) -> dict[str, Any]:
        return _nothing_known(hostname)

    # --- incidents ---------------------------------------------------------------------------------------------

    def _find(self, wanted: int | str) -> dict[str, Any]:
        for incident in self.incidents:
            if wanted in (incident["number"], incident["id"]):
                return incident
        raise ValueError(f"Incident not found: {f'INC-{wanted}' if isinstance(wanted, int) else wanted}")

    def _create_incident(
        self, *, title: str | None, severity: str | None, alerts: list[str], owner: str | None
    ) -> dict[str, Any]:
        own = self.alert or {}
        number = max((incident["number"] for incident in self.incidents), default=0) + 1
        now = self._now().isoformat()
        incident: dict[str, Any] = dict.fromkeys(Incident.FIELDS) | {
            "id": made_up_id("incident", number), "number": number, "reference": f"INC-{number}",
            "title": title or own["title"], "severity": severity or own.get("severity", "medium"), "status": "open",
            "partner": own.get("partner", "default"), "tags": [], "techniques": [], "tlp": "amber", "pap": "amber",
            "alerts": list(dict.fromkeys([*([own["id"]] if own else []), *alerts])), "created_at": now,
            "updated_at": now, **self._analyst(None, owner),
        }  # fmt: skip
        self.incidents.append(incident)
        return copy.deepcopy(incident)

    def _link_current_alert(self, *, incident: int | str) -> dict[str, Any]:
        found = self._find(incident)
        found["alerts"] = list(dict.fromkeys([self._own()["id"], *(found["alerts"] or [])]))
        return copy.deepcopy(found)

    def _refresh_incident(self, *, incident: int | str) -> dict[str, Any]:
        return copy.deepcopy(self._find(incident))

    def _add_incident_comment(self, *, incident: int | str, text: str) -> dict[str, Any]:
        found = self._find(incident)
        self.incident_comments.append(text)
        comment_id = made_up_id("incident comment", len(self.incident_comments))
        shown = {"comment_id": comment_id, "action": "comment", "detail": text}
        return {"incident_id": found["id"], "number": found["number"], **shown}

    def _assign_incident(self, *, incident: int | str, username: str | None) -> dict[str, Any]:
        found = self._find(incident)
        found |= self._analyst(None, username)
        return copy.deepcopy(found)

    def _update_incident(self, *, incident: int | str, **changes: Any) -> dict[str, Any]:
        found = self._find(incident)
        is_open = found["status"] != "closed"
        if any(changes[name] is not None for name in _ASSESSMENT) and changes["status"] is None and is_open:
            raise ValueError(
                f"{found['reference']} is open: determination, impact and summary take status='closed' with them"
            )
        found |= {name: value for name, value in changes.items() if value is not None}
        now = self._now().isoformat()
        found["updated_at"] = now
        if changes["status"] is not None:
            found["closed_at"] = now if changes["status"] == "closed" else None
        return copy.deepcopy(found)

    def _add_observable(
        self, *, type: str, value: str, incident: int | str | None, tags: list[str]
    ) -> dict[str, Any]:
        if incident is not None:
            self._find(incident)
        made: dict[str, Any] = dict.fromkeys(Observable.FIELDS) | {
            "id": made_up_id("observable", type, value), "type": type, "value": value, "internal": False,
            "source": "playbook", "tags": tags, "partner": (self.alert or {}).get("partner", "default"),
            "alerts": [self.alert["id"]] if incident is None and self.alert else [],
            "first_seen": self._now().isoformat(),
        }  # fmt: skip
        self.observables.append(made)
        return copy.deepcopy(made)


def _nothing_known(subject: str) -> dict[str, Any]:
    """The answer of an OpenSOAR that has seen nothing yet; tests give another by ``answers=``."""
    return {
        "subject": subject, "window_days": WINDOW_DAYS, "alerts": 0,
        "by_determination": dict.fromkeys(("unknown", "malicious", "suspicious", "benign"), 0), "by_severity": {},
        "first_seen": None, "last_seen": None, "incidents": 0, "recent_incidents": [], "users": [], "addresses": [],
    }  # fmt: skip
