"""Zeek: records of ``notice.log`` in JSON, as Zeek, Corelight and Filebeat send them.

https://docs.zeek.org/en/current/logs/notice.html
https://docs.zeek.org/en/current/frameworks/notice.html
https://docs.zeek.org/en/current/zeek-notice-index.html
"""

from __future__ import annotations

import re
from typing import Any

from alerts.sources.base import MAX_TAG, NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, ignore, read, stated, with_embedded_json
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="zeek",
    product="Zeek",
    signs=(
        sign("_path=notice note", 0.97),
        sign("note msg suppress_for", 0.96),
        sign("note msg id.orig_h", 0.95),
        sign("note msg actions", 0.94),
        sign("note msg peer_descr", 0.93),
        sign("note msg ts src", 0.9),
        sign("notice.note notice.msg", 0.9),
        sign("json.note json.msg", 0.85),
        # With the rest of ECS beside it, it is ECS.
        sign("zeek.notice.note", 0.72),
        sign("zeek.notice.msg", 0.71),
        sign('log.file.path=~/opt/zeek message=~{"ts"', 0.68),
        sign('log.file.path=~/usr/local/zeek message=~{"ts"', 0.68),
    ),
    # Zeek grades nothing. Names of notices are a proposal of ours; numbers are syslog's, which Corelight may add.
    severities=Severities(
        {
            "ssh::login_by_password_guesser": CRITICAL, "heartbleed::ssl_heartbeat_attack_success": CRITICAL,
            "teamcymrumalwarehashregistry::match": CRITICAL,
            "ssh::password_guessing": HIGH, "ftp::bruteforcing": HIGH, "http::sql_injection_attacker": HIGH,
            "http::sql_injection_victim": HIGH, "heartbleed::ssl_heartbeat_attack": HIGH, "intel::notice": HIGH,
            "attack::lateral_movement": HIGH, "attack::lateral_movement_and_execution": HIGH,
            "attack::credential_access": HIGH, "attack::execution": HIGH,
            "ssh::interesting_hostname_login": MEDIUM, "signatures::sensitive_signature": MEDIUM,
            "scan::address_scan": LOW, "scan::port_scan": LOW, "traceroute::detected": LOW, "weird::activity": LOW,
            "ssl::invalid_server_cert": LOW, "ssl::certificate_expired": LOW, "ssl::weak_key": LOW,
            "ssl::certificate_expires_soon": INFORMATIONAL, "captureloss::too_much_loss": INFORMATIONAL,
            "captureloss::too_little_traffic": INFORMATIONAL, "packetfilter::dropped_packets": INFORMATIONAL,
            "emergency": CRITICAL, "alert": CRITICAL, "critical": CRITICAL, "error": HIGH, "warning": MEDIUM, "notice": LOW,
            0: CRITICAL, 3: HIGH, 4: MEDIUM, 5: LOW, 6: INFORMATIONAL,
        },
        top=7,
    ),
)  # fmt: skip

_MAPPING = Mapping(
    title="msg note",
    description="sub",
    event_at="ts @timestamp _write_ts",
    source_ip="src id.orig_h source.ip",
    dest_ip="dst id.resp_h destination.ip",
    rule_name="note",
    group_key="community_id uid",
)
_NO_EVIDENCE = (
    "note", "actions", "email_actions", "email_dest", "peer_descr", "remote_location", "_path", "_system_name", "_node",
    "file_mime_type", "suppress_for", "agent", "host", "log", "input", "event", "ecs", "fileset", "service", "observer",
    "source", "destination", "related", "network",
)  # fmt: skip
# The link into a malware registry, with the hash of a file of ours.
_LOOKED_UP = re.compile(r"virustotal\.com/\S{0,60}?([0-9a-f]{32,64})(?![0-9a-f])")
_IDENTITY = ("ts", "note", "uid", "fuid", "src", "dst", "p", "n", "sub")


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A notice of Zeek's."""
    reader = Reader(_notice(payload))
    note = reader.whole_text(("note",))
    sentences = [value for value in (reader.raw("sub"), reader.raw("msg")) if type(value) is str]
    tags = _tags(reader, note)
    looked_up = _LOOKED_UP.search(sentences[0][:1000]) if sentences and reader.has("sub") else None
    file = stated("hash", looked_up[1], "sub") if looked_up else None
    ignore(reader, *_NO_EVIDENCE, *(("sub",) if file else ()))
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=_number(reader),
        title=None if reader.has("msg") or note else "Zeek notice",
        severity=_severity(reader, note, severities),
        # BZAR, MITRE's notices for ATT&CK, name techniques in their text.
        techniques=techniques_in(sentences) if note and note.upper().startswith("ATTACK::") else (),
        tags=tags,
        observables=(file,) if file else (),
    )


def _notice(payload: dict[str, Any]) -> dict[str, Any]:
    """The record in what a shipper put around it."""
    payload = with_embedded_json(payload, "message")
    for holder in (payload.get("zeek"), payload):
        if type(holder) is not dict:
            continue
        for key in ("notice", "json", "message"):
            inner = holder.get(key)
            if type(inner) is dict and ("note" in inner or "msg" in inner):
                around = {name: value for name, value in payload.items() if name not in ("zeek", key)}
                named = (
                    {"uid": holder["session_id"]} if holder is not payload and "session_id" in holder else {}
                )
                return {**around, **named, **inner}
    return payload


def _number(reader: Reader) -> str | None:
    """Zeek numbers no notices: moment, name, connection and ends tell them apart."""
    parts = [reader.whole_text((path,)) or "" for path in _IDENTITY]
    moment = parts[0] or reader.whole_text(("@timestamp",)) or ""
    return ":".join([moment, *parts[1:]]).rstrip(":") if moment and parts[1] else None


def _severity(reader: Reader, note: str | None, severities: Severities) -> Any:
    """Corelight's grade, else the table's for this notice; an unknown notice's name is no severity."""
    for path in ("severity.level", "severity.name"):
        value = reader.raw(path)
        if severities.knows(value):
            return value
    return note if severities.knows(note) else None


def _tags(reader: Reader, note: str | None) -> tuple[str, ...]:
    found = [note.partition("::")[0]] if note and "::" in note else []
    for name, path in (("sensor", "_system_name"), ("sensor", "peer_descr")):
        value = reader.whole_text((path,))
        if value and len(found) < 2:
            found.append(f"{name}:{value}")
    return tuple(reader.cut("a value of tags", text, MAX_TAG) for text in found if text)
