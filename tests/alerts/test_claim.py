"""Claiming an alert: exactly one of those who try becomes its owner."""

import pytest

from alerts import services
from alerts.models import Alert
from opensoar.accounts.services import actor_for_token
from opensoar.errors import Conflict, Invalid, NotAllowed, NotFound
from tests.factories import SYSTEM, actions, entries, make_alert, make_partner, make_token, make_user
from tests.threads import at_once


@pytest.mark.django_db
def test_service_claims():
    alert, ada = make_alert(), make_user("ada")
    claimed = services.claim_alert(actor=ada.actor, alert=alert)
    assert (claimed.assigned_to, claimed.status, claimed.version) == (ada, "in_progress", 2)
    [entry] = entries(alert)
    assert entry.action == "claimed"
    assert (entry.actor_kind, entry.actor_id, entry.user_id) == ("analyst", ada.pk, ada.pk)
    assert entry.payload["status_before"] == "new"


@pytest.mark.django_db
def test_service_repeat_changes_nothing():
    alert, ada = make_alert(), make_user()
    services.claim_alert(actor=ada.actor, alert=alert)
    again = services.claim_alert(actor=ada.actor, alert=alert)
    assert again.version == 2
    assert actions(alert) == ["claimed"]


@pytest.mark.django_db
def test_service_names_who_was_faster():
    alert, ada, bob = make_alert(), make_user("ada"), make_user("bob")
    services.claim_alert(actor=ada.actor, alert=alert)
    with pytest.raises(Conflict, match="ada"):
        services.claim_alert(actor=bob.actor, alert=alert)


@pytest.mark.django_db
def test_service_keeps_a_resolved_alert_resolved():
    alert = make_alert(status="resolved")
    assert services.claim_alert(actor=make_user().actor, alert=alert).status == "resolved"


@pytest.mark.django_db
def test_service_is_for_people():
    token, _text = make_token()
    for actor in (SYSTEM, actor_for_token(token)):
        with pytest.raises(NotAllowed):
            services.claim_alert(actor=actor, alert=make_alert())


@pytest.mark.django_db
def test_service_sees_no_foreign_alert():
    ours, theirs = make_partner(), make_partner()
    with pytest.raises(NotFound):
        services.claim_alert(actor=make_user(partners=[ours]).actor, alert=make_alert(partner=theirs))


@pytest.mark.django_db
def test_service_refuses_who_was_switched_off_meanwhile():
    ada = make_user()
    actor = ada.actor
    type(ada).objects.filter(pk=ada.pk).update(is_active=False)
    with pytest.raises(Invalid):
        services.claim_alert(actor=actor, alert=make_alert())


def test_service_one_of_eight_wins(fresh_database):
    alert = make_alert()
    people = [make_user() for _ in range(8)]
    actors = [person.actor for person in people]
    outcomes = at_once([lambda a=actor: services.claim_alert(actor=a, alert=alert) for actor in actors])
    assert sum(isinstance(outcome, Alert) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    assert actions(alert) == ["claimed"]
    assert Alert.objects.get().version == 2
