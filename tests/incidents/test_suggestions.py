"""Suggested incidents: computed, accepted by one, dismissed until something new joins."""

import math
import os
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from alerts.models import Alert, AlertObservable
from alerts.services.observables import upsert_observables
from incidents import grouping, services
from incidents.models import Incident, IncidentAlert, SuggestionGroup
from incidents.suggestion_store import catch_up
from incidents.suggestions import Suggestion, accept_suggestion, dismiss_suggestion, suggestions
from opensoar.accounts.models import DEFAULT_PARTNER_ID, ProductSettings
from opensoar.errors import Conflict, NotFound
from tests.factories import (
    SYSTEM,
    actions,
    entries,
    make_alert,
    make_incident,
    make_partner,
    make_user,
    suggested,
)
from tests.threads import at_once

IP = "203.0.113.7"


def pair(**fields):
    return [make_alert(**({"source_ip": IP} | fields)) for _ in range(2)]


@pytest.mark.django_db
def test_service_groups_by_shared_source():
    alerts = [
        make_alert(source_ip=IP, severity="high", rule_name="a"),
        make_alert(source_ip=IP, rule_name="b"),
        make_alert(source_ip="198.51.100.8"),
    ]
    [found] = suggested(SYSTEM)
    assert (found.entity, found.value, found.alert_count, found.severity) == ("source_ip", IP, 2, "high")
    assert found.alerts == [alerts[1], alerts[0]]
    assert found.id == str(alerts[0].pk)
    assert found.score == 30 + 8 + 5 + 20
    assert (
        "highest severity high (+30), 2 alerts (+8), 2 different rules (+5), "
        "shared source IP, 2 of its 2 alerts are here (+20)" in found.explanation
    )
    assert found.partner.pk == DEFAULT_PARTNER_ID
    assert found.first_seen <= found.last_seen


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("entity", "value"),
    [
        ("source_ip", "2001:db8::1"),
        ("dest_ip", IP),
        ("hostname", "WS-1"),
        ("username", "Ada"),
        ("group_key", "G1"),
    ],
)
def test_service_every_entity(entity, value):
    for spelling in (value, value.upper() if entity in {"hostname", "username"} else value):
        make_alert(**{entity: spelling})
    [found] = suggested(SYSTEM)
    assert found.entity == entity
    assert found.value == (value.lower() if entity in {"hostname", "username"} else value)
    assert accept_suggestion(actor=SYSTEM, suggestion_id=found.id).alerts.count() == 2


@pytest.mark.django_db
def test_service_one_suggestion_for_one_set_of_alerts():
    pair(hostname="ws-1", username="ada")
    [found] = suggested(SYSTEM)
    assert found.entity == "source_ip"
    assert f"share source IP {IP} (in no other alert of the last 30 days), host ws-1 (" in found.why
    assert "and user ada (" in found.why


@pytest.mark.django_db
def test_service_leaves_out_what_is_worked_resolved_old_deleted_or_everybodys():
    make_incident(alerts=pair())
    pair(source_ip="203.0.113.9", status="resolved")
    pair(source_ip="203.0.113.10", created_at=timezone.now() - timedelta(days=8))
    pair(source_ip="203.0.113.11", archived_at=timezone.now())
    pair(source_ip="127.0.0.1")
    pair(source_ip=None, hostname="")
    assert suggested(SYSTEM) == []
    ProductSettings.objects.update(suggestion_days=30)
    assert [s.value for s in suggested(SYSTEM)] == ["203.0.113.10"]


@pytest.mark.django_db
def test_service_partners_are_apart():
    ours, theirs = make_partner(), make_partner()
    make_alert(source_ip=IP, partner=ours), make_alert(source_ip=IP, partner=theirs)
    assert suggested(SYSTEM) == []
    pair(partner=theirs)
    ada = make_user(partners=[ours])
    assert suggested(ada.actor) == []
    [foreign] = suggested(SYSTEM)
    for verb in (accept_suggestion, dismiss_suggestion):
        with pytest.raises(NotFound):
            verb(actor=ada.actor, suggestion_id=foreign.id)


