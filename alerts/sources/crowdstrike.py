"""CrowdStrike Falcon: alerts of the Alerts API v2, detection events of the event stream (also written by the Falcon
SIEM Connector), detections of the older Detects API, and the body of a Falcon Fusion webhook as our page gives it.

https://developer.crowdstrike.com/docs/openapi/ (alerts: PostEntitiesAlertsV2; detects: GetDetectSummaries)
https://falconpy.io/Service-Collections/Alerts.html
https://github.com/elastic/integrations/tree/main/packages/crowdstrike (captured payloads of the first two)
https://github.com/demisto/content/tree/master/Packs/CrowdStrikeFalcon (captured payloads of the first and the third)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from alerts.iocs import ObservableValue
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.entities import (
    a_person,
    address_of,
    first_text,
    objects,
    part,
    with_file_paths,
    without,
    words,
)
from alerts.sources.mapping import Mapping, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="crowdstrike",
    product="CrowdStrike Falcon",
    signs=(
        sign("composite_id falcon_host_link", 0.98),
        sign("composite_id aggregate_id", 0.97),
        sign("composite_id cid", 0.96),
        sign("metadata.customerIDString metadata.eventType event", 0.98),
        sign("event.FalconHostLink metadata.eventType", 0.97),
        sign("detection_id behaviors max_severity", 0.97),
        sign("detection_id behaviors first_behavior", 0.96),
    ),
    severities=Severities(
        {
            "informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL,
            0: INFORMATIONAL, 20: LOW, 40: MEDIUM, 60: HIGH, 80: CRITICAL,
        },
        top=100,
    ),
)  # fmt: skip

_ALERT = Mapping(
    source_id="composite_id detection_id id",
    title="display_name name description",
    description="description",
    severity="severity_name max_severity_displayname severity max_severity",
    event_at="timestamp context_timestamp start_time first_behavior created_timestamp",
    hostname="device.hostname hostname computer_name host_names",
    rule_name="display_name name",
    rule_id="pattern_id template_instance_id",
    tags="tags product scenario",
    techniques="technique_id mitre_attack.technique_id behaviors.technique_id",
    group_key="aggregate_id",
    vendor_url="falcon_host_link",
    command_line="cmdline behaviors.cmdline",
)
_EVENT = Mapping(
    source_id="event.CompositeId event.DetectId event.DetectionId event.IncidentID",
    title="event.DetectName event.Name event.IncidentName event.DetectDescription event.Description metadata.eventType",
    description="event.DetectDescription event.Description event.IncidentDescription",
    severity="event.SeverityName event.Severity",
    event_at="metadata.eventCreationTime event.ContextTimeStamp event.StartTime event.ProcessStartTime",
    hostname="event.ComputerName event.Hostname event.EndpointName event.HostNames",
    rule_name="event.DetectName event.Name event.IncidentName",
    rule_id="event.PatternId",
    tags="event.Tags",
    techniques="event.TechniqueId event.MitreAttack.TechniqueID",
    group_key="event.AggregateId",
    vendor_url="event.FalconHostLink",
    command_line="event.CommandLine",
)
_STREAM_SEVERITIES = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical"}
# Our own network and machines, people who work on it, encoded graph edges, and the system's programs that started the
# one in question.
_NO_OBSERVABLES = (
    "device.external_ip", "device.mac_address", "device.hostinfo", "device.machine_domain", "device.site_name",
    "hostinfo", "external_ip", "event.MACAddress", "event.MachineDomain", "event.LogonDomain", "event.HostGroups",
    "source_account_domain", "source_account_name", "source_endpoint_host_name", "target_endpoint_host_name",
    "target_domain_controller_host_name", "event.SourceAccountDomain", "event.SourceEndpointHostName",
    "event.TargetEndpointHostName", "assigned_to_name", "assigned_to_uid", "comment", "comments", "crawl_edge_ids",
    "crawl_vertex_ids", "poly_id", "parent_details", "grandparent_details",
)  # fmt: skip

_VERDICTS = {"true_positive": "malicious", "false_positive": "benign", "ignored": "unknown"}
_OVER = frozenset({"closed", "false_positive", "ignored", "resolved"})
_NO_HASHES = frozenset({"0" * 32, "0" * 40, "0" * 64})
_HASH_KEYS = frozenset(
    {"md5", "sha1", "sha256", "MD5String", "SHA1String", "SHA256String", "IOCValue", "ioc_value"}
)


class _Connection(NamedTuple):
    source_ip: str | None
    dest_ip: str | None


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A detection of Falcon's."""
    if part(payload, "event"):
        return _of_stream(payload, severities)
    gravest = _gravest(payload)
    ends = _ends(payload, "network_accesses")
    name = first_text(payload, "display_name", "name") or first_text(gravest, "display_name")
    return read(
        Reader(_computed(without(payload, *_NO_OBSERVABLES))),
        _ALERT,
        severities,
        title=name,
        description=first_text(payload, "description") or first_text(gravest, "description"),
        rule_name=name or first_text(gravest, "scenario"),
        rule_id=payload.get("pattern_id") or gravest.get("behavior_id"),
        source_ip=ends.source_ip
        or _first_address(payload, "source_endpoint_address_ip4", "source_endpoint_ip_address"),
        dest_ip=ends.dest_ip
        or _first_address(payload, "target_endpoint_address_ip4", "target_endpoint_ip_address"),
        hostname=first_text(part(payload, "device"), "hostname")
        or first_text(payload, "source_endpoint_host_name"),
        username=a_person(_users(payload, gravest)),
        determination=_verdict(payload),
        resolved=(first_text(payload, "status") or "").lower() in _OVER,
        observables=_named(
            payload, "source_endpoint_host_name", "target_endpoint_host_name", "source_account_name"
        ),
    )


