"""Giving an alert to somebody, or to nobody."""

import uuid

import pytest

from alerts import services
from opensoar.errors import Invalid, Stale
from tests.factories import actions, entries, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db


def test_service_assigns_and_starts_the_work():
    alert, lead, ada = make_alert(), make_user(role="lead"), make_user("ada")
    given = services.assign_alert(actor=lead.actor, alert=alert, user=ada)
    assert (given.assigned_to, given.status, given.version) == (ada, "in_progress", 2)
    [entry] = entries(alert)
    assert entry.action == "assigned"
    assert entry.payload["username"] == "ada"
    assert (entry.payload["status_before"], entry.payload["status_after"]) == ("new", "in_progress")


@pytest.mark.parametrize("how", ["row", "id", "text id", "username"])
def test_service_takes_whatever_names_a_person(how):
    ada = make_user("ada")
    user = {"row": ada, "id": ada.pk, "text id": str(ada.pk), "username": "ADA"}[how]
    assert services.assign_alert(actor=ada.actor, alert=make_alert(), user=user).assigned_to == ada


def test_service_unassigning_leaves_an_entry_and_the_status():
    alert, ada = make_alert(), make_user("ada")
    services.assign_alert(actor=ada.actor, alert=alert, user=ada)
    free = services.assign_alert(actor=ada.actor, alert=alert, user=None)
    assert (free.assigned_to, free.status, free.version) == (None, "in_progress", 3)
    assert entries(alert)[-1].payload["before_username"] == "ada"
    assert entries(alert)[-1].payload["username"] is None


def test_service_repeat_changes_nothing():
    alert, ada = make_alert(), make_user()
    for _ in range(2):
        given = services.assign_alert(actor=ada.actor, alert=alert, user=ada)
    assert given.version == 2
    assert actions(alert) == ["assigned"]


def test_service_refuses_who_cannot_work_it():
    ours, theirs, lead = make_partner(), make_partner(), make_user(role="lead")
    alert = make_alert(partner=ours)
    for nobody in (make_user(is_active=False), uuid.uuid4(), "nobody", "x\x00", make_user(partners=[theirs])):
        with pytest.raises(Invalid) as refusal:
            services.assign_alert(actor=lead.actor, alert=alert, user=nobody)
        assert refusal.value.field == "assigned_to"
    assert actions(alert) == []


def test_service_stale_edit_says_both_versions():
    alert, ada, bob = make_alert(), make_user(), make_user()
    services.assign_alert(actor=ada.actor, alert=alert, user=ada, expected_version=1)
    with pytest.raises(Stale) as refusal:
        services.assign_alert(actor=bob.actor, alert=alert, user=bob, expected_version=1)
    assert (refusal.value.expected, refusal.value.current) == (1, 2)
