"""Page the lead on a critical alert."""

from opensoar import action, playbook


@action(timeout=20, retries=2, retry_backoff=0, idempotent=True)
async def page(person, text):
    """Send the page."""
    return {"person": person, "text": text, "delivered": True}


@playbook(
    trigger="webhook",
    conditions={"severity": ["critical"]},
    order=90,
    description="Pages the lead on critical",
)
async def notify_on_call(alert):
    return await page("soc-lead", f"{alert.severity}: {alert.title}")
