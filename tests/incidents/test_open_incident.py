"""Opening an incident, from nothing or from alerts."""

import pytest

from incidents import events, services
from incidents.models import Incident
from opensoar.errors import Invalid, NotFound
from tests.factories import (
    SYSTEM,
    actions,
    default_partner,
    entries,
    make_alert,
    make_incident,
    make_partner,
    make_user,
    text_of,
)
from tests.threads import at_once


@pytest.mark.django_db
def test_service_escalates():
    ada, bob = make_user("ada"), make_user("bob")
    alerts = [make_alert("one", techniques=["T1078"]), make_alert("two", techniques=["T1078", "T1110"])]
    incident = services.open_incident(
        actor=ada.actor, title="  Theft ", severity="high", description="d", tags=["x", "x"], owner=bob,
        alerts=reversed(alerts), tlp="red",
    )  # fmt: skip
    incident = Incident.objects.with_related().get(pk=incident.pk)
    assert (incident.title, incident.severity, incident.status, incident.version) == (
        "Theft",
        "high",
        "open",
        1,
    )
    assert (incident.assigned_to, incident.tags, incident.tlp, incident.alert_count) == (bob, ["x"], "red", 2)
    assert incident.techniques == ["T1078", "T1110"]
    assert actions(incident) == ["incident_created", "alert_linked", "alert_linked", "assigned"]
    assert [text_of(entry) for entry in entries(incident)[:3]] == ["Theft", "one", "two"]
    for alert in alerts:
        [entry] = entries(alert)
        assert (entry.action, entry.payload["number"]) == ("incident_linked", incident.number)
        alert.refresh_from_db()
        assert (alert.status, alert.version) == ("new", 1)


@pytest.mark.django_db
def test_service_numbers_count_up_and_are_shown():
    first, second = make_incident(), make_incident()
    assert second.number > first.number
    assert str(first) == f"INC-{first.number}"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"title": "x" * 501},
        {"severity": "mega"},
        {"tlp": "pink"},
        {"pap": "pink"},
        {"owner": "nobody"},
    ],
)
def test_service_validates_and_leaves_nothing(wrong):
    alert = make_alert()
    with pytest.raises(Invalid):
        services.open_incident(**{"actor": SYSTEM, "title": "t", "alerts": [alert]} | wrong)
    assert Incident.objects.count() == 0
    assert entries(alert) == []


@pytest.mark.django_db
def test_service_partner_is_that_of_the_alerts():
    acme, other = make_partner(), make_partner()
    assert make_incident(alerts=[make_alert(partner=acme)]).partner == acme
    for arguments in (
        {"alerts": [make_alert(partner=acme), make_alert(partner=other)]},
        {"alerts": [make_alert(partner=acme)], "partner": other},
    ):
        with pytest.raises(Invalid) as refusal:
            make_incident(**arguments)
        assert refusal.value.field == "partner"


@pytest.mark.django_db
def test_service_partner_of_an_incident_without_alerts():
    acme, other = make_partner("acme"), make_partner("other")
    one, two = make_user(partners=[acme]), make_user(partners=[acme, other])
    three = make_user(partners=[acme, default_partner()])
    assert make_incident(actor=SYSTEM).partner == default_partner()
    assert make_incident(actor=one.actor).partner == acme
    assert make_incident(actor=three.actor).partner == default_partner()
    assert make_incident(actor=two.actor, partner="other").partner == other
    with pytest.raises(Invalid, match="acme, other"):
        make_incident(actor=two.actor)
    with pytest.raises(Invalid, match="Unknown partner"):
        make_incident(actor=one.actor, partner="other")


@pytest.mark.django_db
def test_service_links_no_foreign_alert():
    acme, other = make_partner(), make_partner()
    with pytest.raises(NotFound):
        make_incident(actor=make_user(partners=[acme]).actor, alerts=[make_alert(partner=other)])


@pytest.mark.django_db
def test_service_tells_subscribers(monkeypatch):
    heard = []
    monkeypatch.setattr(events.incident_opened, "_now", [heard.append])
    incident = make_incident()
    assert [change.incident for change in heard] == [incident]


def test_service_many_escalate_the_same_alerts_without_deadlock(fresh_database):
    alerts = [make_alert(f"alert {n}") for n in range(6)]
    orders = [alerts, alerts[::-1], alerts[3:] + alerts[:3], alerts[::2] + alerts[1::2]]
    outcomes = at_once(
        [lambda o=order: services.open_incident(actor=SYSTEM, title="t", alerts=o) for order in orders * 2]
    )
    assert all(isinstance(outcome, Incident) for outcome in outcomes), outcomes
    assert len({outcome.number for outcome in outcomes}) == 8
    assert [entry.seq for entry in entries(alerts[0])] == list(range(1, 9))
