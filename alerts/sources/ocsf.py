"""OCSF: Detection Finding (2004), Incident Finding (2005) and the older Security Finding (2001), of any product.

https://schema.ocsf.io/1.5.0/classes/detection_finding
https://schema.ocsf.io/1.5.0/classes/incident_finding
https://schema.ocsf.io/1.0.0/classes/security_finding
"""

from __future__ import annotations

from typing import Any

from alerts.iocs import ObservableValue
from alerts.sources.base import NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, ignore, observable, read, stated
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="ocsf",
    product="OCSF",
    signs=(
        sign("class_uid finding_info", 0.9),
        sign("class_uid finding_info_list", 0.9),
        sign("class_uid finding.uid metadata", 0.88),
        sign("finding_info.title severity_id", 0.85),
        sign("class_name=Detection Finding", 0.8),
        sign("class_name=Incident Finding", 0.8),
        sign("class_name=Security Finding", 0.8),
        sign("class_uid severity_id metadata", 0.7),
    ),
    severities=Severities(
        {1: INFORMATIONAL, 2: LOW, 3: MEDIUM, 4: HIGH, 5: CRITICAL, 6: CRITICAL, "fatal": CRITICAL}, top=6
    ),
)

MAPPING = Mapping(
    source_id="finding_info.uid finding.uid metadata.uid finding_info_list.uid",
    title="finding_info.title finding.title message finding_info_list.title desc class_name",
    description="finding_info.desc finding.desc desc message finding_info_list.desc comment",
    event_at="finding_info.first_seen_time finding_info.first_seen_time_dt finding.first_seen_time "
    "finding.first_seen_time_dt start_time start_time_dt finding_info.created_time finding_info.created_time_dt "
    "finding.created_time finding.created_time_dt time time_dt finding_info_list.first_seen_time",
    source_ip="evidences.src_endpoint.ip src_endpoint.ip evidences.connection_info.src_ip",
    dest_ip="evidences.dst_endpoint.ip dst_endpoint.ip",
    hostname="device.hostname device.name evidences.device.hostname evidences.device.name resources.hostname "
    "evidences.src_endpoint.hostname src_endpoint.hostname",
    username="evidences.actor.user.name evidences.user.name actor.user.name user.name evidences.actor.user.email_addr "
    "actor.user.email_addr user.email_addr resources.data.user_name",
    rule_name="finding_info.analytic.name analytic.name finding_info_list.analytic.name",
    rule_id="finding_info.analytic.uid analytic.uid finding_info_list.analytic.uid",
    tags="finding_info.types finding.types finding_info_list.types metadata.labels",
    techniques="finding_info.attacks.technique.uid finding_info.attacks.sub_technique.uid attacks.technique.uid "
    "attacks.sub_technique.uid finding_info_list.attacks.technique.uid finding_info_list.attacks.sub_technique.uid",
    group_key="metadata.correlation_uid",
    vendor_url="finding_info.src_url finding.src_url src_url finding_info_list.src_url",
    process="process.name evidences.process.name evidences.actor.process.name actor.process.name",
    command_line="process.cmd_line evidences.process.cmd_line evidences.actor.process.cmd_line actor.process.cmd_line",
    email="evidences.email.from evidences.email.to",
)
# Advice, the schema and the product: nothing of what was seen.
_NO_EVIDENCE = (
    "remediation", "finding_info.remediation", "finding.remediation", "metadata", "observables",
    "enrichments", "vulnerabilities.kb_articles", "vulnerabilities.references", "vulnerabilities.remediation",
    "finding_info.src_url", "finding.src_url", "src_url", "finding_info_list.src_url", "finding_info.attacks",
    "finding_info_list.attacks", "attacks", "compliance", "ticket", "tickets", "finding_info.uid_alt",
    "evidences.dst_endpoint.hostname", "dst_endpoint.hostname", "evidences.api.service", "api.service",
)  # fmt: skip
_REMOTE_NAMES = ("evidences.dst_endpoint.hostname", "dst_endpoint.hostname")
_INCIDENT = 2005
_CLOSED_FINDING = frozenset({3, 4, 5, 6})  # suppressed, resolved, archived, deleted
_CLOSED_INCIDENT = frozenset({4, 5})  # resolved, closed; 3 is on hold
_CLOSED_WORDS = frozenset({"suppressed", "resolved", "archived", "deleted", "closed"})
_VERDICTS: dict[Any, str] = {1: "benign", 2: "malicious", 3: "benign", 4: "suspicious", 5: "benign", 6: "benign"} | {
    7: "unknown", 8: "suspicious", 9: "unknown", 10: "unknown"
}  # fmt: skip
_VERDICT_WORDS = {
    "false positive": 1, "true positive": 2, "disregard": 3, "suspicious": 4, "benign": 5, "test": 6,
    "insufficient data": 7, "security risk": 8, "managed externally": 9, "duplicate": 10,
}  # fmt: skip
_WORDS = {1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "fatal"}
_PRIORITY = ("priority", "risk_level", "impact")
# observable.type_id → our type. Those left out are objects, ports, countries and numbers.
_TYPES = {
    1: "hostname", 2: "ip", 3: "mac", 4: "username", 5: "email", 6: "url", 7: "filename", 8: "hash", 9: "process",
    13: "command_line", 16: "user_agent", 18: "cve", 23: "url", 45: "path", 46: "registry_key",
}  # fmt: skip
_MAX_OBSERVABLES = 200


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A finding or an incident in OCSF 1.0 to 1.5."""
    reader = Reader(payload)
    return read_finding(reader, MAPPING, severities, severity=severity_id(reader))


def read_finding(reader: Reader, mapping: Mapping, severities: Severities, **found: Any) -> NormalisedAlert:
    """What ``mapping`` finds in an OCSF finding, with its observables, status and verdict."""
    techniques = read_techniques(reader, mapping)
    link = next((value for value in reader.every(*mapping.paths["vendor_url"]) if value), None)
    observables = _observables(reader)
    ignore(reader, *_NO_EVIDENCE)
    values: dict[str, Any] = {
        "techniques": techniques,
        "vendor_url": link,
        "observables": observables,
        "determination": _determination(reader),
        "resolved": _is_over(reader),
    }
    return read(reader, mapping, severities, **(values | found))


def severity_id(reader: Reader) -> Any:
    """The number of the severity; where it says nothing (0, 99) the word, then how urgent the incident is."""
    number = reader.raw("severity_id")
    if type(number) is str and number.isdecimal() and len(number) < 3:
        number = int(number)
    if type(number) is int and number in _WORDS:
        return number
    for word in ("severity", *_PRIORITY):
        value = reader.raw(word)
        if type(value) is str and value.strip().lower() not in ("", "unknown", "other"):
            return value
    return None


def severity_word(reader: Reader) -> Any:
    """The same as a word, for a product whose own numbers mean something else."""
    found = severity_id(reader)
    return _WORDS[found] if type(found) is int else found


def read_techniques(reader: Reader, mapping: Mapping) -> tuple[str, ...]:
    """ATT&CK ids at the mapping's paths."""
    return techniques_in(value for value in reader.every(*mapping.paths["techniques"]) if type(value) is str)