@pytest.mark.django_db
def test_service_takes_four_queries_and_shows_twenty(django_assert_num_queries):
    for _ in range(25):
        make_alert(source_ip=IP)
    for n in range(5):
        pair(source_ip=f"198.51.{n}.1")
    catch_up()
    with django_assert_num_queries(4):
        found = suggestions(SYSTEM)
        assert next((s.alert_count, len(s.alerts)) for s in found) == (25, 20)
        assert {s.partner.pk for s in found} == {DEFAULT_PARTNER_ID}
    assert len(found) == 6


@pytest.mark.django_db
def test_service_accepts():
    alerts, ada = pair(severity="critical"), make_user()
    [found] = suggested(ada.actor)
    incident = accept_suggestion(actor=ada.actor, suggestion_id=found.id, owner=ada)
    assert incident.title == f"2 alerts with source IP {IP}"
    assert (incident.severity, incident.assigned_to, incident.description) == (
        "critical",
        ada,
        found.why,
    )
    assert set(incident.alerts.all()) == set(alerts)
    assert actions(incident) == ["incident_created", "alert_linked", "alert_linked", "assigned"]
    assert entries(incident)[0].payload["suggestion_id"] == found.id
    assert suggested(ada.actor) == []
    with pytest.raises(NotFound):
        accept_suggestion(actor=ada.actor, suggestion_id=found.id)


@pytest.mark.django_db
def test_service_adds_to_an_incident():
    pair()
    incident = make_incident()
    [found] = suggested(SYSTEM)
    assert accept_suggestion(actor=SYSTEM, suggestion_id=found.id, incident=incident) == incident
    assert actions(incident) == ["incident_created", "alert_linked", "alert_linked"]


@pytest.mark.django_db
def test_service_accepts_what_joined_since_it_was_shown():
    pair()
    [found] = suggested(SYSTEM)
    make_alert(source_ip=IP)
    catch_up()
    assert accept_suggestion(actor=SYSTEM, suggestion_id=found.id, title="mine").alerts.count() == 3


@pytest.mark.django_db
def test_service_dismissed_until_something_new_joins():
    alerts, ada = pair(), make_user()
    [found] = suggested(ada.actor)
    dismissal = dismiss_suggestion(actor=ada.actor, suggestion_id=found.id, reason="our scanner")
    assert (dismissal.reason, dismissal.dismissed_by, set(dismissal.seen)) == (
        "our scanner",
        ada,
        {a.pk for a in alerts},
    )
    assert suggested(ada.actor) == []
    make_alert(source_ip=IP)
    assert [s.alert_count for s in suggested(ada.actor)] == [3]
    dismiss_suggestion(actor=ada.actor, suggestion_id=found.id)
    assert suggested(ada.actor) == []


@pytest.mark.django_db
def test_service_dismissed_whatever_else_the_alerts_share():
    pair(hostname="NESSUS-01", username="scan")
    [found] = suggested(SYSTEM)
    dismiss_suggestion(actor=SYSTEM, suggestion_id=found.id)
    assert suggested(SYSTEM) == []
    make_alert(hostname="NESSUS-01")
    assert [s.alert_count for s in suggested(SYSTEM)] == [3]


@pytest.mark.django_db
def test_service_chains_are_one_suggestion():
    make_alert(source_ip=IP)
    make_alert(source_ip=IP, hostname="WS-1")
    make_alert(hostname="WS-1")
    [found] = suggested(SYSTEM)
    assert (found.alert_count, found.title) == (3, f"3 alerts around source IP {IP}")
    assert f"2 share source IP {IP} (in no other alert" in found.why
    assert "2 share host ws-1 (in no other alert" in found.why


