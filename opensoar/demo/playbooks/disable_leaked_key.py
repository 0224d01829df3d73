"""Deactivate a leaked access key."""

from opensoar import action, playbook

from ._recorded import KEY_OWNERS


@action(timeout=30, idempotent=False)
async def deactivate_key(user):
    """Switch the user's key off in the cloud account."""
    return {"user": user, "key": KEY_OWNERS.get(user, {}).get("key"), "active": False}


@playbook(trigger=None, order=30, description="Deactivates the key of a user")
async def disable_leaked_key(input):
    return await deactivate_key(input["user"])
