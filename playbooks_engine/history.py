"""What OpenSOAR itself remembers of an address or a host, for playbooks.

``from playbooks_engine.history import ip_history`` works in a playbook file. Both are durable
steps: a resumed run sees the answer it saw before. Both count what the current run's alert may
see: alerts of its own partner, without that alert itself.

Both return a `History`; all times are ISO 8601 with zone, None where nothing was seen.
"""

from __future__ import annotations

import ipaddress
from typing import TypedDict, cast

from playbooks_engine import context

#: How far back the counts reach.
WINDOW_DAYS = 90


class IncidentMention(TypedDict):
    """An incident that an alert about the subject is linked to."""

    number: int
    title: str
    severity: str
    status: str


class Determinations(TypedDict):
    """Number of alerts by what people and playbooks decided about them."""

    unknown: int
    malicious: int
    suspicious: int
    benign: int


class History(TypedDict):
    """What is remembered.

    alerts: alerts of the last `window_days` days whose source or destination address (or whose
        hostname, without regard to case) is the subject.
    by_severity: of these, number by severity; severities without an alert are absent.
    first_seen, last_seen: over all time, not only the window.
    incidents: number of incidents those alerts are linked to; `recent_incidents` are the newest
        of them, at most 5.
    users, addresses: distinct usernames and source addresses seen with the subject in the
        window, most frequent first, at most 10 each.
    """

    subject: str
    window_days: int
    alerts: int
    by_determination: Determinations
    by_severity: dict[str, int]
    first_seen: str | None
    last_seen: str | None
    incidents: int
    recent_incidents: list[IncidentMention]
    users: list[str]
    addresses: list[str]


async def ip_history(ip: str) -> History:
    """Return what OpenSOAR has seen of an address in the last 90 days.

    Raises:
        ValueError: not an IP address.
        NoCurrentRun: outside a run.
    """
    address = str(ipaddress.ip_address(ip.strip()))
    run = context.run_for("ip_history")
    return cast(History, await run.call_helper("ip_history", {"ip": address}))


async def host_history(hostname: str) -> History:
    """Return what OpenSOAR has seen of a host in the last 90 days.

    Raises:
        ValueError: an empty name.
        NoCurrentRun: outside a run.
    """
    name = hostname.strip()
    if not name:
        raise ValueError("host_history() takes a hostname")
    run = context.run_for("host_history")
    return cast(History, await run.call_helper("host_history", {"hostname": name}))
