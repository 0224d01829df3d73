"""What conditions can be about: the fields of alerts, incidents and observables, and the words these may hold.

The kinds of values are those of ``conditions.LOOKUPS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opensoar.condition_lookups import SEVERITIES

_DETERMINATIONS = ("malicious", "suspicious", "benign")

#: field of an alert -> kind of value it holds
FIELDS: Mapping[str, str] = {
    "id": "text",
    "source": "word",
    "source_id": "text",
    "title": "text",
    "description": "text",
    "severity": "severity",
    "status": "word",
    "determination": "word",
    "source_ip": "ip",
    "dest_ip": "ip",
    "hostname": "text",
    "username": "text",
    "rule_name": "text",
    "tags": "list",
    "iocs": "path",
    "partner": "text",
    "raw": "path",
    "raw_payload": "path",
    "normalized": "path",
    "duplicate_count": "number",
    "first_seen": "time",
    "last_seen": "time",
    "assigned_to": "text",
    "assigned_username": "text",
    "correlation_id": "text",
    "created_at": "time",
    "updated_at": "time",
    "resolved_at": "time",
    "resolve_reason": "text",
}


@dataclass(frozen=True)
class Subject:
    """What a condition can be about.

    Attributes:
        noun: what it is called in messages.
        fields: name -> kind of value it holds.
        choices: words a field may hold; a value outside them could never match and is a typing error.
    """

    noun: str
    fields: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]


SUBJECTS: Mapping[str, Subject] = {
    "alert": Subject(
        noun="alert",
        fields=FIELDS,
        choices={
            "severity": SEVERITIES,
            "status": ("new", "in_progress", "resolved"),
            "determination": ("unknown", *_DETERMINATIONS),
        },
    ),
    "incident": Subject(
        noun="incident",
        fields={
            "id": "text",
            "number": "number",
            "title": "text",
            "description": "text",
            "severity": "severity",
            "status": "word",
            "determination": "word",
            "impact": "word",
            "summary": "text",
            "partner": "text",
            "tags": "list",
            "techniques": "list",
            "tlp": "word",
            "pap": "word",
            "assigned_to": "text",
            "assigned_username": "text",
            "created_at": "time",
            "updated_at": "time",
            "contained_at": "time",
            "closed_at": "time",
        },
        choices={
            "severity": SEVERITIES,
            "status": ("open", "investigating", "contained", "closed"),
            "determination": _DETERMINATIONS,
            "impact": ("none", "limited", "significant", "severe"),
            "tlp": ("clear", "green", "amber", "amber+strict", "red"),
            "pap": ("clear", "green", "amber", "red"),
        },
    ),
    "observable": Subject(
        noun="observable",
        fields={
            "id": "text",
            "type": "word",
            "value": "ip",  # compared as an address where it is one, as text otherwise
            "internal": "flag",
            "source": "word",
            "tags": "list",
            "partner": "text",
            "first_seen": "time",
        },
        choices={
            "type": (
                "ip", "domain", "hostname", "url", "email", "md5", "sha1", "sha256", "sha512", "ssdeep",
                "filename", "path", "registry_key", "username", "mac", "asn", "cve", "mutex", "user_agent",
                "process", "command_line", "crypto_address", "file", "other",
            ),
        },
    ),
}  # fmt: skip
