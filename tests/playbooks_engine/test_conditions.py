"""The one condition language: what it means, what it refuses, and that nothing makes it raise."""

import contextlib
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from opensoar.conditions import FIELDS, LOOKUPS, SUBJECTS, Condition, ConditionError, parse

ALERT = {
    "id": "0198f000-0000-7000-8000-000000000001",
    "source": "Elastic",
    "title": "Mimikatz on WEB-1",
    "description": None,
    "severity": "high",
    "status": "new",
    "determination": "unknown",
    "source_ip": "10.1.2.3",
    "dest_ip": "2001:db8::1",
    "hostname": "web-1",
    "username": "",
    "rule_name": "Credential access",
    "tags": ["docker", "prod"],
    "iocs": {"ips": ["10.1.2.3", "8.8.8.8"]},
    "duplicate_count": 3,
    "first_seen": "2026-05-01T08:00:00+00:00",
    "last_seen": datetime(2026, 5, 2, tzinfo=UTC),
    "normalized": {"depth": 2},
    "raw_payload": {
        "process": {"name": "mimikatz.exe", "pid": 4242, "signed": False},
        "kibana.alert.severity": "high",
        "kibana": {"alert.rule": {"name": "flat and nested"}},
        "risk": "73",
        "when": "2026-05-01T08:00:00Z",
        "events": [{"id": 1, "user": "a"}, {"id": 2, "user": "b"}],
        "paths": ["C:\\Temp\\x.exe", "/tmp/x"],
        "empty": "",
        "nothing": None,
        "count": 5,
        "in": "oddly named",
    },
}


def matches(**conditions):
    return parse(conditions).matches(ALERT)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"severity": "high"},
        {"severity": ["high", "critical"]},
        {"severity": "HIGH"},
        {"source": "elastic"},
        {"severity": ["high"], "hostname": ["web-1", "web-2"]},
        {"severity__in": ["high"]},
        {"severity__gte": "medium"},
        {"severity__gte": "high"},
        {"severity__gt": "medium"},
        {"severity__lte": "high"},
        {"severity__lt": "critical"},
        {"tags": "docker"},
        {"tags": ["docker", "kubernetes"]},
        {"tags__overlap": ["prod"]},
        {"tags__all": ["prod", "docker"]},
        {"tags__startswith": "doc"},
        {"source_ip": "10.1.2.3"},
        {"dest_ip": "2001:0db8:0::1"},
        {"source_ip__cidr": "10.0.0.0/8"},
        {"source_ip__cidr": ["192.168.0.0/16", "10.1.0.0/16"]},
        {"dest_ip__cidr": "2001:db8::/32"},
        {"title__icontains": "MIMIKATZ"},
        {"title__icontains": ["nope", "web-1"]},
        {"title__contains": "on WEB"},
        {"title__startswith": "Mimi"},
        {"title__endswith": "-1"},
        {"title__iexact": "mimikatz ON web-1"},
        {"title__regex": r"^Mimi\w+ on WEB-\d$"},
        {"title__regex": ["nope", "(?i)mimikatz"]},
        {"description__isnull": True},
        {"description": None},
        {"description": [None, "x"]},
        {"username__isnull": True},
        {"hostname__isnull": False},
        {"duplicate_count": 3},
        {"duplicate_count__gte": 3},
        {"first_seen__lt": "2026-05-01T08:00:01Z"},
        {"first_seen": datetime(2026, 5, 1, 8, tzinfo=UTC)},
        {"last_seen__gte": datetime(2026, 5, 2)},
        {"raw__process__name": "mimikatz.exe"},
        {"raw_payload__process__name": "mimikatz.exe"},
        {"raw__process__name__endswith": ".exe"},
        {"raw__process__pid": 4242},
        {"raw__process__pid": "4242"},
        {"raw__process__pid__gt": 4000},
        {"raw__process__signed": False},
        {"raw__process__signed": "false"},
        {"raw__risk": 73},
        {"raw__risk__gte": 70},
        {"raw__when__gte": "2026-05-01"},
        {"raw__kibana__alert__severity": "high"},
        {"raw__kibana.alert.severity": "high"},
        {"raw__kibana__alert__rule__name": "flat and nested"},
        {"raw__events__user": "b"},
        {"raw__events__0__user": "a"},
        {"raw__events__user__all": ["a", "b"]},
        {"raw__paths__contains": "Temp"},
        {"raw__paths__1": "/tmp/x"},
        {"raw__missing__isnull": True},
        {"raw__empty__isnull": True},
        {"raw__nothing": None},
        {"raw__in__exact": "oddly named"},
        {"raw__isnull": False},
        {"iocs__ips": "8.8.8.8"},
        {"iocs__ips__cidr": "8.0.0.0/8"},
        {"normalized__depth": 2},
        {"not_hostname": "kiosk-1"},
        {"not_description": "anything"},
        {"not_severity__gte": "critical"},
        {"not_raw__process__name__endswith": ".dll"},
        {"not_tags": ["kubernetes"]},
    ],
)
def test_it_holds(conditions):
    assert matches(**conditions)


