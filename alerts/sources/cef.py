"""CEF: the fields of a line of ArcSight's Common Event Format, whatever product wrote it.

https://docs.microfocus.com/doc/2103/smartconnector/cefguide
https://docs.paloaltonetworks.com/resources/cef
https://docs.fortinet.com/document/fortigate/7.0.9/fortios-log-message-reference/807724
https://support.checkpoint.com/results/sk/sk144192
https://docs.trendmicro.com/en-us/documentation/article/trend-micro-apex-central-2019-online-help-cef-format
"""

from __future__ import annotations

import re
from typing import Any

from alerts.iocs import ObservableValue
from alerts.iocs.hosts import is_internal
from alerts.jsonwalk import fold
from alerts.sources.base import MAX_TAG, NormalisedAlert, Reader, techniques_in
from alerts.sources.logtimes import line_time
from alerts.sources.mapping import Mapping, ignore, is_address, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="cef",
    product="Any product that writes CEF",
    signs=(
        sign("_format=cef", 0.99),
        sign("deviceVendor deviceProduct deviceVersion name severity", 0.8),
        sign("deviceVendor deviceProduct deviceEventClassId", 0.8),
    ),
    severities=Severities(
        {
            "low": LOW, "medium": MEDIUM, "high": HIGH, "very-high": CRITICAL, "very high": CRITICAL, "critical": CRITICAL,
            "informational": INFORMATIONAL, 0: INFORMATIONAL, 1: LOW, 4: MEDIUM, 7: HIGH, 9: CRITICAL,
        },
        top=10,
    ),
)  # fmt: skip

_MAPPING = Mapping(
    description="msg message reason",
    severity="severity deviceSeverity agentSeverity cpseverity",
    source_ip="src sourceAddress c6a2 SourceIPv6Address attackerAddress identSrc",
    dest_ip="dst destinationAddress c6a3 DestinationIPv6Address targetAddress",
    username="suser sourceUserName duser destinationUserName FTNTFGTuser user suid duid",
    partner="partner customerName customer tenant",
    process="sproc sourceProcessName dproc destinationProcessName deviceProcessName",
    command_line="CommandLine commandline cmdLine processCommandLine",
    filename="fname fileName",
    email="sourceEmail destinationEmail",
)
_TIMES = ("rt", "deviceReceiptTime", "start", "startTime", "end", "endTime", "FTNTFGTeventtime", "art")
_LINKS = (
    "link",
    "links",
    "deeplink",
    "alertlink",
    "incidentlink",
    "consolelink",
    "falconhostlink",
    "eventlink",
    "alerturl",
)
_NO_EVIDENCE = (
    "_format", "name", "signatureId", "deviceEventClassId", "deviceVendor", "deviceProduct", "deviceVersion",
    "externalId", "eventId", "deviceExternalId", "cat", "act", "app", "deviceFacility", "loguid", "logid",
    "layeruuid", "ruleuid", "origin", "originsicname", "sourceTranslatedAddress", "destinationTranslatedAddress",
    "sourceZoneURI", "destinationZoneURI", "deviceZoneURI", "agentZoneURI", "ahost", "agt", "atz", "dtz",
    "FTNTFGTref", "FTNTFGTlogid", "FTNTFGTpoluuid", "sourceGeoLocationInfo", "destinationGeoLocationInfo",
)  # fmt: skip
_CUSTOM = re.compile(
    r"(?:c[sn][1-9]|cfp[1-4]|c6a[1-4]|flex(?:String|Number|Date)[12]|deviceCustom[A-Za-z0-9]{1,25}[1-9])"
)
# Fields, by their own name or their label, that name what was found where the header only says which log it is.
_THREATS = (
    "FTNTFGTattack", "FTNTFGTvirus", "threatname", "malwarename", "virusname", "virus/malwarename", "protectionname",
    "attackname", "attackinformation", "threat", "sname", "VLFThreatName", "signaturename",
)  # fmt: skip
_BARE = re.compile(
    r"(?:THREAT|TRAFFIC|WILDFIRE|URL|DATA|SYSTEM|CONFIG|CORRELATION)\b|(?:utm|traffic|event|anomaly):|[0-9]+$|Log$|$"
)
_THREAT_ID = re.compile(r"([^()].{0,400})\(([0-9]{3,12})\)")
# PAN-OS writes requests without scheme: "shop.example.com/login".
_NO_SCHEME = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}(?::[0-9]{1,5})?/\S*")
# What PAN-OS writes for $number-of-severity; its other products write CEF's 0 to 10.
_PALO_ALTO = {"1": "informational", "2": "low", "3": "medium", "4": "high", "5": "critical"}
_UNFILLED = re.compile(r"\$\{[^}]{0,100}\}")


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """The event of a CEF line."""
    payload = _named(payload)
    reader = Reader(payload)
    vendor = reader.whole_text(("deviceVendor",)) or ""
    title, rule, number = _rule(reader, vendor)
    paths = _MAPPING.paths
    ends = reader.address("source_ip", paths["source_ip"]), reader.address("dest_ip", paths["dest_ip"])
    moment = line_time(reader, _TIMES, zone=reader.raw("dtz", "deviceTimeZone"))
    host, own = _host(reader, vendor, ends)
    tenant = reader.whole_text(("TrendMicroDsTenant",))
    techniques = techniques_in(
        leaf.value
        for leaf in reader.walk.leaves
        if type(leaf.value) is str and ("mitre" in leaf.folded or "technique" in leaf.folded)
    )
    tags, links = _tags(reader, vendor), [reader.raw(path) for path in _LINKS]
    found = (*own, *_request(reader))
    ignore(reader, *_NO_EVIDENCE, *_LINKS)
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=_source_id(reader, vendor),
        title=title or " ".join(filter(None, (vendor, reader.whole_text(("deviceProduct",)), "event"))),
        severity=_severity(reader, vendor),
        event_at=moment,
        source_ip=ends[0],
        dest_ip=ends[1],
        hostname=host,
        rule_name=rule,
        rule_id=number,
        tags=tags,
        partner=None if tenant == "Primary" else tenant,  # what the only tenant is called
        techniques=techniques,
        vendor_url=next((link for link in links if type(link) is str), None),
        observables=found,
    )


