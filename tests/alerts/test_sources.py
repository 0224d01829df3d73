"""Every source turns its captured payloads into the expected alerts; the registry; severities and times."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alerts import sources
from alerts.sources import severity
from alerts.sources.base import NormalisedAlert, Reader, techniques_in
from alerts.sources.generic import normalise
from alerts.sources.registry import sign
from alerts.sources.times import parse_time
from tests.alerts.pairs import ORIGINS, OURS, PUBLIC, ROOT, as_json, name_of, origins, pairs

REPOSITORY = Path(__file__).parents[2]
PAIRS = [(slug, given, expected) for slug in sources.SLUGS for given, expected in pairs(slug)]


@pytest.mark.parametrize("slug", sources.SLUGS)
def test_every_source_has_captured_payloads_and_a_page(slug: str) -> None:
    assert len(pairs(slug)) >= 3, f"add tests/alerts/sources/{slug}/<name>.in.json and .out.json"
    assert (REPOSITORY / "docs" / "sources" / f"{slug}.md").is_file(), f"add docs/sources/{slug}.md"


@pytest.mark.parametrize(
    ("slug", "given", "expected"), PAIRS, ids=[f"{slug}/{given.name}" for slug, given, _ in PAIRS]
)
def test_pair(slug: str, given: Path, expected: Path) -> None:
    """``as_json`` of the result is what the ``.out.json`` holds."""
    result = as_json(sources.get(slug)(json.loads(given.read_text())))
    assert expected.is_file(), f"{expected.name} is missing; it should hold:\n{json.dumps(result, indent=2)}"
    assert result == json.loads(expected.read_text())


@pytest.mark.parametrize("slug", sources.SLUGS)
def test_every_captured_payload_says_where_it_comes_from(slug: str) -> None:
    """And at least one of a source is the vendor's own, or public."""
    told = origins()[slug]
    assert set(told) == {name_of(given) for given, _ in pairs(slug)}, "a line in ORIGINS.json for every pair"
    for name, one in told.items():
        assert one["origin"] in ORIGINS, name
        assert one["origin"] == OURS or one.get("from"), f"{name}: which page or repository?"
        assert one.keys() <= {"origin", "from", "changed"}, name
    assert any(one["origin"] in PUBLIC for one in told.values())


def test_no_captured_payload_without_a_source() -> None:
    directories = {path.parent.name for path in ROOT.glob("*/*.json")}
    assert directories == set(sources.SLUGS) == set(origins())
    assert {path.name for path in ROOT.glob("*.json")} == {"ORIGINS.json"}


def test_registry() -> None:
    assert sources.get("generic") is normalise
    assert sources.get("nobody-wrote-one") is normalise
    assert sources.get(" Wazuh ").__module__ == "alerts.sources.wazuh"
    for slug in sources.SLUGS:
        assert sources.source(slug).slug == slug
    with pytest.raises(KeyError):
        sources.source("nobody-wrote-one")


@pytest.mark.parametrize(
    ("slug", "given"),
    [(slug, given) for slug, given, _ in PAIRS if slug != "generic"],
    ids=[f"{slug}/{given.name}" for slug, given, _ in PAIRS if slug != "generic"],
)
def test_a_captured_payload_is_told_to_be_of_its_source(slug: str, given: Path) -> None:
    """And of no other source as surely."""
    payload = json.loads(given.read_text())
    sure = {
        one: max((sign.confidence for sign in sources.source(one).signs if sign.is_in(payload)), default=0.0)
        for one in sources.SLUGS
    }
    found = sources.detect(payload)
    assert found == (slug, sure.pop(slug))
    assert found.confidence >= 0.6
    assert found.confidence > max(sure.values())


def test_signs() -> None:
    one = sign("a.b c=x d=~y", 0.9)
    assert one.is_in({"a.b": 1, "c": "x", "d": "yz"})
    assert one.is_in({"a": [{"b": 1}], "c": "x", "d": "y"})
    assert not one.is_in({"a": {"b": None}, "c": "x", "d": "y"})
    assert not one.is_in({"a": {"b": 1}, "c": "x!", "d": "y"})
    assert not one.is_in({"a": {"b": 1}, "c": ["x"], "d": "zy"})
    assert sources.detect({"a": 1}) == ("generic", 0.0)


