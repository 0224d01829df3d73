"""SentinelOne Singularity: threats of the API 2.1 and 2.0, alerts of custom (STAR) rules, unified alerts; each alone or
in the ``data`` of an answer.

The API's documentation is in every console (``https://<console>/api-doc/``: threats, cloud-detection/alerts). Captured
payloads: https://github.com/elastic/integrations/tree/main/packages/sentinel_one (threat, alert, unified_alert).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alerts.iocs import ObservableValue
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.entities import a_person, first_text, objects, part, without
from alerts.sources.mapping import Mapping, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="sentinelone",
    product="SentinelOne Singularity",
    signs=(
        sign("threatInfo agentRealtimeInfo", 0.98),
        sign("threatInfo agentDetectionInfo", 0.98),
        sign("data.threatInfo", 0.97),
        sign("alertInfo ruleInfo agentDetectionInfo", 0.98),
        sign("alertInfo.alertId ruleInfo.name", 0.97),
        sign("data.alertInfo data.ruleInfo", 0.97),
        sign("detectionSource.vendor=SentinelOne severity", 0.96),
        sign("analystVerdict detectionSource assets confidenceLevel", 0.95),
        sign("threatName agentComputerName classification", 0.93),
    ),
    severities=Severities(
        {
            "info": INFORMATIONAL, "informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH,
            "critical": CRITICAL, "suspicious": MEDIUM, "malicious": HIGH,
            0: INFORMATIONAL, 1: LOW, 4: MEDIUM, 7: HIGH, 9: CRITICAL,
        },
        top=10,
    ),
)  # fmt: skip

_MAPPING = Mapping(
    source_id="alertInfo.alertId threatInfo.threatId id",
    title="ruleInfo.name name threatName",
    description="ruleInfo.description description",
    severity="ruleInfo.severity severity threatInfo.confidenceLevel confidenceLevel rank",
    event_at="threatInfo.identifiedAt threatInfo.createdAt alertInfo.createdAt alertInfo.reportedAt detectedAt "
    "firstSeenAt createdAt createdDate",
    source_ip="alertInfo.srcIp alertInfo.srcMachineIp detectionTime.attacker.ip",
    dest_ip="alertInfo.dstIp",
    hostname="agentRealtimeInfo.agentComputerName agentRealtimeInfo.name agentDetectionInfo.name assets.name "
    "agentComputerName",
    rule_name="ruleInfo.name threatInfo.detectionEngines.title threatInfo.engines analytics.name engines",
    rule_id="ruleInfo.id threatInfo.detectionEngines.key analytics.uid",
    tags="threatInfo.classification classification attackSurfaces",
    techniques="indicators.tactics.techniques.name indicators.techniques.name",
    group_key="threatInfo.storyline sourceProcessInfo.storyline storylineId storyline",
    command_line="threatInfo.maliciousProcessArguments sourceProcessInfo.commandline process.cmdLine "
    "maliciousProcessArguments",
)
# Our own network and its names, people who work on it, links to ATT&CK, and the program that started the one at issue.
_NO_OBSERVABLES = (
    "agentDetectionInfo.externalIp", "agentDetectionInfo.agentDomain", "agentDetectionInfo.accountName",
    "agentDetectionInfo.agentLastLoggedInUserMail", "agentDetectionInfo.agentLastLoggedInUpn",
    "agentRealtimeInfo.agentDomain", "agentRealtimeInfo.accountName", "agentRealtimeInfo.networkInterfaces.physical",
    "indicators.tactics.techniques.link", "sourceParentProcessInfo", "threatInfo.initiatingUsername", "assignee",
    "detectionTime.scope", "realTime", "detectionTime.assets.scope", "detectionTime.assets.asset.consoleIpAddress",
    "detectionTime.assets.asset.domain", "detectionTime.targetUser.domain", "detectionTime.attacker.host",
    "ruleInfo.s1ql", "agentDomain", "agentIp", "accountName",
)  # fmt: skip

_OVER = frozenset({"resolved", "closed"})


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A threat or alert of SentinelOne's."""
    whole = _unwrapped(payload)
    payload = without(whole, *_NO_OBSERVABLES)
    if payload.get("description") == "Not available":
        payload = without(payload, "description")
    threat, alert = part(payload, "threatInfo"), part(payload, "alertInfo")
    status = first_text(threat, "incidentStatus") or first_text(alert, "incidentStatus")
    return read(
        Reader(payload),
        _MAPPING,
        severities,
        title=_title(payload, threat),
        description=_description(payload, threat),
        username=a_person(_users(payload, threat, alert)),
        determination=_verdict(
            first_text(threat, "analystVerdict")
            or first_text(alert, "analystVerdict")
            or first_text(payload, "analystVerdict")
        ),
        resolved=(status or first_text(payload, "status", "incidentStatus") or "").lower() in _OVER
        or payload.get("resolved") is True,
        observables=tuple(_observables(whole)),
    )