@pytest.mark.parametrize(
    "conditions",
    [
        {"severity": "critical"},
        {"severity": ["critical"], "hostname": "web-1"},
        {"severity": []},
        {"severity__gt": "high"},
        {"hostname": "WEB-1"},
        {"tags": "Docker"},
        {"tags__all": ["docker", "kubernetes"]},
        {"source_ip__cidr": "192.168.0.0/16"},
        {"title": "Mimikatz"},
        {"title__regex": "^on"},
        {"description": "None"},
        {"description__contains": ""},
        {"hostname": None},
        {"raw__process": "mimikatz.exe"},
        {"raw__process__signed": 0},
        {"raw__count": True},
        {"raw__count": 5.5},
        {"raw__nothing": "None"},
        {"raw__risk__gt": 73},
        {"raw__process__name__gte": 1},
        {"raw__events__2__user": "a"},
        {"raw__events__user__all": ["a", "c"]},
        {"raw__missing__name": "x"},
        {"raw__missing__name__gte": 1},
        {"not_severity": "high"},
        {"not_tags": ["docker", "kubernetes"]},
        {"not_description__isnull": True},
    ],
)
def test_it_does_not_hold(conditions):
    assert not matches(**conditions)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"severty": "high"}, "unknown field 'severty' .did you mean 'severity'"),
        ({"sourceip__cidr": "10.0.0.0/8"}, "did you mean 'source_ip'"),
        ({"not_hostnam": "x"}, "did you mean 'hostname'"),
        ({"zzzz": 1}, r"unknown field 'zzzz'\. Known fields: id, source"),
        ({5: "x"}, "must be a string"),
        ({"title__icontain": "x"}, "no lookup 'icontain' .did you mean 'icontains'"),
        ({"title__gte": "x"}, "title has no lookup 'gte'"),
        ({"title__process__name": "x"}, "no lookup 'process__name'"),
        ({"hostname__cidr": "10.0.0.0/8"}, "no lookup 'cidr'"),
        ({"severity": "hihg"}, "severity is never 'hihg' .did you mean 'high'"),
        ({"severity__gte": "severe"}, "informational, low, medium, high, critical"),
        ({"severity__gte": ["high"]}, "gte takes one value"),
        ({"severity__gte": None}, "gte takes one of"),
        ({"status": "open"}, "new, in_progress, resolved"),
        ({"determination": ["evil"]}, "unknown, malicious, suspicious, benign"),
        ({"source_ip__cidr": "10.0.0.0/40"}, "not a network"),
        ({"source_ip__cidr": 10}, "compares text"),
        ({"title__regex": "(?=a)"}, "not a pattern RE2 understands"),
        ({"title__regex": "("}, "not a pattern RE2 understands"),
        ({"title__icontains": 5}, "compares text"),
        ({"tags__all": "docker"}, "takes a list"),
        ({"tags__all": []}, "at least one"),
        ({"hostname__in": "web-1"}, "takes a list"),
        ({"hostname__isnull": "yes"}, "true or false"),
        ({"hostname__isnull": [True]}, "one value"),
        ({"hostname": {"a": 1}}, "not dict"),
        ({"hostname": ["a", ["b"]]}, "not list"),
        ({"hostname": "a\0"}, "in no alert"),
        ({"hostname": "\ud800"}, "in no alert"),
        ({"raw__a": float("nan")}, "in no alert"),
        ({"duplicate_count__gte": "many"}, "not a number"),
        ({"first_seen__gte": "yesterday"}, "neither a number nor a date"),
        ({"raw__a__gte": "yesterday"}, "neither a number nor a date"),
        ({"raw": "x"}, "name what lies in it"),
        ({"raw__": "x"}, "non-empty steps"),
        ({"raw__" + "__".join("a" * 17): "x"}, "1 to 16"),
    ],
)
def test_what_means_nothing_is_refused_with_the_nearest(conditions, words):
    with pytest.raises(ConditionError, match=words):
        parse(conditions)


