"""Save evidence of a host, isolate it, end its user's sessions, and watch for a second one."""

import asyncio

from opensoar import action, playbook

from ._recorded import SESSIONS, busy_at_first, verdicts


@action(timeout=30, retries=2, retry_backoff=0, idempotent=True)
async def lookup_ip_reputation(ip):
    """Ask the intel services about the address the host speaks to."""
    busy_at_first("AbuseIPDB")
    return {"ip": ip, "malicious": sum(1 for bad, _s, _d in verdicts(ip).values() if bad)}


@action(timeout=30, idempotent=True)
async def lookup_hash(sha256):
    """Ask how many engines know the file."""
    return {
        "sha256": sha256,
        "engines": verdicts(sha256).get("VirusTotal", (None, None, {}))[2].get("engines"),
    }


@action(timeout=300, idempotent=True)
async def preserve_host_context(host):
    """Collect processes, connections, autoruns and memory before anything changes."""
    return {"host": host, "collected": ["processes", "netstat", "autoruns", "memory"], "bytes": 432_013_312}


@action(timeout=60, idempotent=False)
async def isolate_host(host):
    """Cut every connection but the EDR console's."""
    return {"host": host, "isolated": True, "policy": "workstation", "release_after": "4 h"}


@action(timeout=30, idempotent=True)
async def revoke_sessions(user):
    """Sign the user out everywhere."""
    return {"user": user, "sessions_ended": SESSIONS.get(user, 0)}


@action(timeout=2400, idempotent=True)
async def watch_for_spread(domain):
    """Look for half an hour whether another host speaks to the domain."""
    return {"domain": domain, "found": ["FIN-WS-022"]}


@action(timeout=30, idempotent=True)
async def notify(group):
    """Tell the people on duty."""
    return {"group": group, "sent": True}


@playbook(trigger=None, order=30, description="Saves evidence, isolates, ends sessions")
async def contain_host(incident, input):
    host, user = input["host"], input["user"]
    await asyncio.gather(
        lookup_ip_reputation(input["ip"]), lookup_hash(input["sha256"]), preserve_host_context(host)
    )
    await isolate_host(host)
    await revoke_sessions(user)
    spread = await watch_for_spread(input["domain"])
    for other in spread["found"]:
        await isolate_host(other)
    await notify("soc-lead")
    return {"isolated": [host, *spread["found"]], "user": user}