def _named(payload: dict[str, Any]) -> dict[str, Any]:
    """``payload`` with custom fields under their labels, and without variables the sender failed to fill in."""
    named: dict[str, Any] = {}
    labels = {
        key.removesuffix("Label"): key for key in payload if key.endswith("Label") and _CUSTOM.match(key)
    }
    for key, value in payload.items():
        if key.removesuffix("Label") in labels and key.endswith("Label"):
            continue
        if type(value) is str and _UNFILLED.fullmatch(value.strip()):
            continue
        label = payload.get(labels.get(key, ""))
        if type(label) is str and 0 < len(label := label.strip()) <= 100 and label not in payload:
            key = label.replace(".", " ")
        named.setdefault(key, value)
    return named


def _rule(reader: Reader, vendor: str) -> tuple[str | None, str | None, str | None]:
    """A title, the rule and its number: the header's, or the threat's where the header only names a log."""
    name = reader.whole_text(("name",))
    number = reader.whole_text(("signatureId", "deviceEventClassId"))
    threat = reader.whole_text(_THREATS)
    if vendor == "Palo Alto Networks":
        found = _THREAT_ID.fullmatch(reader.whole_text(("cat",)) or "")
        if found:
            return found[1].strip(), found[1].strip(), found[2]
        if name and number and _BARE.match(name):
            name = f"{name} {number}"
    elif vendor == "Fortinet":
        number = reader.whole_text(("FTNTFGTattackid", "FTNTFGTvirusid")) or number
    elif vendor == "Check Point" and number == "Log" and name:
        action, rule = reader.whole_text(("act",)), reader.whole_text(("rulename",))
        return (f"{action}: {name}" if action else name), rule or name, None
    if name is None or name.isdigit():
        name = threat or _log_name(reader) or name
        return name, name, number
    more = (threat or reader.whole_text(("msg",))) if _BARE.match(name) else None
    return (f"{name}: {more}" if more else name), (threat if more else None) or name, number


