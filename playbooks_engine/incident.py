"""Incidents and observables as a playbook sees them: read-only snapshots."""

from __future__ import annotations

from playbooks_engine import context
from playbooks_engine.snapshot import Snapshot


class Incident(Snapshot):
    """An incident's fields, as attributes and as a mapping (see :class:`Snapshot`).

    As the argument of a playbook it is of when the run first started; as the result of a helper, of after the change.
    """

    __slots__ = ()
    FIELDS = (
        "id",
        "number",
        "reference",
        "title",
        "description",
        "severity",
        "status",
        "determination",
        "impact",
        "summary",
        "partner",
        "tags",
        "techniques",
        "tlp",
        "pap",
        "assigned_to",
        "assigned_username",
        "alerts",
        "created_at",
        "updated_at",
        "contained_at",
        "closed_at",
    )
    NOUN = "an incident"
    CURE = "await update_incident(...) changes the incident"

    async def refresh(self) -> Incident:
        """Read the incident anew, as a durable step, into this object, and return it.

        Raises:
            NoCurrentRun: outside a run.
        """
        run = context.run_for("incident.refresh")
        self._take(await run.call_helper("refresh_incident", {"incident": self._data["id"]}))
        return self

    def __repr__(self) -> str:
        return f"<Incident {self._data['reference']} {self._data['severity']} {self._data['title']!r}>"


class Observable(Snapshot):
    """An observable's fields, as attributes and as a mapping (see :class:`Snapshot`)."""

    __slots__ = ()
    FIELDS = (
        "id",
        "type",
        "value",
        "internal",
        "source",
        "tags",
        "partner",
        "verdict",
        "enrichment_status",
        "alerts",
        "first_seen",
    )
    NOUN = "an observable"
    CURE = "await add_observable(...) adds tags"

    def __repr__(self) -> str:
        return f"<Observable {self._data['type']} {self._data['value']!r}>"