@pytest.mark.django_db
def test_service_what_was_worked_a_moment_ago_is_gone_at_once():
    alerts = [make_alert(source_ip=IP) for _ in range(3)]
    assert [s.alert_count for s in suggested()] == [3]
    make_incident(alerts=alerts[:1])
    [found] = suggestions(SYSTEM)
    assert found.alert_count == found.evidence.count == 2
    assert "in 1 other alert of the last 30 days" in found.why
    services.link_alerts(actor=SYSTEM, incident=make_incident(), alerts=alerts[1:2])
    assert suggestions(SYSTEM) == []


@pytest.mark.django_db
def test_service_a_dismissal_outlives_a_rebuild():
    pair()
    dismiss_suggestion(actor=SYSTEM, suggestion_id=suggested()[0].id)
    call_command("rebuild_suggestions")
    assert suggestions(SYSTEM) == []


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", ["", "x", "'; DROP TABLE", "%s", "\x00", "a" * 64])
def test_service_unknown_ids(wrong):
    pair()
    with pytest.raises(NotFound):
        accept_suggestion(actor=SYSTEM, suggestion_id=wrong)


def test_service_accepted_by_six_at_once_makes_one_incident(fresh_database):
    pair()
    [found] = suggested(SYSTEM)
    outcomes = at_once([lambda: accept_suggestion(actor=SYSTEM, suggestion_id=found.id)] * 6)
    assert sum(isinstance(outcome, Incident) for outcome in outcomes) == 1
    assert all(isinstance(outcome, Incident | Conflict | NotFound) for outcome in outcomes), outcomes
    assert (Incident.objects.count(), IncidentAlert.objects.count()) == (1, 2)


def test_service_accepting_and_linking_at_once_do_not_deadlock(fresh_database):
    alerts = pair()
    incident = make_incident()
    [found] = suggested(SYSTEM)
    outcomes = at_once(
        [
            lambda: accept_suggestion(actor=SYSTEM, suggestion_id=found.id, incident=incident),
            lambda: accept_suggestion(actor=SYSTEM, suggestion_id=found.id),
            lambda: services.link_alerts(actor=SYSTEM, incident=incident, alerts=alerts[::-1]),
        ]
    )
    assert all(not isinstance(o, Exception) or isinstance(o, Conflict | NotFound) for o in outcomes), outcomes


# --- what is said can be counted again --------------------------------------------------------------------
# Nothing here is asked of incidents.evidence, incidents.entities or incidents.grouping: the rules are those of
# docs/suggestions.md, the numbers are written down once more, and everything is counted from the alerts' own tables.

WEIGHTS = {
    "hash": 20, "source_ip": 20, "group_key": 18, "url": 18, "domain": 16, "ip": 16, "hostname": 15, "username": 12,
    "email": 12, "cidr": 10, "dest_ip": 5, "process": 2,
}  # fmt: skip
LABELS = {
    "hash": "file hash", "source_ip": "source IP", "group_key": "vendor group", "url": "URL", "domain": "domain",
    "ip": "IP", "hostname": "host", "username": "user", "email": "mail address", "cidr": "network",
    "dest_ip": "destination IP", "process": "process",
}  # fmt: skip
HUB = 400  # carriers: what more carry is not named
NO_NETWORK = [
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10",
]  # fmt: skip