def test_alert_fields_are_those_of_the_contract() -> None:
    names = (
        "source_id title description severity source_ip dest_ip hostname username rule_name rule_id tags event_at techniques "
        "group_key vendor_url source partner determination resolved only_closes observables iocs normalized notes"
    )
    assert {field.name for field in fields(NormalisedAlert)} == set(names.split())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "medium"), (47, "medium"), (73, "high"), (74, "critical"), (99, "critical"), (100, "critical"),
        (0, "informational"),
        (1, "low"), (3.9, "low"), (7, "high"), (8.9, "high"), (9, "critical"), (10, "critical"), (11, "low"), (21, "low"),
        (22, "medium"), (48, "high"), ("7.5", "high"), ("P1", "critical"), ("p2", "high"), ("P3", "medium"), ("P4", "low"),
        ("P5", "informational"), ("SEV-1", "critical"), ("sev2", "high"), ("Priority 3", "medium"), ("severe", "critical"),
        ("fatal", "critical"), ("moderate", "medium"), ("debug", "informational"), ("error", "high"),
        ("info", "informational"),
        ("Informational", "informational"), ("WARNING", "medium"), ("notice", "low"), ("Very High", "critical"),
        ("Emergency", "critical"), ("1 - Critical", "critical"), ("High (75)", "high"), ("8/10", "high"),
        ("75%", "critical"),
        ("30/100", "medium"), ("P1: now", "critical"), ("P2 urgent", "critical"), (" Low ", "low"),
        ("none", "informational"),
    ],
)  # fmt: skip
def test_severity_scales(value: Any, expected: str) -> None:
    assert normalise({"title": "t", "severity": value}).severity == expected


@pytest.mark.parametrize(
    "value", [-1, 101, 1e300, 10**400, float("nan"), float("inf"), True, "banana", "", None, {}, [], "1e5"]
)
def test_unknown_severity_is_medium_with_a_note(value: Any) -> None:
    alert = normalise({"title": "t", "severity": value})
    assert alert.severity == "medium"
    assert "no severity found; medium is used" in alert.notes


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"kibana.alert.severity": "low", "kibana.alert.risk_score": 99}, "low"), ({"risk_score": 8}, "low"),
        ({"risk_score": 50}, "high"), ({"rule": {"level": 12}}, "high"), ({"rule": {"level": 3}}, "informational"),
        ({"rule": {"level": 15}}, "critical"), ({"alert": {"signature": "x", "severity": 1}}, "high"),
        ({"alert": {"signature": "x", "severity": 3}}, "low"), ({"alert": {"severity": 3}}, "low"),
        ({"severity_id": 6}, "critical"),
        ({"severity_id": 0}, "medium"), ({"priority": 1}, "critical"), ({"priority": "Warning"}, "medium"),
        ({"level": "error"}, "high"),
        ({"detail": {"severity": 8}}, "high"), ({"labels": {"severity": "page"}}, "critical"),
        ({"severity": {"name": "High"}}, "high"),
        ({"event": {"severity": 9}}, "medium"), ({"event": {"severity": "high"}}, "high"), ({"severity": ["high"]}, "high"),
        ({"severity_name": "Low", "severity": 90}, "low"), ({"sourceRef": "1", "severity": 3}, "high"),
        ({"wrapper": {"deep": {"urgency": "high"}}}, "high"), ({"cvss": 9.8}, "critical"),
    ],
)  # fmt: skip
def test_severity_by_field(payload: dict[str, Any], expected: str) -> None:
    assert normalise(payload).severity == expected


def test_severity_tables() -> None:
    assert severity.read("medium") == ("medium", None)
    assert severity.read("unknown") == (None, None)
    assert [severity.ocsf(n) for n in range(7)] == [
        None,
        "informational",
        "low",
        "medium",
        "high",
        "critical",
        "critical",
    ]
    assert severity.suricata(4) == "informational"
    assert severity.wazuh(99) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-24T03:54:00Z", "2026-11-24T03:54:00+00:00"),
        ("2026-11-24T03:54:00.123456789Z", "2026-11-24T03:54:00.123456+00:00"),
        ("2026-11-24T05:54:00+0200", "2026-11-24T03:54:00+00:00"), ("2026-11-24 03:54:00", "2026-11-24T03:54:00+00:00"),
        (1700000000, "2023-11-14T22:13:20+00:00"), (1700000000123, "2023-11-14T22:13:20.123000+00:00"),
        ("1700000000.25", "2023-11-14T22:13:20.250000+00:00"), (1700000000123456, "2023-11-14T22:13:20.123456+00:00"),
        (1700000000123456789, "2023-11-14T22:13:20.123457+00:00"), ("Nov 24 2026 03:54:00", "2026-11-24T03:54:00+00:00"),
        ("Tue, 24 Nov 2026 03:54:00 +0100", "2026-11-24T02:54:00+00:00"),
        ("24/Nov/2026:03:54:00 +0000", "2026-11-24T03:54:00+00:00"),
    ],
)  # fmt: skip
def test_times(value: Any, expected: str) -> None:
    moment, _note = parse_time(value)
    assert moment is not None
    assert moment == datetime.fromisoformat(expected)
    assert moment.tzinfo is UTC
    assert normalise({"timestamp": value}).event_at == moment


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        5,
        -1,
        10**400,
        float("nan"),
        "x" * 99,
        "²⁰²⁶",
    ],
)
def test_no_time_never_raises(value: Any) -> None:
    assert parse_time(value)[0] is None
    assert normalise({"timestamp": value}).event_at is None