def _observables(reader: Reader) -> tuple[ObservableValue, ...]:
    listed = reader.raw("observables")
    found = []
    for position, one in enumerate(listed[:_MAX_OBSERVABLES] if type(listed) is list else []):
        if type(one) is not dict:
            continue
        value, number, field = one.get("value"), one.get("type_id"), f"observables.{position}.value"
        kind = _TYPES.get(number) if type(number) is int else None
        if kind == "hostname" and _is_outside(one.get("name")):
            kind = "domain"
        if kind is not None:
            made = _hash(value, field) if kind == "hash" else observable(kind, value, field)
        elif type(number) is not int and type(one.get("type")) is str:
            made = stated(one["type"], value, field)
        else:
            made = None
        if made is not None:
            found.append(made)
    for path in _REMOTE_NAMES:
        for value in reader.every(path)[:50]:
            made = observable("domain", value, path) or observable("hostname", value, path)
            found += [made] if made is not None else []
    return tuple(found)


def _hash(value: Any, field: str) -> ObservableValue | None:
    made = stated("hash", value, field)
    return made if made is not None and made.type != "other" else None


def _is_outside(name: Any) -> bool:
    """Whether a host name is that of another's machine, by the attribute it stands in."""
    return type(name) is str and any(word in name.lower() for word in ("domain", "query", "url", "dns"))


def _is_over(reader: Reader) -> bool:
    status = reader.raw("status_id", "state_id")
    word = reader.raw("status", "state")
    if reader.raw("activity_id") == 3:
        return True
    if type(status) is int and status not in (0, 99):
        closed = _CLOSED_INCIDENT if reader.raw("class_uid") == _INCIDENT else _CLOSED_FINDING
        return status in closed
    return type(word) is str and word.strip().lower() in _CLOSED_WORDS


def _determination(reader: Reader) -> str | None:
    verdict, word = reader.raw("verdict_id"), reader.raw("verdict")
    if type(verdict) is int and verdict in _VERDICTS:
        return _VERDICTS[verdict]
    if type(word) is str:
        known = _VERDICT_WORDS.get(word.strip().lower().replace("_", " "))
        return _VERDICTS[known] if known else None
    # "Determined to be benign or a false positive, and suppressed", says the schema of findings.
    if reader.raw("class_uid") != _INCIDENT and reader.raw("status_id", "state_id") == 3:
        return "benign"
    return "suspicious" if reader.raw("is_suspected_breach") is True else None