INCIDENT = {
    "number": 1042,
    "title": "Theft",
    "severity": "critical",
    "status": "closed",
    "determination": None,
    "tlp": "amber+strict",
    "tags": ["vip"],
    "closed_at": "2026-05-01T08:00:00+00:00",
}
OBSERVABLE = {
    "type": "ip",
    "value": "203.0.113.7",
    "internal": False,
    "tags": [],
    "first_seen": datetime(2026, 5, 2, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("about", "subject", "conditions", "holds"),
    [
        ("incident", INCIDENT, {"severity__gte": "high"}, True),
        ("incident", INCIDENT, {"severity__lt": "high"}, False),
        ("incident", INCIDENT, {"status": ["CLOSED"], "number": 1042}, True),
        ("incident", INCIDENT, {"determination__isnull": True, "tlp": "amber+strict"}, True),
        ("incident", INCIDENT, {"closed_at__gte": "2026-05-02"}, False),
        ("observable", OBSERVABLE, {"type": ["ip", "domain"], "value__cidr": "203.0.113.0/24"}, True),
        ("observable", OBSERVABLE, {"value": "203.0.113.7", "internal": False}, True),
        ("observable", OBSERVABLE, {"internal": True}, False),
        ("observable", {"type": "domain", "value": "evil.example"}, {"value__endswith": ".example"}, True),
    ],
)
def test_incidents_and_observables_have_fields_of_their_own(about, subject, conditions, holds):
    condition = parse(conditions, about)
    assert condition.matches(subject) is holds
    assert parse(condition.to_json(), about) == condition


@pytest.mark.parametrize(
    ("about", "conditions", "words"),
    [
        ("incident", {"hostname": "x"}, "unknown field 'hostname'"),
        ("incident", {"status": "new"}, "open, investigating, contained, closed"),
        ("incident", {"determination": "unknown"}, "malicious, suspicious, benign"),
        ("observable", {"type": "domian"}, "did you mean 'domain'"),
        ("observable", {"internal": "no"}, "internal is true or false"),
        ("observable", {"severity": "high"}, "unknown field 'severity'"),
        ("observable", {"value": "a\0"}, "in no observable"),
    ],
)
def test_what_their_fields_cannot_hold_is_refused(about, conditions, words):
    with pytest.raises(ConditionError, match=words):
        parse(conditions, about)


def test_the_words_are_those_of_the_models_and_the_fields_those_of_the_snapshots():
    from alerts.models import Observable, Severity
    from incidents.models import Incident
    from playbooks_engine import incident

    choices = SUBJECTS["incident"].choices
    assert SUBJECTS["observable"].choices["type"] == tuple(Observable.Type.values)
    assert choices["severity"] == tuple(Severity.values)
    for name in ("status", "determination", "impact", "tlp", "pap"):
        assert choices[name] == tuple(getattr(Incident, name.title()).values)
    assert set(SUBJECTS["incident"].fields) <= set(incident.Incident.FIELDS)
    assert set(SUBJECTS["observable"].fields) <= set(incident.Observable.FIELDS)


def test_no_conditions_match_everything():
    assert parse(None) == parse({}) == Condition()
    assert parse({}).matches({})


def test_info_is_informational():
    assert parse({"severity": "info"}).matches({"severity": "informational"})
    assert parse({"severity__gte": "low"}).matches({"severity": "info"}) is False


def test_sets_and_tuples_are_lists():
    assert parse({"tags": {"docker"}}).to_json() == {"tags": ["docker"]}
    assert parse({"tags": ("docker", "x")}).to_json() == {"tags": ["docker", "x"]}


def test_an_address_mapped_into_v6_is_that_address():
    assert parse({"source_ip__cidr": "10.0.0.0/8"}).matches({"source_ip": "::ffff:10.0.0.1"})


# Machines under load draw slowly; that is no finding about conditions.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# --- whatever comes ------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["high", "10.0.0.1", "2026-05-01", "1e999", "\ud800", "-0", "nan"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["a", "b", "a.b"]), inner, max_size=4)
    ),
    max_leaves=12,
)
subjects = st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.just("raw_payload"), values, max_size=8)


