"""Suricata: alerts of its EVE log, bare, in Filebeat's ``suricata.eve``, or as Corelight writes them.

https://docs.suricata.io/en/latest/output/eve/eve-json-format.html
https://docs.suricata.io/en/latest/rules/meta.html
https://community.emergingthreats.net/t/signature-metadata/96
"""

from __future__ import annotations

import re
from typing import Any

from alerts.iocs import ObservableValue
from alerts.sources.base import MAX_TAG, NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, ignore, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="suricata",
    product="Suricata",
    signs=(
        sign("event_type=alert alert.signature_id", 0.97),
        sign("event_type=alert alert.signature", 0.96),
        sign("_path=suricata_corelight alert.signature", 0.98),
        sign("alert.signature_id alert.signature flow_id", 0.94),
        sign("alert.signature_id alert.gid", 0.9),
        # Filebeat's module also writes ECS, which says more; that one is surer of itself.
        sign("suricata.eve.alert.signature", 0.8),
    ),
    # Numbers are the priority of the rule: 1 is the gravest.
    severities=Severities(
        {
            "informational": INFORMATIONAL, "minor": LOW, "major": HIGH, "critical": CRITICAL,
            1: HIGH, 2: MEDIUM, 3: LOW, 4: INFORMATIONAL,
        },
        top=255,
    ),
)  # fmt: skip

_MAPPING = Mapping(
    title="alert.signature",
    severity="alert.severity",
    event_at="timestamp flow.start ts @timestamp",
    source_ip="alert.source.ip src_ip source.ip id.orig_h",
    dest_ip="alert.target.ip dest_ip destination.ip id.resp_h",
    hostname="smb.ntlmssp.host dhcp.hostname",
    username="smb.ntlmssp.user krb5.cname http.http_user ftp.user",
    rule_name="alert.signature",
    rule_id="alert.signature_id",
    techniques="alert.metadata.mitre_technique_id",
    group_key="community_id flow_id",
)
_TAGS = (
    "alert.category",
    "alert.metadata.tag",
    "alert.metadata.malware_family",
    "alert.metadata.affected_product",
)
_NO_EVIDENCE = (
    "host", "in_iface", "packet", "packet_info", "payload", "http.http_response_body", "http.http_request_body", "metadata",
    "alert.metadata", "alert.references", "alert.rule", "alert.category", "flow.src_ip", "flow.dest_ip", "ssh.client.software",
    "ssh.server.software", "pcap_filename", "capture_file", "agent", "log", "input", "_system_name", "fingerprint",
)  # fmt: skip
_CVE = re.compile(r"(?i)cve[_-]([0-9]{4})[_-]([0-9]{4,7})")


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of Suricata's."""
    payload = _event(payload)
    reader = Reader(payload)
    paths = _MAPPING.paths
    source, dest = (
        reader.address("source_ip", paths["source_ip"]),
        reader.address("dest_ip", paths["dest_ip"]),
    )
    tags = _tags(reader)
    own = tuple(_observables(reader))
    grade = reader.raw("alert.metadata.signature_severity")
    grade = grade[0] if type(grade) is list and grade else grade
    techniques = techniques_in(value for value in reader.every(*paths["techniques"]) if type(value) is str)
    number, sentence = _number(reader), _sentence(reader)
    title = reader.whole_text(paths["title"]) or _nameless(reader)
    # The file's name is the path of the request, which is read as part of its address.
    repeated = ("files.filename", "fileinfo.filename") if reader.raw("app_proto") == "http" else ()
    ignore(reader, *_NO_EVIDENCE, *repeated)
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=number,
        title=title,
        description=sentence,
        severity=grade if severities.knows(grade) else None,
        source_ip=source,
        dest_ip=dest,
        tags=tags,
        techniques=techniques,
        observables=own,
    )


def _event(payload: dict[str, Any]) -> dict[str, Any]:
    """The EVE record in what Filebeat or a pipeline put around it."""
    suricata = payload.get("suricata")
    inner = suricata.get("eve") if type(suricata) is dict else payload.get("eve")
    if type(inner) is dict and "alert" not in payload:
        payload = {**payload, **inner}
        payload.pop("suricata", None)
        payload.pop("eve", None)
    alert = payload.get("alert")
    pairs = payload.get("alert.metadata")
    if type(pairs) is list or (type(alert) is dict and type(pairs := alert.get("metadata")) is list):
        payload = {**payload, "alert.metadata": _named(pairs)}
        if type(alert) is dict:
            payload["alert"] = {key: value for key, value in alert.items() if key != "metadata"}
    return payload