# Of each entity that two or more of the alerts %(members)s say: how many of them, on how many hosts, as what, and how
# many alerts of their partner say it in the window, which begins at midnight (UTC) thirty days ago.
COUNT = """
WITH alert AS (
  SELECT * FROM alerts_alert WHERE partner_id = %(partner)s
  AND created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '30 days'
), observed AS (
  SELECT l.alert_id AS id, o.type, o.value FROM alerts_alertobservable l
  JOIN alerts_observable o ON o.id = l.observable_id JOIN alert ON alert.id = l.alert_id
), address AS (
  SELECT id, source_ip AS ip FROM alert WHERE source_ip IS NOT NULL
  UNION SELECT id, dest_ip FROM alert WHERE dest_ip IS NOT NULL
  UNION SELECT id, value::inet FROM observed WHERE type = 'ip'
), said AS (
  SELECT id, 'ip' AS kind, host(ip) AS value FROM address
  UNION SELECT id, 'cidr', network(set_masklen(ip, CASE family(ip) WHEN 4 THEN 24 ELSE 64 END))::text
    FROM address WHERE NOT ip <<= ANY(%(no_network)s::inet[])
  UNION SELECT id, 'hostname', lower(btrim(hostname)) FROM alert WHERE btrim(hostname) <> ''
  UNION SELECT id, 'username', lower(btrim(username)) FROM alert WHERE btrim(username) <> ''
  UNION SELECT id, 'group_key', group_key FROM alert WHERE group_key <> ''
  UNION SELECT id, 'hash', value FROM observed WHERE type IN ('md5', 'sha1', 'sha256', 'sha512')
  UNION SELECT id, type, value FROM observed WHERE type IN ('url', 'domain', 'email', 'process')
), member AS (
  SELECT said.*, nullif(lower(btrim(hostname)), '') AS host, CASE
    WHEN kind <> 'ip' THEN kind WHEN host(source_ip) = value THEN 'source_ip' WHEN host(dest_ip) = value THEN 'dest_ip'
    ELSE 'ip' END AS role
  FROM said JOIN alert USING (id) WHERE id = ANY(%(members)s::uuid[])
)
SELECT kind, value, array_agg(DISTINCT role), array_agg(id ORDER BY id), count(DISTINCT host),
  (SELECT count(*) FROM said WHERE said.kind = member.kind AND said.value = member.value)
FROM member GROUP BY kind, value HAVING count(*) > 1
"""
HEAD = """
SELECT count(*), count(DISTINCT rule_name), extract(epoch FROM max(created_at) - min(created_at)),
  max(array_position('{informational,low,medium,high,critical}'::text[], severity::text)) - 1,
  count(*) FILTER (WHERE status = 'resolved' OR archived_at IS NOT NULL OR created_at < now() - interval '7 days'
    OR partner_id <> %(partner)s OR id IN (SELECT alert_id FROM incidents_incidentalert))
FROM alerts_alert WHERE id = ANY(%(members)s::uuid[])
"""


class Counted(NamedTuple):
    """An entity as it is counted here."""

    entity: str
    value: str
    count: int
    hosts: int
    total: int

    @property
    def points(self) -> int:
        return max(1, round(WEIGHTS[self.entity] * self.count / self.total))

    @property
    def words(self) -> str:
        """As a sentence has to say it."""
        others = self.total - self.count
        where = [f"on {self.hosts} hosts"] if self.entity != "hostname" and self.hosts > 1 else []
        where.append(f"in {others or 'no'} other alert{'s' if others > 1 else ''} of the last 30 days")
        return f"{LABELS[self.entity]} {self.value} ({', '.join(where)})"


def counted(suggestion: Suggestion) -> tuple[set[Counted], list[int], float]:
    """What the suggestion's alerts share, the parts of its score, and the seconds that it covers."""
    asked = {"members": suggestion.alert_ids, "partner": suggestion.partner_id, "no_network": NO_NETWORK}
    with connection.cursor() as cursor:
        cursor.execute(HEAD, asked)
        count, rules, seconds, rank, unfit = cursor.fetchone()
        cursor.execute(COUNT, asked)
        rows = [row for row in cursor.fetchall() if row[5] <= HUB]
    assert (count, unfit) == (len(suggestion.alert_ids), 0)
    addresses = [who for kind, _value, _roles, who, _hosts, _total in rows if kind == "ip"]
    shared = {
        Counted(roles[0] if len(roles) == 1 else "ip", value, len(who), hosts, total)
        for kind, value, roles, who, hosts, total in rows
        if kind != "cidr" or who not in addresses  # a network is not named beside its only address
    }
    best = max(one.points for one in shared)
    parts = [10 * rank, min(25, round(8 * math.log2(count))), min(15, 5 * (rules - 1)), best]
    return shared, parts, float(seconds)


