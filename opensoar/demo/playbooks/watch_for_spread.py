"""Look for half an hour whether another host shows what an incident is about."""

import asyncio

from opensoar import action, playbook


@action(timeout=2400, idempotent=True)
async def watch_sensors(domain, minutes):
    """Wait on the sensors' word; safe to begin anew."""
    await asyncio.sleep(minutes * 60)
    return {"domain": domain, "found": []}


@playbook(trigger=None, order=50, description="Watches every sensor for a domain, 30 minutes")
async def watch_for_spread(input):
    return await watch_sensors(input["domain"], input.get("minutes", 30))
