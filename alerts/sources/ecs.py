"""Any product's alerts in the Elastic Common Schema: documents with ``event.kind`` alert or signal, flat or nested.

https://www.elastic.co/guide/en/ecs/current/ecs-event.html
https://www.elastic.co/guide/en/ecs/current/ecs-rule.html
https://www.elastic.co/guide/en/ecs/current/ecs-threat.html
https://www.elastic.co/guide/en/ecs/current/ecs-allowed-values-event-kind.html
"""

from __future__ import annotations

from typing import Any

from alerts.sources import severity
from alerts.sources.base import NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, ignore, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="ecs",
    product="Elastic Common Schema",
    signs=(
        sign("ecs.version event.kind=alert", 0.85),
        sign("ecs.version event.kind=signal", 0.85),
        sign("@timestamp event.kind=alert", 0.75),
        sign("@timestamp event.kind=signal", 0.75),
        sign("_source.event.kind=alert", 0.75),
        sign("_source.event.kind=signal", 0.75),
        sign("event.kind=alert", 0.65),
        sign("event.kind=signal", 0.65),
        sign("ecs.version @timestamp", 0.6),
        sign("_index _source.ecs.version", 0.6),
    ),
    severities=Severities(
        {"informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL}
    ),
)

_MAPPING = Mapping(
    source_id="event.id _id event.hash",
    title="rule.name threat.indicator.description event.reason message event.action rule.description event.category",
    description="event.reason message rule.description event.original",
    event_at="event.start @timestamp event.created event.ingested",
    source_ip="source.ip client.ip",
    dest_ip="destination.ip server.ip",
    hostname="host.name host.hostname",
    username="user.name source.user.name client.user.name user.email user.target.name",
    rule_name="rule.name rule.ruleset",
    rule_id="rule.id rule.uuid",
    tags="tags rule.category",
    techniques="threat.technique.id threat.technique.subtechnique.id",
    vendor_url="event.url",
    partner="partner",
    process="process.name process.parent.name",
    command_line="process.command_line",
    filename="file.name",
    email="email.from.address email.sender.address",
)
_NO_EVIDENCE = (
    "_index", "_id", "agent", "ecs", "elastic", "data_stream", "observer", "log", "host.os", "rule.reference",
    "event.reference", "event.url", "event.dataset", "event.module", "event.provider", "threat.technique",
    "threat.tactic", "threat.framework", "threat.software.reference", "threat.group.reference", "input", "cloud.image",
)  # fmt: skip
# What the integrations of Elastic write into event.severity whatever the vendor's own scale is.
_ELASTIC = {21: LOW, 47: MEDIUM, 73: HIGH, 99: CRITICAL}
_SURICATA = {1: HIGH, 2: MEDIUM, 3: LOW, 4: INFORMATIONAL}


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert in ECS."""
    inner = payload.get("_source")
    if type(inner) is dict:
        payload = {**{name: payload[name] for name in ("_id", "_index") if name in payload}, **inner}
    reader = Reader(payload)
    techniques = techniques_in(
        value for value in reader.every(*_MAPPING.paths["techniques"]) if type(value) is str
    )
    link = next((value for value in reader.every("event.url") if type(value) is str), None)
    grade = _severity(reader, severities)
    ignore(reader, *_NO_EVIDENCE)
    return read(reader, _MAPPING, severities, severity=grade, techniques=techniques, vendor_url=link)


def _severity(reader: Reader, severities: Severities) -> Any:
    """A word, or a number whose scale is known; ``event.severity`` is otherwise the vendor's and means nothing to us."""
    value = reader.raw("event.severity")
    value = value[0] if type(value) is list and value else value
    if type(value) is str and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    if severities.knows(value) or type(value) is str:
        return value
    if type(value) in (int, float):
        module = reader.raw("event.module")
        known = _ELASTIC.get(value) or (_SURICATA.get(value) if module == "suricata" else None)
        if known is None and reader.raw("event.dataset") == "aws.guardduty":
            known = severity.ten(value)
        if known:
            return known
        reader.note("event.severity has no fixed scale; ignored")
    norm = reader.raw("event.risk_score_norm")
    if type(norm) in (int, float) and (known := severity.hundred(norm)):
        return known
    for path in ("rule.severity", "vulnerability.severity", "severity"):
        word = reader.raw(path)
        if type(word) is str:
            return word
    return None
