"""Read headers and links of a reported mail and find who else got it."""

from opensoar import action, add_current_alert_comment, playbook


@action(timeout=30, idempotent=True)
async def read_headers(message_id):
    """Check what the mail gateway kept of the message."""
    return {"message_id": message_id, "spf": "fail", "dkim": "none", "dmarc": "none"}


@action(timeout=60, idempotent=True)
async def find_recipients(message_id, recipients):
    """Search every mailbox for the message."""
    return {"message_id": message_id, "mailboxes": recipients}


@playbook(
    trigger="webhook",
    conditions={"tags": ["phishing"]},
    order=10,
    description="Reads headers and links, finds other recipients",
)
async def triage_phishing(alert):
    payload = alert.raw_payload or {}
    message = payload.get("message_id", "")
    headers = await read_headers(message)
    found = await find_recipients(message, payload.get("recipients", 1))
    await add_current_alert_comment(
        f"SPF {headers['spf']}, DKIM {headers['dkim']}; delivered to {found['mailboxes']} mailboxes."
    )
    return {"status": "triaged", "mailboxes": found["mailboxes"]}
