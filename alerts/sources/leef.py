"""LEEF: the fields of a line of IBM's Log Event Extended Format, versions 1.0 and 2.0, whatever product wrote it.

https://www.ibm.com/docs/en/dsm?topic=leef-overview
https://www.ibm.com/docs/en/dsm?topic=overview-predefined-leef-event-attributes
https://www.ibm.com/docs/en/dsm?topic=overview-custom-event-date-format
"""

from __future__ import annotations

import re
from typing import Any

from alerts.sources.base import MAX_TAG, NormalisedAlert, Reader, techniques_in
from alerts.sources.logtimes import line_time
from alerts.sources.mapping import Mapping, ignore, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="leef",
    product="Any product that writes LEEF",
    signs=(
        sign("_format=leef", 0.99),
        sign("vendor product signatureId devTime", 0.8),
        sign("usrName devTime sev", 0.75),
    ),
    severities=Severities(
        {
            "informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL,
            0: INFORMATIONAL, 1: LOW, 4: MEDIUM, 7: HIGH, 9: CRITICAL,
        },
        top=10,
    ),
)  # fmt: skip

_MAPPING = Mapping(
    title="title eventName alertName eventDesc",
    description="msg message description reason eventDesc",
    severity="severity sev",
    source_ip="src srcIP sourceAddress identSrc vSrc",
    dest_ip="dst dstIP destinationAddress",
    hostname="identHostName hostname identNetBios srcHostName dstHostName computerName dvchost",
    username="usrName username accountName SourceUser srcUser DestinationUser dstUser",
    techniques="mitreTechnique mitre technique mitreTechniqueId",
    group_key="groupKey offenseId",
    vendor_url="eventUrl alertUrl consoleUrl alertLink link incidentUrl",
    partner="partner customer tenant customerName",
    process="processName sproc procName",
    command_line="commandLine cmdLine",
    filename="fileName fname",
)
_TIMES = ("devTime", "eventTime", "ReceiveTime", "StartTime")
_NO_EVIDENCE = (
    "_format", "DeviceName", "srcPostNAT", "dstPostNAT", "vendor", "product", "version", "signatureId",
    "devTimeFormat", "name", "cat", "category", "eventUrl", "alertUrl", "consoleUrl", "alertLink", "link",
    "incidentUrl", "SourceLocation", "DestinationLocation", "SerialNumber", "Application", "RuleName", "policy",
    "proto", "URLCategory", "ActionFlags", "Flags",
)  # fmt: skip
_NUMBERS = ("eventUUID", "alertId", "externalId", "eventId", "incidentId", "id", "sequence")
_DEVICE = ("SerialNumber", "DeviceSN", "deviceExternalId", "DeviceName", "dvchost")
_THREAT = re.compile(r"(.{1,300})\(([0-9]{3,12})\)")
_BAR = re.compile(r"\|(?=[A-Za-z][A-Za-z0-9_]{0,60}=)")
# What alerts.lines calls LEEF's attributes.
_SAME = {
    "sev": "severity",
    "usrName": "username",
    "cat": "category",
    "devTime": "eventTime",
    "identHostName": "hostname",
}


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """The event of a LEEF line."""
    payload = _split(payload)
    reader = Reader(payload)
    moment = line_time(reader, _TIMES, reader.raw("devTimeFormat"), reader.raw("devTimeZone", "timezone"))
    rule, number = _rule(reader)
    title = reader.whole_text(_MAPPING.paths["title"]) or _given_name(reader) or rule
    # Some also send the word that their number stands for.
    word = payload.get("Severity")
    tags, identity = _tags(reader), _source_id(reader)
    techniques = techniques_in(
        value for value in reader.every(*_MAPPING.paths["techniques"]) if type(value) is str
    )
    links = [value for value in reader.every(*_MAPPING.paths["vendor_url"]) if type(value) is str]
    ignore(reader, *_NO_EVIDENCE)
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=identity,
        title=title or "LEEF event",
        severity=word if severities.knows(word) else None,
        event_at=moment,
        rule_name=rule,
        rule_id=number,
        tags=tags,
        techniques=techniques,
        vendor_url=links[0] if links else None,
    )


def _split(payload: dict[str, Any]) -> dict[str, Any]:
    """``payload`` with attributes apart that a bar separates, as Palo Alto's firewalls write even in LEEF 1.0."""
    found: dict[str, Any] = {}
    for key, value in payload.items():
        if type(value) is not str or "|" not in value[:65_536]:
            found.setdefault(key, value)
            continue
        first, *others = _BAR.split(value[:65_536])
        if len(others) < 3:
            found.setdefault(key, value)
            continue
        found.setdefault(key, first.strip())
        for pair in others[:1000]:
            name, _, text = pair.partition("=")
            found.setdefault(_SAME.get(name, name), text.strip().rstrip("|"))
    return found


def _given_name(reader: Reader) -> str | None:
    """The line's own name for it, not the one made of product and event id."""
    name = reader.whole_text(("name",))
    made = " ".join(filter(None, (reader.whole_text(("product",)), reader.whole_text(("signatureId",)))))
    return name if name != made else None


def _rule(reader: Reader) -> tuple[str | None, str | None]:
    """The event id, with its product where it is a number, and its number where it has one in brackets."""
    event = reader.whole_text(("signatureId", "eventID"))
    product, category = reader.whole_text(("product",)), reader.whole_text(("category", "cat"))
    if event is None:
        return _given_name(reader) or product, None
    threat = _THREAT.fullmatch(event)
    if threat:
        return threat[1], threat[2]
    name = " ".join(filter(None, (product, event)))
    return (f"{name} ({category})" if category and category.lower() not in name.lower() else name), event


def _source_id(reader: Reader) -> str | None:
    """LEEF has no attribute for it; some products have, and number one device's events."""
    number = reader.whole_text(_NUMBERS)
    if number is None:
        return None
    parts = (
        reader.whole_text(("vendor",)),
        reader.whole_text(("product",)),
        reader.whole_text(_DEVICE),
        number,
    )
    return ":".join(part or "" for part in parts)


def _tags(reader: Reader) -> tuple[str, ...]:
    product = " ".join(filter(None, (reader.whole_text(("vendor",)), reader.whole_text(("product",)))))
    category, policy = reader.whole_text(("category", "cat")), reader.whole_text(("policy", "RuleName"))
    action = reader.whole_text(("action", "act"))
    found = [product, category, f"policy:{policy}" if policy else "", f"action:{action}" if action else ""]
    return tuple(dict.fromkeys(reader.cut("a value of tags", text, MAX_TAG) for text in found if text))
