"""One verb on many alerts."""

import uuid

import pytest

from alerts import services
from alerts.models import Alert
from opensoar.errors import Invalid
from tests.factories import actions, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db


def test_service_resolves_what_can_be_resolved():
    ada = make_user()
    known, unknown, done = make_alert(determination="benign"), make_alert(), make_alert(status="resolved")
    missing = uuid.uuid4()
    result = services.bulk(
        actor=ada.actor,
        alert_ids=[known.pk, str(unknown.pk), done.pk, missing, "nonsense", known.pk],
        action="resolve",
    )
    assert (result["updated"], result["failed"]) == (1, 3)
    assert result["errors"] == [
        f"Alert {unknown.pk}: cannot resolve with unknown determination",
        f"Alert {missing} not found",
        "Alert nonsense not found",
    ]
    assert actions(known) == ["status_change"]
    assert actions(done) == []


def test_service_resolve_with_a_determination_records_it():
    alert = make_alert()
    services.bulk(
        actor=make_user().actor,
        alert_ids=[alert.pk],
        action="resolve",
        determination="benign",
        resolve_reason="noise",
    )
    assert actions(alert) == ["determination_set", "status_change"]


def test_service_assigns_to_the_actor_unless_told():
    ada, bob = make_user(), make_user()
    alerts = [make_alert(), make_alert()]
    ids = [alert.pk for alert in alerts]
    services.bulk(actor=ada.actor, alert_ids=ids, action="assign")
    assert {alert.assigned_to for alert in Alert.objects.all()} == {ada}
    services.bulk(actor=ada.actor, alert_ids=ids, action="assign", assigned_to=bob.pk)
    assert {alert.assigned_to for alert in Alert.objects.all()} == {bob}


def test_service_claims_and_changes_severity():
    ada, taken = make_user(), make_alert(assigned_to=make_user("bob"))
    alert = make_alert()
    result = services.bulk(actor=ada.actor, alert_ids=[alert.pk, taken.pk], action="claim")
    assert result == {"updated": 1, "failed": 1, "errors": [f"Alert {taken.pk}: Already claimed by bob"]}
    services.bulk(actor=ada.actor, alert_ids=[alert.pk], action="change_severity", severity="critical")
    assert Alert.objects.get(pk=alert.pk).severity == "critical"
    assert services.bulk(actor=ada.actor, alert_ids=[alert.pk], action="change_severity")["failed"] == 1


def test_service_unknown_action_and_foreign_alerts():
    ours = make_partner()
    ada, theirs = make_user(partners=[ours]), make_alert(partner=make_partner(), determination="benign")
    assert services.bulk(actor=ada.actor, alert_ids=[theirs.pk], action="explode")["errors"] == [
        "Unknown action: explode"
    ]
    result = services.bulk(actor=ada.actor, alert_ids=[theirs.pk], action="resolve")
    assert result["errors"] == [f"Alert {theirs.pk} not found"]
    assert actions(theirs) == []


def test_service_has_a_limit():
    with pytest.raises(Invalid):
        services.bulk(actor=make_user().actor, alert_ids=[uuid.uuid4() for _ in range(1001)], action="claim")