def seen(alert: Alert, **values: str) -> Alert:
    """``alert`` with an observable of each type."""
    rows = upsert_observables(alert.partner_id, [(kind, value, False) for kind, value in values.items()])
    AlertObservable.objects.bulk_create([AlertObservable(alert=alert, observable=o) for o in rows.values()])
    return alert


def ago(days: float = 0, minutes: float = 0) -> datetime:
    return timezone.now() - timedelta(days=days, minutes=minutes)


HASH, PAGE = "9f86" * 16, "https://evil.example/a"


def malware() -> None:
    """Fourteen alerts of one file on four hosts; and who else says what they say, or seems to."""
    for n in range(14):
        alert = make_alert(
            hostname=f"ws-{n % 4}", rule_name=f"r{n % 3}", severity="high" if n == 3 else "low",
            username="svc" if n < 2 else None, created_at=ago(minutes=25 * n),
        )  # fmt: skip
        seen(alert, sha256=HASH, domain="evil.example")
        if n < 7:
            seen(alert, process="dropper.exe")
        if n < 5:
            seen(alert, url=PAGE)
        if n < 3:
            seen(alert, email="a@evil.example")
    seen(make_alert(created_at=ago(29)), domain="evil.example", process="dropper.exe", url=PAGE)
    seen(make_alert(status="resolved"), email="a@evil.example", process="dropper.exe")
    # Before the window, of another partner, of another type: none of these counts.
    seen(make_alert(created_at=ago(31)), sha256=HASH, email="a@evil.example", url=PAGE)
    seen(make_alert(partner=make_partner()), sha256=HASH, url=PAGE, process="dropper.exe")
    seen(make_alert(created_at=ago(20)), filename="dropper.exe", hostname="evil.example", other=HASH)
    service = [Alert(source="x", title="t", username="svc", dedupe_key=os.urandom(32), partner_id=DEFAULT_PARTNER_ID,
                     created_at=ago(days=29 * n / HUB)) for n in range(HUB)]  # fmt: skip
    Alert.objects.bulk_create(service)


def scan() -> None:
    """Three neighbours of one network, which two other alerts mention."""
    for last in (20, 21, 22):
        make_alert(source_ip=f"203.0.113.{last}", rule_name="scan", severity="low")
    seen(make_alert(created_at=ago(10)), ip="203.0.113.99")
    make_alert(dest_ip="203.0.113.98", created_at=ago(14))
    make_alert(source_ip="203.0.112.20", created_at=ago(14))
    make_alert(source_ip="203.0.113.20", partner=make_partner())


def vendor_group() -> None:
    """Five alerts that their vendor put together, with addresses in different roles."""
    ours = [
        make_alert(group_key="case-77", dest_ip="10.0.0.9", rule_name="a", username="Ada", hostname="SRV-1",
                   source_ip="2001:db8::7"),
        make_alert(group_key="case-77", dest_ip="10.0.0.9", rule_name="a", username="ADA", hostname="srv-1 ",
                   source_ip="2001:db8::7"),
        make_alert(group_key="case-77", dest_ip="10.0.0.9", rule_name="b", username=" ada", hostname="srv-2"),
        make_alert(group_key="case-77", dest_ip="10.0.0.9", rule_name="b", source_ip="198.51.100.77"),
        make_alert(group_key="case-77", rule_name="b"),
    ]  # fmt: skip
    seen(ours[4], ip="198.51.100.77")
    make_alert(username="ada", source_ip="2001:db8::8", created_at=ago(12))
    make_alert(source_ip="10.0.0.9", group_key="CASE-77", created_at=ago(15))
    make_alert(group_key="case-77", username="ada", dest_ip="10.0.0.9", partner=make_partner())