def _of_stream(payload: dict[str, Any], severities: Severities) -> NormalisedAlert:
    event = part(payload, "event")
    ends = _ends(event, "NetworkAccesses")
    users = (first_text(event, "UserName", "SourceAccountName"), first_text(event, "SourceAccountUpn"))
    plain = without(payload, *_NO_OBSERVABLES)
    seen = with_file_paths(_computed(part(plain, "event")), "FilePath", "FileName")
    return read(
        Reader({**plain, "event": seen}),
        _EVENT,
        severities,
        severity=_stream_severity(payload, event),
        source_ip=ends.source_ip
        or _first_address(event, "SourceEndpointIpAddress", "SourceEndpointAddressIP4"),
        dest_ip=ends.dest_ip or _first_address(event, "TargetEndpointIpAddress", "TargetEndpointAddressIP4"),
        hostname=first_text(event, "ComputerName", "Hostname", "SourceEndpointHostName"),
        username=a_person(users),
        determination=_verdict({"status": event.get("Status"), "resolution": event.get("Resolution")}),
        resolved=(first_text(event, "Status") or "").lower() in _OVER,
        observables=_named(event, "SourceEndpointHostName", "TargetEndpointHostName", "SourceAccountName"),
    )


def _named(holder: dict[str, Any], source: str, target: str, account: str) -> tuple[ObservableValue, ...]:
    """Names of machines and accounts under keys that say only to us what they are."""
    found = (
        observable("hostname", first_text(holder, source), source),
        observable("hostname", first_text(holder, target), target),
        observable("username", first_text(holder, account), account),
    )
    return tuple(one for one in found if one is not None)


def _stream_severity(payload: dict[str, Any], event: dict[str, Any]) -> str | None:
    """DetectionSummaryEvent counts from 1 to 5, its successors from 0 to 100."""
    number = event.get("Severity")
    old = part(payload, "metadata").get("eventType") == "DetectionSummaryEvent"
    if not old or first_text(event, "SeverityName") or type(number) is not int:
        return None
    return _STREAM_SEVERITIES.get(number)


def _gravest(payload: dict[str, Any]) -> dict[str, Any]:
    """The behaviour that an older detection is about: it has several and no name of its own."""
    behaviours = objects(payload.get("behaviors"))
    return max(behaviours, key=_weight, default={})


def _weight(behaviour: dict[str, Any]) -> float:
    value = behaviour.get("severity")
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 100 else -1.0


def _users(payload: dict[str, Any], gravest: dict[str, Any]) -> Iterable[str | None]:
    yield first_text(payload, "user_name", "source_account_name", "user_principal", "source_account_upn")
    yield first_text(gravest, "user_name")
    yield from (first_text(one, "user_name") for one in objects(payload.get("behaviors")))


def _ends(holder: dict[str, Any], key: str) -> _Connection:
    """The two ends of the first connection; ``0`` or ``Outbound`` is one of ours."""
    for access in objects(holder.get(key)):
        local = address_of(first_text(access, "local_address", "LocalAddress"))
        remote = address_of(first_text(access, "remote_address", "RemoteAddress"))
        if remote is not None:
            way = access.get("connection_direction", access.get("ConnectionDirection"))
            inbound = way == 1 or (type(way) is str and way.strip().lower() in ("1", "inbound"))
            return _Connection(remote, local) if inbound else _Connection(local, remote)
    return _Connection(None, None)


def _first_address(holder: dict[str, Any], *keys: str) -> str | None:
    return next((address for key in keys if (address := address_of(holder.get(key)))), None)


def _verdict(payload: dict[str, Any]) -> str | None:
    for word in (
        first_text(payload, "resolution"),
        first_text(payload, "status"),
        *sorted(words(payload.get("tags"))),
    ):
        found = _VERDICTS.get((word or "").lower().replace(" ", "_"))
        if found:
            return found
    return None


def _computed(holder: dict[str, Any]) -> dict[str, Any]:
    """``holder`` without hashes of zeros: they say that none was computed."""
    return {
        key: value
        for key, value in holder.items()
        if not (key in _HASH_KEYS and type(value) is str and value in _NO_HASHES)
    }
