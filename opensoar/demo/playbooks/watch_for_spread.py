"""Look once a minute whether another host shows what an incident is about."""

import asyncio

from opensoar import action, playbook


@action(timeout=30, idempotent=True)
async def ask_sensors(domain, look):
    """Ask every sensor for hosts that spoke to the domain since the last look."""
    return {"domain": domain, "look": look, "hosts": []}


@playbook(trigger=None, order=50, description="Asks every sensor for a domain, once a minute")
async def watch_for_spread(input):
    # The pause is no action: a worker that stops need not wait for it, one that takes over begins it anew.
    for look in range(1, input["minutes"] + 1):
        seen = await ask_sensors(input["domain"], look)
        if seen["hosts"]:
            return {"found": seen["hosts"], "looks": look}
        await asyncio.sleep(60)
    return {"found": [], "looks": input["minutes"]}
