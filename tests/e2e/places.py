"""Where the demo's pages are: one of every kind and state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.desk import Desk


@dataclass
class Places:
    """Paths, found by asking the API."""

    new: str
    resolved: str
    linked: str
    incidents: dict[str, str]
    runs: dict[str, str]
    playbook: str
    delivery: str

    def pages(self) -> dict[str, str]:
        """Every page, and the verbs as pages of their own."""
        return {
            "queue": "/alerts/?q=FIN-WS&status=open",
            "queue-nothing-found": "/alerts/?q=nothing-is-called-this",
            "alert": self.linked,
            "alert-new": self.new,
            "alert-resolved": self.resolved,
            "deliveries": f"{self.linked}deliveries/",
            "ledger": "/deliveries/",
            "ledger-delivery": self.delivery,
            "source-health": "/deliveries/sources/",
            "rules": "/rules/",
            "suppressions": "/suppressions/",
            "incidents": "/incidents/",
            **{f"incident-{status}": path for status, path in self.incidents.items()},
            "playbooks": "/playbooks/",
            "playbook": self.playbook,
            "runs": "/runs/",
            **{f"run-{state}": path for state, path in self.runs.items()},
            "escalate": f"/incidents/new/?alert={self.new.split('/')[2]}",
            "add-observables": f"{self.new}observables/",
            "link-alert": f"{self.incidents['open']}link/",
            "close": f"{self.incidents['open']}close/",
            "change-password": "/accounts/password/change/",
        }


def find_places(desk: Desk) -> Places:
    def alert(query: str) -> str:
        return f"/alerts/{desk.api(f'alerts?limit=1&{query}')['alerts'][0]['id']}/"

    def by_status(kind: str, place: Callable[[Any], str]) -> dict[str, str]:
        rows = desk.api(f"{kind}?limit=200")[kind]
        return {row["status"]: place(row) for row in reversed(rows)}  # the newest of each

    return Places(
        new=alert("status=new"),
        resolved=alert("status=resolved"),
        linked=alert("severity=critical"),
        incidents=by_status("incidents", lambda row: f"/incidents/{row['number']}/"),
        runs=by_status("runs", lambda row: f"/runs/{row['id']}/"),
        delivery=f"/deliveries/{desk.api('deliveries?limit=1')['deliveries'][0]['id']}/",
        playbook=f"/playbooks/{desk.api('playbooks')[0]['id']}/",
    )
