"""The normaliser for every product nobody wrote one for.

Never raises for a JSON object: what has the wrong type is coerced, what is too long is cut, what makes no sense is
ignored, and each of these leaves a note.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from alerts.iocs.extract import without_port
from alerts.iocs.hosts import canonical_hostname
from alerts.sources import names, severity
from alerts.sources.base import (
    MAX_DESCRIPTION,
    MAX_GROUP_KEY,
    MAX_NAME,
    MAX_PARTNER,
    MAX_RULE,
    MAX_SOURCE,
    MAX_SOURCE_ID,
    MAX_TAG,
    MAX_TAGS,
    NormalisedAlert,
    Reader,
    techniques_in,
)
from alerts.sources.mapping import finish, is_address, one_line, web_link
from alerts.sources.registry import Source
from alerts.sources.severity import Severities

SOURCE = Source(slug="generic", product="Any product", signs=(), severities=Severities({}))

# Only beside a signature is alert.severity Suricata's inverted scale.
_SURICATA = (("alert.metadata.signatureseverity", severity.by_size), ("alert.severity", severity.suricata))


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """The alert that ``payload`` describes, in any product's words."""
    reader = Reader(payload)
    # A CEF or LEEF event is named by its rule.
    rules = ("name", *names.RULE) if reader.raw("format") in ("cef", "leef") else names.RULE
    rule_name = reader.text("rule_name", rules, MAX_RULE)
    title = _title(reader, rule_name)
    source_ip = reader.address("source_ip", names.SOURCE_IP, names.SOURCE_IP_TAILS)
    _note_bad_address(reader, source_ip)
    moment = reader.time(names.TIME, names.TIME_TAILS)
    fields: dict[str, Any] = {
        "source_id": _source_id(reader),
        "title": title,
        "description": _description(reader, title),
        "severity": _severity(reader, severities),
        "source_ip": source_ip,
        "dest_ip": reader.address("dest_ip", names.DEST_IP, names.DEST_IP_TAILS),
        "hostname": _hostname(reader),
        "username": _username(reader),
        "rule_name": rule_name,
        "tags": reader.strings("tags", names.TAGS, MAX_TAG, MAX_TAGS),
        "techniques": _techniques(reader),
        "group_key": _group_key(reader),
        "vendor_url": _vendor_url(reader),
        "source": _source(reader),
        "partner": reader.text("partner", names.PARTNER, MAX_PARTNER),
        "determination": _determination(reader),
    }
    return finish(reader, fields, moment)


def _title(reader: Reader, rule_name: str | None) -> str:
    return one_line(reader, reader.whole_text(names.TITLE, names.TITLE_TAILS) or rule_name)


def _description(reader: Reader, title: str) -> str | None:
    for path, value in reader.values(names.DESCRIPTION):
        if type(value) is dict:
            continue
        text = reader.as_text(path, value)
        if text is not None and text != title:
            return reader.cut("description", text, MAX_DESCRIPTION)
    return None


def _severity(reader: Reader, severities: Severities) -> str:
    for path, scale in _scales(reader):
        value = reader.raw(path)
        if type(value) is list and value:
            value = value[0]
        found, note = severities.read(value) if severities.knows(value) else severity.read(value, scale)
        if note:
            reader.note(f"{path}: {note}")
        if found:
            return found
    for tail in names.SEVERITY_TAILS:
        # ECS event.severity is the vendor's own number: nothing can be said about it.
        if tail == "severity" and type(reader.raw("event.severity")) is int:
            reader.note("event.severity has no fixed scale; ignored")
            continue
        found, _ = severity.read(reader.tails().get(tail))
        if found:
            return found
    reader.note("no severity found; medium is used")
    return severity.MEDIUM


def _scales(reader: Reader) -> tuple[tuple[str, severity.Scale], ...]:
    if reader.has("alert.signature"):
        return (*_SURICATA, *names.SEVERITY)
    if reader.has("sourceref"):
        return (("severity", severity.thehive), *names.SEVERITY)
    return names.SEVERITY


