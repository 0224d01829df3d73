"""Restart the container an alert is about, after docker_evidence.py has preserved its state."""

from opensoar import action, add_current_alert_comment, playbook

from ._docker import named_in, obstacle, restart


# A second restart costs seconds, a container left half stopped costs the service: safe to repeat.
@action(timeout=90, idempotent=True)
async def restart_docker_container(container):
    """Ask the Docker Engine to restart the container, and look at it afterwards."""
    return obstacle(container) or await restart(container)


@playbook(
    trigger="webhook",
    conditions={"tags": ["docker"]},
    order=20,
    description="Restart the container that the alert is about",
)
async def restart_container(alert):
    try:
        after = await restart_docker_container(named_in(alert))
    except Exception as error:
        await add_current_alert_comment(f"Restarting the container failed: {error}")
        raise
    await add_current_alert_comment(describe(after))
    return {key: after[key] for key in ("status", "name") if key in after}


def describe(after):
    if after["status"] == "restarted":
        return f"Container {after['name']} restarted; running since {after['started_at']}."
    if after["status"] == "not_running":
        return (
            f"Container {after['name']} was restarted but does not run: {after['state']}, "
            f"exit code {after['exit_code']}."
        )
    return f"No container was restarted: {after['reason']}."