def good_values(kind, lookup):
    if lookup == "isnull":
        return st.booleans()
    if kind == "severity":
        words = st.sampled_from(["low", "high", "critical"])
        if lookup == "in":
            return st.lists(words)
        return words if lookup in ("gte", "gt", "lte", "lt") else words | st.lists(words)
    if lookup in ("gte", "gt", "lte", "lt"):
        return st.just("2026-05-01") if kind == "time" else st.integers(-9, 9)
    if lookup == "cidr":
        return st.just("10.0.0.0/8")
    if lookup == "regex":
        return st.just("a.*b")
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
    if lookup in ("iexact", "contains", "icontains", "startswith", "endswith"):
        return text | st.lists(text)
    single = st.just("2026-05-01") if kind == "time" else text | st.integers() | st.booleans()
    if lookup in ("in", "all", "overlap"):
        return st.lists(single, min_size=1)
    return single | st.none() | st.lists(single | st.none())


@st.composite
def conditions(draw):
    found = {}
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from([f for f in FIELDS if f not in ("status", "determination")]))
        kind = FIELDS[name]
        lookup = draw(st.sampled_from(LOOKUPS[kind]))
        path = draw(st.sampled_from(["__a", "__a__b", "__a.b", "__0"])) if kind == "path" else ""
        negation = draw(st.sampled_from(["", "not_"]))
        found[f"{negation}{name}{path}__{lookup}"] = draw(good_values(kind, lookup))
    return found


@patient
@given(conditions(), subjects)
@example({"raw__a": 1}, {"raw_payload": {"a": 10**5000}})
@example({"raw__a__gte": 1}, {"raw_payload": {"a": 10**5000}})
@example({"raw__a__regex": "a.*b"}, {"raw_payload": {"a": "a\ud800b"}})
@example({"first_seen__gte": "2026-05-01"}, {"first_seen": "0001-01-01T00:00:00+23:00"})
def test_matching_never_raises_and_answers_yes_or_no(wanted, subject):
    condition = parse(wanted)
    assert condition.matches(subject) in (True, False)


@patient
@given(conditions())
def test_it_survives_the_database(wanted):
    condition = parse(wanted)
    stored = json.loads(json.dumps(condition.to_json()))
    again = parse(stored)
    assert again == condition
    assert again.to_json() == stored


@patient
@given(conditions(), subjects)
def test_stored_and_fresh_agree(wanted, subject):
    condition = parse(wanted)
    assert parse(condition.to_json()).matches(subject) == condition.matches(subject)


@patient
@given(conditions(), subjects)
def test_negation_is_the_opposite_and_keys_are_anded(wanted, subject):
    single = [parse({key: value}).matches(subject) for key, value in wanted.items()]
    assert parse(wanted).matches(subject) == all(single)
    for key, value in wanted.items():
        other = key.removeprefix("not_") if key.startswith("not_") else f"not_{key}"
        assert parse({other: value}).matches(subject) != parse({key: value}).matches(subject)


@patient
@given(st.dictionaries(st.text(), values, max_size=3))
def test_parsing_anything_says_no_politely(wanted):
    with contextlib.suppress(ConditionError):
        parse(wanted)


def test_hostile_payloads_cost_linear_time():
    nested = {"a": "x"}
    for _ in range(400):
        nested = {"a": nested, "a.a": nested}
    wide = {"a": [{"a": [{"a": "x"}] * 300}] * 300}
    started = time.perf_counter()
    parse({"raw__" + "__".join("a" * 16): "y"}).matches({"raw_payload": nested})
    parse({"raw__a__a__a": "y"}).matches({"raw_payload": wide})
    parse({"raw__a__regex": "(a+)+$"}).matches({"raw_payload": {"a": "a" * 200_000 + "b"}})
    assert time.perf_counter() - started < 2
