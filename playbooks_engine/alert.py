"""The alert as a playbook sees it: a read-only snapshot taken when the run first started."""

from __future__ import annotations

from playbooks_engine import context
from playbooks_engine.snapshot import Snapshot

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


class Alert(Snapshot):
    """An alert's fields, as attributes and as a mapping (see :class:`Snapshot`)."""

    __slots__ = ()
    FIELDS = FIELDS
    NOUN = "an alert"
    CURE = "await update_current_alert(...) changes the alert"

    async def refresh(self) -> Alert:
        """Read the alert anew, as a durable step, into this object, and return it.

        Raises:
            NoCurrentRun: outside a run.
        """
        run = context.alert_run_for("alert.refresh")
        self._take(await run.call_helper("refresh_alert", {}))
        return self

    def __repr__(self) -> str:
        return f"<Alert {self._data['id']} {self._data['severity']} {self._data['title']!r}>"
