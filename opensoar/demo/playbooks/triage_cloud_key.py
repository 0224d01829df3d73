"""Look up who owns a cloud access key and when it was last used as usual."""

from opensoar import action, add_current_alert_comment, playbook

from ._recorded import KEY_OWNERS, ServiceRefused


@action(timeout=30, retries=1, retry_backoff=0, idempotent=True)
async def look_up_key(username):
    """Ask the cloud account for the key's owner and last normal use."""
    if not username:
        raise ServiceRefused("iam:GetAccessKeyLastUsed: AccessDenied for role soc-readonly")
    return KEY_OWNERS.get(username, {"key": None, "owner": "unknown", "last_normal_use": None})


@playbook(
    trigger="GuardDuty",
    conditions={"rule_name__startswith": "UnauthorizedAccess"},
    order=10,
    # Without the key's owner the rest would act on a guess.
    on_failure="stop",
    description="Looks up the key’s owner and last normal use",
)
async def triage_cloud_key(alert):
    found = await look_up_key(alert.username)
    await add_current_alert_comment(
        f"Key {found['key']} belongs to {found['owner']}; last normal use {found['last_normal_use']}."
    )
    return {"status": "triaged", **found}
