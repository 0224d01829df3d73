"""Look at a consent to an app nobody verified. Broken on purpose: it shows what a file that fails looks like."""

from opensoar import playbook


@playbook(trigger="Sentinel", conditions={"severty__gte": "medium"}, order=20)
async def oauth_consent(alert):
    return {"app": alert.title}
