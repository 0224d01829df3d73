"""Block an address on both perimeter firewalls for a day."""

from opensoar import action, playbook

from ._recorded import ServiceRefused

FIREWALLS = ("fw-ham-1", "fw-ham-2")


@action(timeout=30, retries=1, retry_backoff=0, idempotent=True)
async def block_ip(firewall, ip):
    """Add the address to the firewall's block list."""
    if ip.startswith("10."):
        raise ServiceRefused(f"{firewall}: {ip} is in the network that must never be blocked")
    return {"firewall": firewall, "ip": ip, "hours": 24}


@playbook(trigger=None, order=40, description="Blocks for 24 h on both firewalls")
async def block_ip_perimeter(input):
    blocked = [await block_ip(firewall, input["ip"]) for firewall in FIREWALLS]
    return {"ip": input["ip"], "firewalls": [one["firewall"] for one in blocked]}
