"""Preserve the state of a container before anything changes it; runs before docker_restart.py."""

from opensoar import action, add_current_alert_comment, playbook

from ._docker import collect, named_in, obstacle


@action(timeout=60, retries=2, idempotent=True)
async def collect_container_state(container):
    """Read state and log of the container from the Docker Engine."""
    return obstacle(container) or {"status": "preserved", **await collect(container)}


@playbook(
    trigger="webhook",
    conditions={"tags": ["docker"]},
    order=10,
    # A restart destroys what was to be preserved, so where this fails the sequence ends.
    on_failure="stop",
    description="Keep state and log of the container that the alert is about",
)
async def preserve_container_state(alert):
    try:
        evidence = await collect_container_state(named_in(alert))
    except Exception as error:
        await add_current_alert_comment(f"Container state was not preserved: {error}")
        raise
    if evidence["status"] != "preserved":
        await add_current_alert_comment(f"Container state was not preserved: {evidence['reason']}.")
        return {"status": evidence["status"]}
    await add_current_alert_comment(
        describe(evidence),
        metadata={"container": {k: v for k, v in evidence.items() if k != "log"}},
    )
    return {"status": "preserved", "container": evidence["name"], "id": evidence["id"]}


def describe(evidence):
    lines = len(evidence["log"].splitlines())
    kept = f"the last {lines} log lines are kept with this run" if lines else "its log is empty"
    return (
        f"State of container {evidence['name']} preserved: {evidence['state']['Status']}, "
        f"image {evidence['image']}, started {evidence['started_at']}; {kept}."
    )