@pytest.mark.django_db
def test_all_that_is_said_can_be_counted_again_from_the_alerts():
    malware(), scan(), vendor_group()
    found = suggested()
    assert [(len(one.alert_ids), one.score) for one in found] == [
        (14, 30 + 25 + 10 + 20),
        (5, 20 + 19 + 5 + 20),
        (3, 10 + 13 + 0 + 6),
    ]
    everything = set()
    for one in found:
        shared, parts, seconds = counted(one)
        said = [Counted(s.entity, s.value, s.count, s.hosts, s.total) for s in one.evidence.shared]
        assert (len(said), set(said)) == (len(shared), shared)
        assert [points for points, _words in one.evidence.parts] == parts
        assert one.score == sum(parts) == SuggestionGroup.objects.get(pk=one.id).score
        assert one.evidence.seconds == pytest.approx(seconds, abs=0.001)
        named = [entity for entity in shared if f"{LABELS[entity.entity]} {entity.value} (" in one.why]
        assert named
        assert [entity.words for entity in named if entity.words not in one.why] == []
        everything |= shared
    assert {entity.entity for entity in everything} == WEIGHTS.keys()
    # Literally, so that the counting here is not taken at its word either.
    assert everything >= {
        Counted("hash", HASH, 14, 4, 14), Counted("domain", "evil.example", 14, 4, 15),
        Counted("process", "dropper.exe", 7, 4, 9), Counted("url", PAGE, 5, 4, 6),
        Counted("email", "a@evil.example", 3, 3, 4), Counted("cidr", "203.0.113.0/24", 3, 0, 5),
        Counted("group_key", "case-77", 5, 2, 5), Counted("dest_ip", "10.0.0.9", 4, 2, 5),
        Counted("username", "ada", 3, 2, 4), Counted("hostname", "srv-1", 2, 1, 2),
        Counted("source_ip", "2001:db8::7", 2, 1, 2), Counted("ip", "198.51.100.77", 2, 0, 2),
    }  # fmt: skip
    assert not any(entity.value == "svc" for entity in everything)
    assert found[0].why.startswith(
        f"14 alerts in 5 hours share file hash {HASH} (on 4 hosts, in no other alert"
    )


# --- how large a group becomes ----------------------------------------------------------------------------


def carriers(times: list[float]) -> list[grouping.Fact]:
    """Alerts at these seconds that say the same address of a page."""
    key = grouping.key_for(b"partner", "url", PAGE)
    return [grouping.Fact(number, at, (key,)) for number, at in enumerate(times)]


def test_what_is_larger_than_200_is_cut_at_its_weakest_tie():
    """130 alerts a minute apart, half an hour of nothing, and 80 more: one by its ties, two by their number."""
    facts = carriers([60.0 * n + (2_000 if n >= 130 else 0) for n in range(210)])
    memory = grouping.Memory(facts)
    whole = frozenset(range(210))
    ties = grouping.ties_of(facts, memory)
    assert grouping.partition(ties, None) == [whole]
    assert set(memory.groups()) == {frozenset(range(130)), frozenset(range(130, 210))}


@pytest.mark.parametrize(
    ("alerts", "sizes"), [(200, [200]), (201, [200]), (210, [10, 200]), (399, [199, 200])]
)
def test_no_group_is_larger_than_200_and_its_rest_stands_beside_it(alerts, sizes):
    assert (
        sorted(len(group) for group in grouping.Memory(carriers([60.0 * n for n in range(alerts)])).groups())
        == sizes
    )


@pytest.mark.django_db
def test_service_shows_no_more_than_200_alerts_as_one():
    Alert.objects.bulk_create(
        Alert(source="x", title="t", source_ip=IP, rule_name="r", dedupe_key=os.urandom(32), partner_id=DEFAULT_PARTNER_ID,
              created_at=ago(minutes=n)) for n in range(210)
    )  # fmt: skip
    assert sorted(one.alert_count for one in suggested()) == [10, 200]