def _note_bad_address(reader: Reader, source_ip: str | None) -> None:
    """Say so when a field that can only hold an address holds something else."""
    for path in ("sourceip", "srcip", "source.ip"):
        value = reader.raw(path)
        if value is not None and source_ip is None:
            reader.note(f"{path} holds no IP address; ignored")
            return


def _hostname(reader: Reader) -> str | None:
    for path, value in reader.values(names.HOSTNAME, names.HOSTNAME_TAILS):
        if type(value) is dict and path not in ("host", "device", "endpoint", "asset", "machine", "computer"):
            continue
        text = reader.as_text(path, value)
        if text is None:
            continue
        text = without_port(text)
        if not is_address(text):
            try:
                canonical_hostname(text)
            except ValueError:
                # "John's laptop" is no host name, and still how its owner calls the machine.
                if len(text) > MAX_NAME:
                    reader.note(f"{path} is too long for a host name; ignored")
                    continue
            return reader.cut("hostname", text, MAX_NAME)
    return None


def _username(reader: Reader) -> str | None:
    for path, value in reader.values(names.USERNAME, names.USERNAME_TAILS):
        text = reader.as_text(path, value)
        # Twelve digits under "account" number a cloud account.
        if text is not None and not (text.isdigit() and len(text) >= 10):
            return reader.cut("username", text, MAX_NAME)
    return None


def _source_id(reader: Reader) -> str | None:
    # An EventBridge envelope has an id of its own, new with each delivery of one finding.
    paths = ("detail.id", *names.SOURCE_ID) if reader.has("detailtype") else names.SOURCE_ID
    if reader.has("properties.title"):
        paths = ("name", *paths)
    if reader.has("searchname"):
        paths = (*paths, "sid")
    found = reader.whole_text(paths) or _event_id(reader) or _fingerprint(reader)
    return reader.key("source_id", found, MAX_SOURCE_ID) if found else None


def _event_id(reader: Reader) -> str | None:
    """``event_id`` names the event only when it is no event number: 4625 is the same for every failed Windows logon."""
    value = reader.raw("eventid")
    if type(value) is str and len(value) >= 12 and not value.isdigit():
        return reader.as_text("event_id", value)
    return None


def _fingerprint(reader: Reader) -> str | None:
    fingerprint, start = reader.raw("fingerprint"), reader.raw("startsat")
    if type(fingerprint) is str and type(start) is str and fingerprint.strip():
        return reader.as_text("fingerprint", f"{fingerprint}:{start}")
    return None


def _group_key(reader: Reader) -> str | None:
    found = reader.whole_text(names.GROUP_KEY)
    return reader.key("group_key", found, MAX_GROUP_KEY) if found else None


def _vendor_url(reader: Reader) -> str | None:
    return web_link(reader, [value for _, value in reader.values(names.VENDOR_URL)])


def _source(reader: Reader) -> str | None:
    for path, value in reader.values(names.SOURCE):
        # {"source": {"ip": …}} and {"source": "10.0.0.1"} speak of the attacker, not of the product.
        if type(value) not in (str, int, list):
            continue
        text = reader.as_text(path, value)
        if text is not None and not is_address(text):
            return reader.cut("source", text, MAX_SOURCE)
    return None


def _determination(reader: Reader) -> str | None:
    for _, value in reader.values(names.DETERMINATION):
        if known := names.verdict(value):
            return known
    return None


@lru_cache(maxsize=4096)
def _may_name_techniques(folded: str) -> bool:
    return any(word in folded for word in names.TECHNIQUE_WORDS)


def _techniques(reader: Reader) -> tuple[str, ...]:
    """ATT&CK ids wherever a field of that kind, or a tag, mentions one."""
    texts = [
        leaf.value
        for leaf in reader.walk.leaves
        if type(leaf.value) is str and len(leaf.value) >= 5 and _may_name_techniques(leaf.folded)
    ]
    return techniques_in(texts) if texts else ()
