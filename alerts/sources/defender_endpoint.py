"""Microsoft Defender for Endpoint: alerts of its own API (``api.security.microsoft.com/api/alerts``).

https://learn.microsoft.com/defender-endpoint/api/alerts
https://learn.microsoft.com/defender-endpoint/api/get-alert-info-by-id
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from alerts.iocs import ObservableValue
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.entities import a_person, an_address, first_text, objects, part, with_file_paths, without
from alerts.sources.mapping import Mapping, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="defender_endpoint",
    product="Microsoft Defender for Endpoint",
    signs=(
        sign("alertCreationTime computerDnsName machineId", 0.98),
        sign("alertCreationTime detectionSource investigationState", 0.95),
        sign("alertCreationTime firstEventTime evidence", 0.94),
        sign("alertCreationTime firstEventTime incidentId", 0.93),
        sign("alertCreationTime detectorId", 0.9),
    ),
    severities=Severities({"informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH}),
)

_MAPPING = Mapping(
    source_id="id",
    title="title",
    description="description",
    severity="severity",
    event_at="firstEventTime alertCreationTime",
    hostname="computerDnsName",
    rule_name="title",
    rule_id="detectorId",
    tags="category threatFamilyName threatName detectionSource",
    techniques="mitreTechniques",
    group_key="incidentId",
    command_line="evidence.processCommandLine",
)
# The people who work on it; domains of Windows accounts are no domains of the DNS.
_NO_OBSERVABLES = (
    "assignedTo",
    "comments",
    "evidence.domainName",
    "relatedUser.domainName",
    "loggedOnUsers.domainName",
)

_VERDICTS = {
    "truepositive": "malicious",
    "falsepositive": "benign",
    "informationalexpectedactivity": "benign",
}
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of Defender for Endpoint's."""
    payload = without(payload, *_NO_OBSERVABLES)
    if type(payload.get("evidence")) is list:
        payload = {**payload, "evidence": [_with_paths(one) for one in payload["evidence"]]}
    evidence = objects(payload.get("evidence"))
    status, verdict = first_text(payload, "status"), first_text(payload, "classification")
    return read(
        Reader(payload),
        _MAPPING,
        severities,
        source_ip=an_address(one.get("ipAddress") for one in evidence),
        username=a_person(_users(payload, evidence)),
        vendor_url=_link(payload),
        determination=_VERDICTS.get((verdict or "").lower()),
        resolved=(status or "").lower() == "resolved",
        observables=tuple(_registry_keys(evidence)),
    )


def _with_paths(one: Any) -> Any:
    if type(one) is not dict:
        return one
    one = with_file_paths(one, "filePath", "fileName")
    return with_file_paths(one, "parentProcessFilePath", "parentProcessFileName")


def _users(payload: dict[str, Any], evidence: list[dict[str, Any]]) -> Iterable[str | None]:
    yield first_text(part(payload, "relatedUser"), "userName")
    for one in evidence:
        if (first_text(one, "entityType") or "").lower() in ("user", "mailbox"):
            yield first_text(one, "userPrincipalName", "accountName")
    for user in objects(payload.get("loggedOnUsers")):
        yield first_text(user, "accountName")


def _link(payload: dict[str, Any]) -> str | None:
    """The alert's page in the Defender portal; the API does not say it."""
    number, tenant = first_text(payload, "id"), first_text(payload, "aadTenantId")
    if number is None or not _ID.fullmatch(number):
        return None
    link = f"https://security.microsoft.com/alerts/{number}"
    return f"{link}?tid={tenant}" if tenant and _ID.fullmatch(tenant) else link


def _registry_keys(evidence: list[dict[str, Any]]) -> Iterable[ObservableValue]:
    for one in evidence:
        hive, key = first_text(one, "registryHive"), first_text(one, "registryKey")
        if hive and key:
            made = observable("registry_key", f"{hive}\\{key}", "evidence.registryKey")
            if made is not None:
                yield made
