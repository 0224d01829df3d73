"""The SQL prefilter of a condition leaves out nothing that the condition means."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.matching import prefilter
from alerts.models import SEVERITY_RANK, Alert
from alerts.subjects import subject_of
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.conditions import ConditionError, parse

pytestmark = pytest.mark.django_db
TEXTS = [
    "",
    "Port scan",
    "port SCAN",
    "a%b_c\\d",
    "Straße",
    "STRASSE",
    "\u212aelvin",
    "kelvin",
    "7",
    "é",
    " edr ",
    "EDR",
]
ADDRESSES = ["203.0.113.9", "203.0.113.200", "::ffff:203.0.113.9", "2001:db8::1", "10.0.0.1"]
SEVERITIES = list(SEVERITY_RANK)
nullable = st.none() | st.sampled_from(TEXTS)
alerts = st.fixed_dictionaries(
    {
        "title": st.sampled_from(TEXTS),
        "source": st.sampled_from(TEXTS),
        "rule_name": nullable,
        "hostname": nullable,
        "severity": st.sampled_from(SEVERITIES),
        "source_ip": st.none() | st.sampled_from(ADDRESSES),
        "tags": st.lists(st.sampled_from(TEXTS), max_size=2),
    }
)
LOOKUPS = ["", "__in", "__iexact", "__contains", "__icontains", "__startswith", "__endswith", "__isnull"]
values = st.one_of(
    st.sampled_from(TEXTS), st.none(), st.just(7), st.booleans(), st.lists(nullable | st.just(7), max_size=2)
)
texts = st.tuples(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "not_"]),
        st.sampled_from(["title", "rule_name", "hostname", "source", "tags"]),
        st.sampled_from([*LOOKUPS, "__overlap", "__all"]),
    ),
    values,
)
addresses = st.tuples(
    st.sampled_from(["source_ip", "source_ip__in", "source_ip__cidr", "not_source_ip__cidr"]),
    st.sampled_from([*ADDRESSES, "203.0.113.0/24", "::/0", "0.0.0.0/0", "2001:db8::/32", "::ffff:0:0/96", "x"])
    .flatmap(lambda one: st.sampled_from([one, [one]])),
)  # fmt: skip
severities = st.tuples(
    st.builds(
        "severity{}".format, st.sampled_from(["", "__in", "__gte", "__gt", "__lte", "__lt", "__iexact"])
    ),
    st.sampled_from(SEVERITIES) | st.lists(st.none() | st.sampled_from(SEVERITIES), max_size=2),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(alerts, min_size=1, max_size=3), st.lists(texts | addresses | severities, min_size=1, max_size=2)
)
def test_no_match_is_left_out(db: None, rows: list[dict[str, Any]], terms: list[tuple[str, Any]]) -> None:
    try:
        condition = parse(dict(terms))
    except ConditionError:
        return
    Alert.objects.all().delete()
    Alert.objects.bulk_create(
        Alert(partner_id=DEFAULT_PARTNER_ID, dedupe_key=os.urandom(32), **fields) for fields in rows
    )
    stored = Alert.objects.select_related("partner")
    matching = {alert.pk for alert in stored if condition.matches(subject_of(alert, None))}
    assert matching <= set(stored.filter(prefilter(condition)).values_list("pk", flat=True))


@pytest.mark.parametrize(
    "conditions",
    [
        {"rule_name": "b"}, {"source": "EDR"}, {"severity__gte": "high"}, {"source_ip__cidr": "10.0.0.0/8"},
        {"tags": ["x"]}, {"hostname__startswith": "ws"}, {"hostname__isnull": False},
    ],
)  # fmt: skip
def test_it_narrows_what_has_to_be_read(conditions: dict[str, Any]) -> None:
    Alert.objects.create(
        dedupe_key=b"1", partner_id=DEFAULT_PARTNER_ID, title="a", source="siem", severity="low"
    )
    assert not Alert.objects.filter(prefilter(parse(conditions))).exists()
