"""What Amazon's sources share: the envelopes their findings come in, addresses, and links into the console."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from alerts.iocs import ObservableValue
from alerts.sources.base import Reader
from alerts.sources.mapping import observable, with_embedded_json
from alerts.sources.registry import Sign

_REGION = re.compile(r"[a-z]{2,6}(?:-[a-z]+){1,3}-[0-9]")
_HEAD = 2000  # EventBridge writes the source among its first keys
_CONSOLES = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
# Actions that say where a call or login came from; none of them is a connection to a machine.
_CALLS = ("awsApiCallAction", "kubernetesApiCallAction", "rdsLoginAttemptAction")


class InSns(Sign):
    """The sign of an SNS notification with all of ``has`` near the beginning of its message, which is JSON in a string."""

    def is_in(self, payload: dict[str, Any]) -> bool:
        message = payload.get("Message")
        if type(message) is not str or "TopicArn" not in payload:
            return False
        head = message[:_HEAD]
        return all(text in head for text in self.has)


def unwrap(payload: dict[str, Any]) -> dict[str, Any]:
    """What an SNS notification or an EventBridge event, or one within the other, carries; else ``payload`` itself."""
    if "TopicArn" in payload:
        message = with_embedded_json(payload, "Message").get("Message")
        payload = message if type(message) is dict else payload
    detail = payload.get("detail")
    return detail if type(detail) is dict else payload


def ends(reader: Reader, action: str, machine: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Where the activity at ``action`` came from and went to; ``machine`` are paths of the own machine's address."""

    def addresses(kinds: tuple[str, ...], side: str) -> tuple[str, ...]:
        return tuple(
            f"{action}.{kind}.{side}IpDetails.ipAddress{version}"
            for kind in kinds
            for version in ("V4", "V6")
        )

    call = reader.address("source_ip", addresses(_CALLS, "remote"))
    if call is not None:
        return call, None
    if reader.has(f"{action}.dnsRequestAction") or reader.raw(f"{action}.actionType") == "DNS_REQUEST":
        return reader.address("source_ip", machine), None
    kinds = ("networkConnectionAction", "portProbeAction.portProbeDetails")
    remote = reader.address("source_ip", addresses(kinds, "remote"))
    if remote is None:
        return None, None
    local = reader.address("dest_ip", (*addresses(kinds, "local"), *machine))
    direction = reader.raw(f"{action}.networkConnectionAction.connectionDirection")
    if direction == "OUTBOUND" or (direction != "INBOUND" and reader.raw("service.resourceRole") == "ACTOR"):
        return local, remote
    return remote, local


def ours(reader: Reader, *paths: str) -> tuple[ObservableValue, ...]:
    """The addresses at ``paths`` as those of our own machines: public ones too are not to be taken for indicators."""
    found = (observable("ip", value, path) for path in paths for value in reader.every(path)[:50])
    return tuple(replace(one, internal=True) for one in found if one is not None)


def console_url(partition: Any, region: Any, path: str, value: str | None) -> str | None:
    """The page of the console at ``path``, in which ``{region}`` and ``{value}`` stand; None when they are no good."""
    host = _CONSOLES.get(partition) if type(partition) is str else _CONSOLES["aws"]
    if host is None or value is None or type(region) is not str or _REGION.fullmatch(region) is None:
        return None
    filled = path.format(region=region, value=quote(value, safe=""))
    return f"https://{host.format(region=region)}{filled}"
