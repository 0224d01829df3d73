"""Microsoft Defender XDR: alerts and incidents of the Microsoft Graph security API.

https://learn.microsoft.com/graph/api/resources/security-alert
https://learn.microsoft.com/graph/api/security-list-alerts_v2
https://learn.microsoft.com/graph/api/resources/security-incident
https://learn.microsoft.com/graph/api/resources/security-alertevidence
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from alerts.iocs import ObservableValue
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.entities import (
    a_person,
    address_of,
    an_address,
    first_text,
    objects,
    part,
    with_file_paths,
    without,
    words,
)
from alerts.sources.mapping import Mapping, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="defender",
    product="Microsoft Defender XDR",
    signs=(
        sign("@odata.type=#microsoft.graph.security.alert", 0.98),
        sign("@odata.type=#microsoft.graph.security.incident", 0.98),
        sign("providerAlertId serviceSource createdDateTime", 0.96),
        sign("alertWebUrl createdDateTime title", 0.95),
        sign("incidentWebUrl createdDateTime displayName", 0.95),
    ),
    severities=Severities({"informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH}),
)

_MAPPING = Mapping(
    source_id="id providerAlertId",
    title="title displayName",
    description="description summary",
    severity="severity",
    event_at="firstActivityDateTime createdDateTime alerts.firstActivityDateTime",
    rule_name="title",
    rule_id="detectorId alertPolicyId",
    tags="systemTags customTags tags category serviceSource",
    techniques="mitreTechniques alerts.mitreTechniques",
    vendor_url="alertWebUrl incidentWebUrl",
)
# The people who work on it, the public addresses of our own network, and advice that is the same in every alert.
_NO_OBSERVABLES = (
    "assignedTo", "comments", "recommendedActions", "lastModifiedBy", "resolvingComment",
    "evidence.lastExternalIpAddress", "evidence.ipInterfaces", "evidence.dnsDomain", "evidence.internetMessageId",
)  # fmt: skip
_FILES = ("fileDetails", "imageFile", "parentProcessImageFile")

_VERDICTS = {
    "truepositive": "malicious",
    "falsepositive": "benign",
    "informationalexpectedactivity": "benign",
}
_ATTACKER = frozenset({"attacker", "source"})
_TARGET = frozenset({"attacked", "destination", "commandandcontrol", "scanned"})
_OURS = frozenset({"compromised"})


class _Found(NamedTuple):
    """What the evidence says."""

    source_ip: str | None
    dest_ip: str | None
    hostname: str | None
    username: str | None
    observables: tuple[ObservableValue, ...]


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert or incident of Defender XDR."""
    payload = without(payload, *_NO_OBSERVABLES)
    alerts = [_plain(alert) for alert in objects(payload.get("alerts"))]
    payload = _plain({**payload, "alerts": alerts} if alerts else payload)
    reader = Reader(payload)
    evidence = [one for alert in (payload, *alerts) for one in objects(alert.get("evidence"))]
    found = _evidence(evidence)
    status = payload.get("status")
    verdict = payload.get("classification")
    return read(
        reader,
        _MAPPING,
        severities,
        group_key=payload.get("incidentId") or (payload.get("id") if _is_incident(payload) else None),
        source_ip=found.source_ip,
        dest_ip=found.dest_ip,
        hostname=found.hostname,
        username=found.username,
        determination=_VERDICTS.get(verdict.strip().lower()) if type(verdict) is str else None,
        resolved=type(status) is str and status.strip().lower() == "resolved",
        observables=found.observables,
    )


def _is_incident(payload: dict[str, Any]) -> bool:
    return "incidentWebUrl" in payload and "alertWebUrl" not in payload and "displayName" in payload


def _plain(alert: dict[str, Any]) -> dict[str, Any]:
    """``alert`` as the observables are to be read of it: whole file paths, nobody's advice."""
    alert = without(alert, *_NO_OBSERVABLES)
    if type(alert.get("evidence")) is not list:
        return alert
    return {
        **alert,
        "evidence": [_with_paths(one) if type(one) is dict else one for one in alert["evidence"]],
    }


def _with_paths(evidence: dict[str, Any]) -> dict[str, Any]:
    files = {
        key: with_file_paths(part(evidence, key), "filePath", "fileName")
        for key in _FILES
        if part(evidence, key)
    }
    return {**evidence, **files} if files else evidence


def _kind(evidence: dict[str, Any]) -> str:
    return (first_text(evidence, "@odata.type") or "").rpartition(".")[2].lower()


def _evidence(given: list[dict[str, Any]]) -> _Found:
    source, dest = _connection(given)
    return _Found(
        source,
        dest,
        _device(given),
        a_person(_users(given)),
        tuple(_observables(given)),
    )


def _connection(given: list[dict[str, Any]]) -> tuple[str | None, str | None]:
    """From where to where: one connection's two ends where there is one, else addresses by their roles."""
    sides: dict[str, list[str | None]] = {"source": [], "dest": [], "": []}
    for one in given:
        kind = _kind(one)
        if kind == "networkconnectionevidence":
            ends = [_end(one, key) for key in ("sourceAddress", "destinationAddress")]
            if any(ends):
                return ends[0], ends[1]
        elif kind == "analyzedmessageevidence":
            sides["source"].append(first_text(one, "senderIp"))
        elif kind == "ipevidence":
            roles = words(one.get("roles"))
            side = "source" if roles & _ATTACKER else "dest" if roles & _TARGET else ""
            if side or not roles & _OURS:
                sides[side].append(first_text(one, "ipAddress"))
    return an_address(sides["source"]) or an_address(sides[""]), an_address(sides["dest"])


def _end(connection: dict[str, Any], key: str) -> str | None:
    return address_of(first_text(part(connection, key), "ipAddress") or connection.get(key))


def _device(given: list[dict[str, Any]]) -> str | None:
    """The machine that was attacked before one that is only mentioned."""
    devices = [one for one in given if _kind(one) == "deviceevidence"]
    devices.sort(key=lambda one: not words(one.get("roles")) & {"compromised", "attacked"})
    return next(filter(None, (first_text(one, "deviceDnsName", "hostName") for one in devices)), None)


def _account(holder: dict[str, Any]) -> str | None:
    return first_text(part(holder, "userAccount"), "userPrincipalName", "accountName")


def _users(given: list[dict[str, Any]]) -> Iterable[str | None]:
    yield from (_account(one) for one in given if _kind(one) == "userevidence")
    for one in given:
        kind = _kind(one)
        if kind == "mailboxevidence":
            yield _account(one) or first_text(one, "primaryAddress", "upn")
        elif kind == "analyzedmessageevidence":
            yield first_text(one, "recipientEmailAddress")
    yield from (_account(one) for one in given if _kind(one) == "processevidence")
    for one in given:
        if _kind(one) == "deviceevidence":
            yield from (first_text(user, "accountName") for user in objects(one.get("loggedOnUsers")))


def _observables(given: list[dict[str, Any]]) -> Iterable[ObservableValue]:
    """What stands under keys that say nothing by themselves, or in two parts."""
    for one in given:
        hive, key = first_text(one, "registryHive"), first_text(one, "registryKey")
        found = (
            ("command_line", first_text(one, "processCommandLine")),
            ("registry_key", f"{hive}\\{key}" if hive and key and not key.startswith(hive) else key),
            ("email", first_text(one, "primaryAddress")),
            ("email", first_text(part(one, "p1Sender"), "emailAddress")),
            ("email", first_text(part(one, "p2Sender"), "emailAddress")),
        )
        for what, value in found:
            made = observable(what, value, f"evidence {_kind(one)}".strip())
            if made is not None:
                yield made
