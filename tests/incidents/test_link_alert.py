"""Which alerts belong to an incident."""

import pytest

from alerts.services import update_alert
from incidents import services
from incidents.models import Incident, IncidentAlert
from opensoar.errors import Conflict, Invalid, NotFound
from tests.factories import (
    SYSTEM,
    actions,
    entries,
    make_alert,
    make_incident,
    make_partner,
    make_user,
    text_of,
)
from tests.threads import at_once


@pytest.mark.django_db
def test_service_links():
    incident, alert, ada = make_incident(), make_alert("odd", techniques=["T1"]), make_user()
    linked = services.link_alert(actor=ada.actor, incident=incident, alert=alert)
    assert linked.version == 1, "a link must not make somebody's open form stale"
    assert linked.techniques == ["T1"]
    assert list(linked.alerts.all()) == [alert]
    [entry] = entries(incident, after=1)
    assert (entry.action, entry.payload["alert_id"], text_of(entry)) == ("alert_linked", str(alert.pk), "odd")
    assert actions(alert) == ["incident_linked"]


@pytest.mark.django_db
def test_service_twice_is_a_conflict():
    incident, alert = make_incident(), make_alert()
    services.link_alert(actor=SYSTEM, incident=incident, alert=alert)
    with pytest.raises(Conflict, match="Alert already linked to this incident"):
        services.link_alert(actor=SYSTEM, incident=incident, alert=alert)
    assert actions(alert) == ["incident_linked"]


@pytest.mark.django_db
def test_service_links_many_and_counts_the_new():
    first, second = make_alert(), make_alert()
    incident = make_incident(alerts=[first])
    linked, count = services.link_alerts(actor=SYSTEM, incident=incident, alerts=[first, second])
    assert (count, linked.alerts.count()) == (1, 2)
    assert services.link_alerts(actor=SYSTEM, incident=incident, alerts=[first, second])[1] == 0
    assert actions(incident) == ["incident_created", "alert_linked", "alert_linked"]


@pytest.mark.django_db
def test_service_not_across_partners():
    incident = make_incident(partner=make_partner())
    with pytest.raises(Invalid):
        services.link_alert(actor=SYSTEM, incident=incident, alert=make_alert())


@pytest.mark.django_db
def test_service_nothing_foreign():
    ours, theirs = make_partner(), make_partner()
    ada = make_user(partners=[ours]).actor
    with pytest.raises(NotFound, match="Alert not found"):
        services.link_alert(actor=ada, incident=make_incident(partner=ours), alert=make_alert(partner=theirs))
    with pytest.raises(NotFound, match="Incident not found"):
        services.link_alert(actor=ada, incident=make_incident(partner=theirs), alert=make_alert(partner=ours))


@pytest.mark.django_db
def test_service_unlinks():
    alert = make_alert("odd")
    incident = make_incident(alerts=[alert])
    services.unlink_alert(actor=SYSTEM, incident=incident, alert=alert)
    assert incident.alerts.count() == 0
    assert actions(incident, after=2) == ["alert_unlinked"]
    assert actions(alert) == ["incident_linked", "incident_unlinked"]
    with pytest.raises(NotFound, match="Link not found"):
        services.unlink_alert(actor=SYSTEM, incident=incident, alert=alert)
    assert actions(alert, after=2) == []


def test_service_of_eight_links_at_once_one_wins(fresh_database):
    incident, alert = make_incident(), make_alert()
    outcomes = at_once([lambda: services.link_alert(actor=SYSTEM, incident=incident, alert=alert)] * 8)
    assert sum(isinstance(outcome, Incident) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    assert IncidentAlert.objects.count() == 1
    assert actions(incident) == ["incident_created", "alert_linked"]
    services.unlink_alert(actor=SYSTEM, incident=incident, alert=alert)


def test_service_links_and_edits_of_the_same_rows_do_not_deadlock(fresh_database):
    incidents, alerts = [make_incident() for _ in range(3)], [make_alert() for _ in range(4)]
    calls = [
        lambda i=incident, a=order: services.link_alerts(actor=SYSTEM, incident=i, alerts=a)
        for incident in incidents
        for order in (alerts, alerts[::-1])
    ]
    calls += [lambda a=alert: update_alert(actor=SYSTEM, alert=a, severity="low") for alert in alerts]
    assert not [outcome for outcome in at_once(calls) if isinstance(outcome, Exception)]
    assert IncidentAlert.objects.count() == 12
