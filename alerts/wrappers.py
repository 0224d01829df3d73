"""What vendors put around several alerts, and around one.

A wrapper holds a list, each element of which is an alert. An envelope holds one JSON document as text.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, NamedTuple


class Wrapper(NamedTuple):
    """An object with alerts in a list."""

    format: str
    path: tuple[str, ...]
    """Where the list stands."""
    beside: tuple[str, ...] = ()
    """Keys that the object has as well; only with these is it this wrapper."""
    common: tuple[str, ...] = ()
    """Texts of the object that each alert gets."""
    alone: bool = False
    """The object holds nothing else."""
    like: str = ""
    """What a key of the first alert begins with."""

    def alerts_in(self, wrapper: dict[str, Any]) -> list[dict[str, Any]] | None:
        """The alerts; None when ``wrapper`` is not of this kind."""
        if self.alone and len(wrapper) > 1:
            return None
        found: Any = wrapper
        for name in self.path:
            if type(found) is not dict:
                return None
            found = found.get(name)
        if type(found) is not list or not found or not all(type(item) is dict for item in found):
            return None
        if self.like and not any(key.startswith(self.like) for key in found[0]):
            return None
        return found if all(key in wrapper for key in self.beside) else None


_NOTIFICATION = ("receiver", "groupKey", "externalURL")
WRAPPERS = (
    Wrapper("alertmanager", ("alerts",), ("groupKey",), _NOTIFICATION),
    Wrapper("alertmanager", ("alerts",), ("receiver", "status"), _NOTIFICATION),
    Wrapper("array", ("alerts",), alone=True),
    Wrapper("iris", ("alerts",), like="alert_title"),
    Wrapper("elastic", ("alerts",), like="kibana"),
    Wrapper("elastic", ("alerts",), like="signal"),
    Wrapper("elastic", ("context", "alerts")),
    Wrapper("elastic", ("context.alerts",)),
    Wrapper("elastic", ("hits", "hits"), ("took",)),
    Wrapper("securityhub", ("detail", "findings"), ("detail-type",)),
    Wrapper("aws", ("Findings",)),
    Wrapper("aws", ("findings",), alone=True),
    Wrapper("google_scc", ("listFindingsResults",)),
    Wrapper("azure", ("records",), alone=True),
    Wrapper("graph", ("value",), ("@odata.context",)),
    Wrapper("graph", ("value",), alone=True),
    Wrapper("crowdstrike", ("resources",), ("meta",)),
    Wrapper("sentinelone", ("data",), ("pagination",)),
)


def opened(value: dict[str, Any]) -> bytes | None:
    """The document in an Amazon SNS notification, a Google Pub/Sub push, or an Elastic action whose alerts were put in
    quotes; None when ``value`` is none of these."""
    context = value.get("context")
    text: Any = context.get("alerts") if type(context) is dict else value.get("context.alerts")
    if type(text) is str and text.lstrip().startswith("{") and text.rstrip().endswith("}"):
        return f"[{text}]".encode(
            "utf-8", "replace"
        )  # Kibana puts commas between them, and no brackets around
    text = value.get("Message")
    if value.get("Type") == "Notification" and "TopicArn" in value and type(text) is str:
        return _if_json(text.encode("utf-8", "replace"))
    message = value.get("message")
    if type(message) is dict and "subscription" in value and type(message.get("data")) is str:
        try:
            return _if_json(base64.b64decode(message["data"], validate=True))
        except (binascii.Error, ValueError):
            return None
    return None


# Whoever may send an alert may send this message too: only an address of SNS itself is one to open. It is matched whole,
# as browsers and parsers do not agree on what the host of an odd one is; buckets of anybody end in amazonaws.com as well.
_CONFIRMATION = re.compile(
    r"https://sns(-fips)?\.[a-z0-9-]{3,40}\.amazonaws\.com(\.cn)?/[\w/?&=%.:~+-]{0,1000}", re.ASCII
)


def why_no_alert(value: dict[str, Any]) -> str | None:
    """What to do about a message that is addressed to whoever set the sender up."""
    url = value.get("SubscribeURL")
    if value.get("Type") != "SubscriptionConfirmation" or type(url) is not str:
        return None
    if _CONFIRMATION.fullmatch(url):
        return f"Amazon SNS asks to confirm the subscription: open {url}"
    return "It asks to confirm a subscription, at an address that is not one of Amazon SNS: do not open it"


def _if_json(body: bytes) -> bytes | None:
    body = body.strip()
    return body if body[:1] in (b"{", b"[") else None
