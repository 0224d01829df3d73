"""Suggested incidents: computed, accepted by one, dismissed until something new joins."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from incidents import services
from incidents.models import Incident, IncidentAlert
from incidents.suggestion_store import catch_up
from incidents.suggestions import accept_suggestion, dismiss_suggestion, suggestions
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