def _named(pairs: list[Any]) -> dict[str, list[str]]:
    """``["signature_severity:Major", …]``, as Corelight writes it, as an object of lists."""
    named: dict[str, list[str]] = {}
    for pair in pairs[:200]:
        name, colon, value = pair.partition(":") if type(pair) is str else ("", "", "")
        if colon:
            named.setdefault(name.strip()[:100], []).append(value.strip())
    return named


def _number(reader: Reader) -> str | None:
    """EVE numbers no alerts: what tells them apart is the flow, the rule, the moment and the transaction."""
    moment = reader.whole_text(("timestamp", "ts", "@timestamp"))
    rule = reader.whole_text(("alert.signature_id", "alert.signature"))
    flow = reader.whole_text(("flow_id", "community_id", "uid"))
    if flow is None:
        ends = [reader.whole_text((path,)) or "" for path in ("src_ip", "src_port", "dest_ip", "dest_port")]
        flow = "-".join(ends) if any(ends) else None
    if moment is None or rule is None or flow is None:
        return None
    more = reader.whole_text(("tx_id",)) or reader.whole_text(("pcap_cnt",))
    return ":".join((flow, reader.whole_text(("alert.gid",)) or "1", rule, moment, *([more] if more else [])))


def _sentence(reader: Reader) -> str | None:
    """``A Network Trojan was detected: TCP 10.0.0.5:50096 to 203.0.113.5:80 (http), allowed``."""

    def end(address: tuple[str, ...], port: tuple[str, ...]) -> str | None:
        host, number = reader.whole_text(address), reader.whole_text(port)
        return f"{f'[{host}]' if host and ':' in host else host}:{number}" if host and number else host

    source = end(("src_ip", "id.orig_h"), ("src_port", "id.orig_p"))
    dest = end(("dest_ip", "id.resp_h"), ("dest_port", "id.resp_p"))
    if source is None or dest is None:
        return reader.whole_text(("alert.category",))
    proto, app = reader.whole_text(("proto",)), reader.whole_text(("app_proto", "service"))
    category, action = reader.whole_text(("alert.category",)), reader.whole_text(("alert.action",))
    connection = f"{proto + ' ' if proto else ''}{source} to {dest}"
    connection += f" ({app})" if app and app != "failed" else ""
    return f"{category + ': ' if category else ''}{connection}{', ' + action if action else ''}"


def _nameless(reader: Reader) -> str:
    kind = reader.whole_text(("event_type",))
    return f"Suricata {kind if kind else 'alert'}"


def _tags(reader: Reader) -> tuple[str, ...]:
    found = list(reader.strings("tags", _TAGS, MAX_TAG, 20))
    for name, path in (("action", "alert.action"), ("sensor", "host"), ("sensor", "_system_name")):
        value = reader.raw(path)
        text = reader.as_text(path, value) if type(value) is str else None
        if text:
            found.append(reader.cut("a value of tags", f"{name}:{text}", MAX_TAG))
    return tuple(dict.fromkeys(found))


def _observables(reader: Reader) -> list[ObservableValue]:
    """The whole address of a request, of which EVE gives host and path apart, and the rule's CVEs."""
    found = []
    host, path = reader.whole_text(("http.hostname",)), reader.whole_text(("http.url",))
    if host and path and path.startswith("/"):
        port = reader.raw("http.http_port")
        suffix = f":{port}" if type(port) is int and port not in (80, 443) and ":" not in host else ""
        found.append(observable("url", f"http://{host}{suffix}{path}", "http.url"))
    for value in reader.every("alert.metadata.cve")[:20]:
        known = _CVE.search(value) if type(value) is str else None
        if known:
            found.append(observable("cve", f"CVE-{known[1]}-{known[2]}", "alert.metadata.cve"))
    return [one for one in found if one is not None]