def test_techniques() -> None:
    texts = [
        "T1059.001 - PowerShell",
        "attack.t1105",
        "T1059.001",
        "TA0002",
        "XT1059",
        "T10590",
        "T0812,T1071",
    ]
    assert techniques_in(texts) == ("T1059.001", "T1105", "T0812", "T1071")


def test_reader_reads_flat_nested_and_respelled_alike() -> None:
    for payload in (
        {"source.ip": "1.1.1.1"}, {"source": {"ip": "1.1.1.1"}}, {"Source": {"IP": "1.1.1.1"}},
        {"a": 1, "source": [{"ip": "1.1.1.1"}]},
    ):  # fmt: skip
        assert Reader(payload).raw("source.ip") == "1.1.1.1"
    assert Reader({"src_ip": "x", "srcIp": "y"}).raw("srcIP") == "x"
    assert Reader({"a": {"b.c": {"d": 1}}}).raw("a.b.c.d") == 1
    assert Reader({}).raw("a") is None


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"id": 5}, "5"), ({"id": 5.0}, "5"), ({"id": True}, None), ({"id": {}}, None), ({"event_id": 4625}, None),
        ({"event_id": "4625"}, None), ({"event_id": "6F5A@@notable@@77aa"}, "6F5A@@notable@@77aa"), ({"_id": "x"}, "x"),
        ({"source_id": "a", "id": "b"}, "a"), ({"sid": "s-1"}, None), ({"sid": "s-1", "search_name": "n"}, "s-1"),
        ({"fingerprint": "f", "startsAt": "t"}, "f:t"), ({"fingerprint": "f"}, None),
        ({"detail-type": "x", "id": "env", "detail": {"id": "find"}}, "find"), ({"id": ""}, None),
    ],
)  # fmt: skip
def test_source_id(payload: dict[str, Any], expected: str | None) -> None:
    assert normalise(payload).source_id == expected


def test_long_ids_stay_different() -> None:
    first, second = (
        normalise({"id": "x" * 30_000 + "1"}).source_id,
        normalise({"id": "x" * 30_000 + "2"}).source_id,
    )
    assert first is not None
    assert second is not None
    assert len(first) == len(second) == 500
    assert first != second


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"partner": "Acme"}, "Acme"), ({"tenant": {"name": "Acme"}}, "Acme"), ({"organization": {"id": 5}}, "5"),
        ({"customer": ["Acme", "B"]}, "Acme"), ({"organization": {}}, None), ({"nested": {"partner": "x"}}, None),
    ],
)  # fmt: skip
def test_partner(payload: dict[str, Any], expected: str | None) -> None:
    assert normalise(payload).partner == expected


@pytest.mark.parametrize(
    ("payload", "source", "source_ip"),
    [
        ({"source": "edr"}, "edr", None), ({"source": "10.0.0.1"}, None, "10.0.0.1"),
        ({"source": {"ip": "1.1.1.1"}}, None, "1.1.1.1"), ({"source": 7}, "7", None), ({"source": ["x"]}, "x", None),
    ],
)  # fmt: skip
def test_source_word_and_source_address(
    payload: dict[str, Any], source: str | None, source_ip: str | None
) -> None:
    alert = normalise(payload)
    assert (alert.source, alert.source_ip) == (source, source_ip)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("malicious", "malicious"),
        ("FalsePositive", "benign"),
        ("TRUE_POSITIVE", "malicious"),
        ("Trojan", None),
        (3, None),
    ],
)
def test_determination(word: Any, expected: str | None) -> None:
    assert normalise({"verdict": word}).determination == expected


def test_vendor_url_is_a_web_link_or_nothing() -> None:
    assert normalise({"permalink": "https://c.example.com/1"}).vendor_url == "https://c.example.com/1"
    for bad in (
        "javascript:alert(1)",
        "https://a.com/\n",
        'https://a.com/"x',
        "https://a.com/" + "x" * 3000,
        5,
    ):
        assert normalise({"permalink": bad}).vendor_url is None


def test_title_is_one_line() -> None:
    assert normalise({"title": "a\n\tb\x1b[31m c"}).title == "a b\ufffd[31m c"
    assert normalise({"message": "only a message"}).title == "only a message"
