"""Ask the intel services about an alert's addresses, domains and hashes."""

import asyncio

from opensoar import action, add_current_alert_comment, playbook

from ._recorded import summary, verdicts

OWN = ("10.", "192.168.")


@action(timeout=30, retries=2, retry_backoff=0, idempotent=True)
async def lookup_observable(value):
    """Ask every intel service about one value."""
    found = verdicts(value)
    return {"value": value, "services": {name: malicious for name, (malicious, _s, _d) in found.items()},
            "summary": summary(value, found)}  # fmt: skip


@playbook(
    trigger="webhook",
    conditions={"severity": ["high", "critical"]},
    order=20,
    description="Asks 4 intel services, sets verdicts",
)
async def enrich_observables(alert):
    groups = alert.iocs or {}
    values = [
        v for name in ("ips", "domains", "hashes") for v in groups.get(name, ()) if not v.startswith(OWN)
    ]
    if not values:
        return {"status": "nothing to ask"}
    answers = await asyncio.gather(*(lookup_observable(value) for value in values[:5]))
    known = [answer for answer in answers if answer["services"]]
    if known:
        await add_current_alert_comment("; ".join(answer["summary"] for answer in known) + ".")
    return {"asked": len(answers), "known": len(known)}
