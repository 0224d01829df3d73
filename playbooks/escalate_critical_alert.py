"""Escalate a critical alert: gather what is known in parallel, mark it, leave it to a person.

The reputation comes from OpenSOAR's own history and the class of the address; no outside service
is asked.
"""

import asyncio
import ipaddress

from opensoar import action, add_current_alert_comment, playbook, update_current_alert
from playbooks_engine.history import host_history, ip_history


@action(timeout=30, retries=2, idempotent=True)
async def lookup_ip_reputation(ip):
    """Judge an address by its class and by how earlier alerts with it were decided."""
    if not ip:
        return {"ip": None, "verdict": "unknown", "reason": "the alert names no source address"}
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return {"ip": ip, "verdict": "unknown", "reason": "not an IP address"}
    history = await ip_history(str(address))
    verdict, reason = judge(history["by_determination"])
    return {
        "ip": str(address),
        "address_class": address_class(address),
        "verdict": verdict,
        "reason": reason,
        "source": "OpenSOAR history",
        "history": history,
    }


@action(timeout=30, idempotent=True)
async def preserve_host_context(hostname):
    """Store on the alert what OpenSOAR knows of the host at this moment."""
    if not hostname:
        return {"hostname": None, "stored": False, "reason": "the alert names no host"}
    history = await host_history(hostname)
    comment = await add_current_alert_comment(
        describe_host(hostname, history), metadata={"host_context": history}
    )
    return {"hostname": hostname, "stored": True, "comment_id": comment["comment_id"]}


@playbook(
    trigger="webhook",
    conditions={"severity": ["critical"]},
    order=10,
    description="Enrich a critical alert in parallel and prepare it for an incident",
)
async def escalate_critical_alert(alert):
    reputation, host = await asyncio.gather(
        lookup_ip_reputation(alert.get("source_ip")),
        preserve_host_context(alert.get("hostname")),
    )
    await update_current_alert(
        status="in_progress",
        determination="suspicious",
        reason="Critical alert escalated for incident handling",
    )
    await add_current_alert_comment(
        f"{describe_reputation(reputation)} Enrichment and evidence preservation completed. "
        f"Create or link an incident from the alert detail page."
    )
    return {"status": "incident_ready", "reputation": reputation["verdict"], "host": host}


def judge(decided):
    """Turn counts of earlier determinations into a verdict and its reason."""
    for verdict in ("malicious", "suspicious", "benign"):
        count = decided.get(verdict, 0)
        if count:
            return verdict, f"{count} earlier alert(s) with this address were found {verdict}"
    return "unknown", "no earlier alert with this address has been decided"


def address_class(address):
    """Return what kind of address this is; only a global one can have an outside owner."""
    kinds = (
        ("loopback", address.is_loopback),
        ("link-local", address.is_link_local),
        ("multicast", address.is_multicast),
        ("unspecified", address.is_unspecified),
        ("private", address.is_private),
        ("reserved", address.is_reserved),
    )
    return next((kind for kind, applies in kinds if applies), "global")


def describe_reputation(reputation):
    if reputation["verdict"] == "unknown":
        return f"Source address: nothing known ({reputation['reason']})."
    return (
        f"Source address {reputation['ip']} ({reputation['address_class']}): "
        f"{reputation['verdict']}, {reputation['reason']}."
    )


def describe_host(hostname, history):
    lines = [f"Host {hostname} as OpenSOAR knows it: {history['alerts']} other alert(s)"]
    lines[0] += f" in {history['window_days']} days, {history['incidents']} incident(s)."
    if history["first_seen"]:
        lines.append(f"First seen {history['first_seen']}, last seen {history['last_seen']}.")
    if history["users"]:
        lines.append(f"Users seen on it: {', '.join(history['users'])}.")
    lines += [
        f"Incident #{incident['number']} ({incident['severity']}, {incident['status']}): {incident['title']}"
        for incident in history["recent_incidents"]
    ]
    return "\n".join(lines)