def _unwrapped(payload: dict[str, Any]) -> dict[str, Any]:
    """The one threat or alert that is the ``data`` of an answer or of a message."""
    data = payload.get("data")
    if type(data) is list and len(data) == 1:
        data = data[0]
    if type(data) is dict and ("threatInfo" in data or "alertInfo" in data):
        return data
    return payload


def _title(payload: dict[str, Any], threat: dict[str, Any]) -> str | None:
    """A threat is named by its file alone; unified alerts put it as here."""
    name = first_text(threat, "threatName") or first_text(payload, "threatName")
    kind = first_text(threat, "classification") or (first_text(payload, "classification") if name else None)
    if threat and not name:
        return f"{kind or 'Threat'} detected"
    return f"{name} detected as {kind}" if kind else name


def _description(payload: dict[str, Any], threat: dict[str, Any]) -> str | None:
    """What a threat's indicators and its mitigation say: it has no description of its own."""
    if not threat:
        return None
    lines = [
        ": ".join(filter(None, (first_text(one, "category"), first_text(one, "description"))))
        for one in objects(payload.get("indicators"))[:100]
    ]
    path = first_text(threat, "filePath")
    state = first_text(threat, "mitigationStatusDescription", "mitigationStatus")
    return (
        "\n".join(
            filter(None, (path and f"File: {path}", state and f"Mitigation: {state}", *dict.fromkeys(lines)))
        )
        or None
    )


def _users(payload: dict[str, Any], threat: dict[str, Any], alert: dict[str, Any]) -> Iterable[str | None]:
    yield first_text(alert, "loginsUserName")
    yield first_text(threat, "processUser")
    yield first_text(part(payload, "sourceProcessInfo"), "user", "loginUser", "realUser")
    target = part(payload, "detectionTime", "targetUser")
    yield first_text(target, "emailAddress", "name")
    yield first_text(payload, "username", "processUser")
    yield from (first_text(asset, "lastLoggedInUser") for asset in objects(payload.get("assets")))
    yield first_text(part(payload, "agentDetectionInfo"), "agentLastLoggedInUserName")


def _observables(payload: dict[str, Any]) -> Iterable[ObservableValue]:
    """Names under keys that say nothing by themselves."""
    realtime, detected = part(payload, "agentRealtimeInfo"), part(payload, "agentDetectionInfo")
    attacker = first_text(part(payload, "detectionTime", "attacker"), "host")
    found = [
        observable("hostname", first_text(realtime, "agentComputerName", "name"), "agentRealtimeInfo"),
        observable("hostname", first_text(detected, "name"), "agentDetectionInfo.name"),
        observable("hostname", first_text(payload, "agentComputerName"), "agentComputerName"),
        *(
            observable("hostname", first_text(asset, "name"), "assets.name")
            for asset in objects(payload.get("assets"))
        ),
        observable(
            "username", first_text(part(payload, "threatInfo"), "processUser"), "threatInfo.processUser"
        ),
        observable("domain", attacker, "detectionTime.attacker.host")
        or observable("hostname", attacker, "detectionTime.attacker.host"),
    ]
    yield from (one for one in found if one is not None)


def _verdict(word: str | None) -> str | None:
    """``true_positive`` of a threat; of unified alerts also ``TRUE_POSITIVE_BENIGN_BUT_SUSPICIOUS`` and the like."""
    text = (word or "").lower().replace(" ", "_")
    if text.startswith("false_positive") or text == "benign":
        return "benign"
    if "suspicious" in text:
        return "suspicious"
    return "malicious" if text.startswith("true_positive") or text == "malicious" else None
