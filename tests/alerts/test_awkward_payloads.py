"""What senders get wrong costs a note, never an alert."""

from __future__ import annotations

import json
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import iocs
from alerts.payloads import parse_body
from alerts.sources import names
from alerts.sources.base import NormalisedAlert
from alerts.sources.generic import normalise

SEVERITIES = {"informational", "low", "medium", "high", "critical"}

# The twelve bodies that a known product answers with 500, or takes wrongly.
AWKWARD: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "integer id": ({"title": "t", "id": 12345}, {"source_id": "12345"}, None),
    "long title": ({"title": "x" * 600}, {"title": "x" * 499 + "…"}, "title cut at 500 characters"),
    "long source": (
        {"title": "t", "source": "s" * 80},
        {"source": "s" * 49 + "…"},
        "source cut at 50 characters",
    ),
    "list of addresses": (
        {"title": "t", "src_ip": ["8.8.8.8", "9.9.9.9"]},
        {"source_ip": "8.8.8.8", "iocs": {"ips": ["8.8.8.8", "9.9.9.9"]}},
        "srcip lists 2 values; source_ip is the first address",
    ),
    "integer address": (
        {"title": "t", "src_ip": 16909060},
        {"source_ip": "1.2.3.4", "iocs": {"ips": ["1.2.3.4"]}},
        None,
    ),
    "organization object": ({"title": "t", "organization": {"name": "Acme"}}, {"partner": "Acme"}, None),
    "integer description": ({"title": "t", "description": 42}, {"description": "42"}, None),
    "NUL": ({"title": "a\0b", "description": "c\0"}, {"title": "a\ufffdb", "description": "c\ufffd"}, None),
    "long URL": (
        {"title": "t", "iocs": {"urls": ["http://evil.com/" + "a" * 3000]}},
        {"iocs": {"domains": ["evil.com"]}},
        "a URL of 3016 characters was left out (limit 2048), its host kept",
    ),
    "superscript address": (
        {"title": "t", "src_ip": "1.2.3.²"},
        {"source_ip": None},
        "srcip holds no IP address; ignored",
    ),
    "tags as text": ({"title": "t", "tags": "a,b"}, {"tags": ("a", "b")}, None),
    "rule.name object": (
        {"rule": {"name": {"x": 1}}, "message": "m"},
        {"title": "m", "rule_name": None},
        "rule.name is an object without a name; ignored",
    ),
}


def stored_safely(alert: NormalisedAlert) -> None:
    """Fits its columns, and every text can be written to PostgreSQL."""
    texts = [
        alert.title, alert.description, alert.source_ip, alert.dest_ip, alert.hostname, alert.username, alert.rule_name,
        alert.group_key, alert.vendor_url, alert.source, alert.partner, alert.source_id, *alert.tags, *alert.techniques,
        *alert.notes, *(text for o in alert.observables for text in (o.value, o.field)),
        *(value for group in alert.iocs.values() for value in group),
    ]  # fmt: skip
    for text in texts:
        assert text is None or "\0" not in text.encode().decode()
    assert "\\u0000" not in orjson.dumps(alert.normalized).decode()
    json.dumps(alert.normalized, allow_nan=False)
    for text, limit in (
        (alert.title, 500), (alert.hostname, 255), (alert.username, 255), (alert.rule_name, 500), (alert.source_id, 500),
        (alert.group_key, 255), (alert.source, 50), (alert.partner, 100), (alert.vendor_url, 2048),
    ):  # fmt: skip
        assert text is None or 0 < len(text) <= limit
    assert all(0 < len(tag) <= 100 for tag in alert.tags)
    assert alert.severity in SEVERITIES
    assert alert.determination in (None, "unknown", "malicious", "suspicious", "benign")
    assert alert.event_at is None or alert.event_at.tzinfo is not None
    assert all(len(o.field) <= 200 and o.type in iocs.TYPES for o in alert.observables)
    for address in (alert.source_ip, alert.dest_ip):
        assert address is None or iocs.canonical("ip", address) == ("ip", address)


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_payload(name: str) -> None:
    payload, expected, note = AWKWARD[name]
    alert = normalise(payload)
    stored_safely(alert)
    assert {field: getattr(alert, field) for field in expected} == expected
    assert note is None or note in alert.notes


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_payload_as_a_body(name: str) -> None:
    body = json.dumps(AWKWARD[name][0]).encode()
    (item,) = parse_body(body, "application/json").items
    assert item.raw == body
    assert item.payload == AWKWARD[name][0]


ALL_NAMES = sorted(
    {
        name
        for group in (
            names.TITLE, names.RULE, names.DESCRIPTION, names.SOURCE_ID, names.GROUP_KEY, names.VENDOR_URL, names.SOURCE,
            names.PARTNER, names.DETERMINATION, names.TAGS, names.SOURCE_IP, names.DEST_IP, names.HOSTNAME, names.USERNAME,
            names.TIME, [path for path, _ in names.SEVERITY],
        )
        for name in group
    }
    | {"hash", "md5", "url", "email", "mac", "cve", "registrykey", "filepath", "ssdeep", "type", "value", "iocs", "eventid"}
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**17, max_value=10**45)
    | st.floats()
    | st.text(max_size=40)
    | st.text(st.characters(categories=["Cs", "Cc", "Lu", "Nd", "No"]), max_size=20)
    | st.sampled_from(
        ["1.2.3.4", "hxxp://evil[.]com/x", "P1", "2026-11-24T03:54:00Z", "x" * 700, "a@b.com", "T1059", "ip"]
    )
)
KEYS = st.sampled_from(ALL_NAMES) | st.sampled_from(ALL_NAMES).map(str.upper) | st.text(max_size=12)
OBJECTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=500)
@given(OBJECTS)
def test_no_json_object_is_too_odd(payload: dict[str, Any]) -> None:
    stored_safely(normalise(payload))


def test_depth_width_and_long_keys_are_bounded() -> None:
    deep: dict[str, Any] = {"title": "bottom"}
    for _ in range(sys.getrecursionlimit() * 3):
        deep = {"k" * 50: deep}
    wide = {"a": [{"b": n} for n in range(50_000)], "k" * 1_000_000: "1.1.1.1", "l": ["8.8.8.8"] * 30_000}
    for payload in (deep, wide, {"a": list(range(100_000))}):
        alert = normalise(payload)
        stored_safely(alert)
        assert any("were not read" in note for note in alert.notes)
    # take the deep one apart without recursion, which its own destructor would use
    while deep:
        deep = (
            next(iter(deep.values()))
            if len(deep) == 1 and isinstance(next(iter(deep.values())), dict)
            else {}
        )


def test_thousands_of_digits() -> None:
    stored_safely(
        normalise(
            {
                "id": 10**5000,
                "severity": 10**5000,
                "timestamp": 10**5000,
                "src_ip": 10**5000,
                "tags": [10**5000],
            }
        )
    )