def _log_name(reader: Reader) -> str | None:
    """Trend Micro's ``7`` under ``WB:7``: a number says nothing without the product."""
    parts = (reader.whole_text((path,)) for path in ("deviceVendor", "deviceProduct", "signatureId"))
    return " ".join(part for part in parts if part) or None


def _severity(reader: Reader, vendor: str) -> Any:
    value = reader.whole_text(("severity",))
    if vendor == "Palo Alto Networks" and reader.whole_text(("deviceProduct",)) == "PAN-OS":
        return _PALO_ALTO.get(value or "", value)
    if vendor == "Fortinet":
        # The header grades the log entry; this is the attack's own grade.
        return reader.whole_text(("FTNTFGTseverity",))
    return None


def _source_id(reader: Reader, vendor: str) -> str | None:
    """What the sender numbers events by, which is one device's. Fortinet's ``externalId`` is a session."""
    whole = reader.whole_text(("eventId", "loguid"))
    number = reader.whole_text(("externalId",))
    moment = reader.whole_text(_TIMES)
    product = reader.whole_text(("deviceProduct",)) or ""
    if whole:
        return f"{vendor}:{product}:{whole}"
    if not number or (vendor == "Fortinet" and not moment):
        return None
    parts = [vendor, product, reader.whole_text(("deviceExternalId", "dvchost")) or "", number]
    if vendor == "Fortinet":
        parts += [
            reader.whole_text(("signatureId",)) or "",
            reader.whole_text(("FTNTFGTeventtime",)) or moment or "",
        ]
    return ":".join(parts)


def _host(
    reader: Reader, vendor: str, ends: tuple[str | None, str | None]
) -> tuple[str | None, tuple[ObservableValue, ...]]:
    """The machine of ours that it is about; and the one at the other end, which may be anybody's."""

    def name(*paths: str) -> str | None:
        found = reader.whole_text(paths)
        return None if found is None or is_address(found) else found

    source = name("shost", "sourceHostName")
    dest = name("dhost", "destinationHostName")
    outbound = reader.whole_text(("deviceDirection",)) == "1" or (
        ends[1] is not None
        and not is_internal("ip", ends[1])
        and (ends[0] is None or is_internal("ip", ends[0]))
    )
    own = source if outbound else dest or source
    if own is None and (vendor.startswith("Trend Micro") or not all(ends)):
        own = name("dvchost", "deviceHostName")  # between two ends it is the firewall
    if outbound and dest:
        # A web server's name is a domain; ours stay host names.
        far = observable("domain", dest, "dhost")
        ignore(reader, "dhost", "destinationHostName")
        return own, (far,) if far else ()
    return own, ()


def _request(reader: Reader) -> tuple[ObservableValue, ...]:
    """The whole address of a request of which the line gives host and path apart."""
    path = (reader.whole_text(("request", "requestUrl")) or "").strip('"')
    host = reader.whole_text(("dhost", "destinationHostName", "dst"))
    if path.startswith("/") and host:
        path = host + path
    elif not _NO_SCHEME.fullmatch(path):
        return ()
    secure = "https" in (reader.whole_text(("app",)) or "").lower() or reader.whole_text(("dpt",)) == "443"
    made = observable("url", f"{'https' if secure else 'http'}://{path}", "request")
    return (made,) if made else ()


def _tags(reader: Reader, vendor: str) -> tuple[str, ...]:
    product = " ".join(filter(None, (vendor, reader.whole_text(("deviceProduct",)))))
    category = reader.whole_text(("cat", "deviceEventCategory"))
    action = reader.whole_text(("act", "deviceAction"))
    if vendor == "Palo Alto Networks":
        category = " ".join(filter(None, (reader.whole_text(("name",)), reader.whole_text(("signatureId",)))))
    found = [product]
    if category and not category.isdigit():
        found.append(category)
    if action and not action.isdigit() and fold(action) != "none":
        found.append(f"action:{action}")
    return tuple(dict.fromkeys(reader.cut("a value of tags", text, MAX_TAG) for text in found if text))
