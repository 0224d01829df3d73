"""Editing an alert: several fields at once, an entry for each that changed."""

import itertools

import pytest

from alerts import services
from alerts.models import Observable
from opensoar.accounts.models import AuditEntry, Partner, ProductSettings
from opensoar.errors import Conflict, Invalid, NotFound, Stale
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
def test_service_changes_several_fields_in_one_version():
    alert, ada = make_alert(tags=["a", "b"]), make_user("ada")
    changed = services.update_alert(
        actor=ada.actor, alert=alert, status="in_progress", severity="critical", determination="suspicious",
        tags=["b", " c ", "c"], assigned_to=ada, detail="looks bad", metadata={"case": 7},
    )  # fmt: skip
    assert changed.version == 2
    assert (changed.status, changed.severity, changed.determination) == (
        "in_progress",
        "critical",
        "suspicious",
    )
    assert changed.tags == ["b", "c"]
    assert sorted(actions(alert)) == [
        "assigned",
        "determination_set",
        "severity_change",
        "status_change",
        "tags_changed",
    ]
    by_action = {entry.action: entry for entry in entries(alert)}
    assert text_of(by_action["status_change"]) == "looks bad"
    assert by_action["severity_change"].payload == {
        "before": "medium",
        "after": "critical",
        "metadata": {"case": 7},
    }
    assert by_action["tags_changed"].payload["added"] == ["c"]
    assert by_action["tags_changed"].payload["removed"] == ["a"]


@pytest.mark.django_db
def test_service_nothing_changed_nothing_recorded():
    alert = make_alert(severity="high")
    same = services.update_alert(
        actor=SYSTEM, alert=alert, severity="high", status="new", tags=[], detail="x"
    )
    assert (same.version, actions(alert)) == (1, [])


@pytest.mark.django_db
def test_service_determines_and_resolves_in_one_request():
    alert = make_alert()
    done = services.update_alert(
        actor=SYSTEM, alert=alert, status="resolved", determination="benign", resolve_reason="known"
    )
    assert (done.status, done.resolve_reason) == ("resolved", "known")
    assert actions(alert) == ["determination_set", "status_change"]
    assert text_of(entries(alert)[1]) == "known"


@pytest.mark.django_db
def test_service_cannot_resolve_what_is_undetermined():
    alert = make_alert()
    with pytest.raises(Invalid) as refusal:
        services.update_alert(actor=SYSTEM, alert=alert, status="resolved")
    assert refusal.value.detail == (
        "Cannot resolve an alert with determination 'unknown'. Set a determination first."
    )
    resolved = make_alert(status="resolved")
    with pytest.raises(Invalid):
        services.update_alert(actor=SYSTEM, alert=resolved, determination="unknown")
    both = services.update_alert(actor=SYSTEM, alert=resolved, determination="unknown", status="in_progress")
    assert (both.status, both.determination) == ("in_progress", "unknown")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "banana"),
        ("severity", "mega"),
        ("determination", "bogus"),
        ("tags", "a,b"),
        ("tags", [1]),
        ("tags", ["x" * 101]),
    ],
)
def test_service_validates(field, value):
    alert = make_alert()
    with pytest.raises(Invalid):
        services.update_alert(actor=SYSTEM, alert=alert, **{field: value})
    assert actions(alert) == []


@pytest.mark.django_db
def test_service_lists_what_is_allowed_in_order():
    with pytest.raises(Invalid) as refusal:
        services.update_alert(actor=SYSTEM, alert=make_alert(), determination="bogus")
    assert refusal.value.detail == (
        "Invalid determination. Must be one of: unknown, malicious, suspicious, benign"
    )


@pytest.mark.django_db
def test_service_reason_alone():
    alert = make_alert(status="resolved")
    services.update_alert(actor=SYSTEM, alert=alert, resolve_reason="on second thoughts \x00\ud800")
    [entry] = entries(alert)
    assert entry.action == "details_changed"
    assert text_of(entry) == "on second thoughts \ufffd\ufffd"


@pytest.mark.django_db
def test_service_stale():
    alert = make_alert()
    services.update_alert(actor=SYSTEM, alert=alert, severity="low", expected_version=1)
    with pytest.raises(Stale):
        services.update_alert(actor=SYSTEM, alert=alert, severity="high", expected_version=1)


@pytest.mark.django_db
def test_service_moves_to_a_partner_with_its_observables():
    acme = make_partner("acme")
    alert, ada = make_alert(), make_user(partners=[Partner.objects.get(slug="default")])
    services.add_observables(actor=SYSTEM, alert=alert, values=[("ip", "198.51.100.7")])
    services.assign_alert(actor=SYSTEM, alert=alert, user=ada)
    moved = services.update_alert(actor=SYSTEM, alert=alert, partner="ACME")
    assert moved.partner == acme
    assert moved.assigned_to is None, "who does not see the partner cannot go on owning its alert"
    assert [o.partner for o in moved.observables.all()] == [acme]
    assert Observable.objects.count() == 2
    assert sorted(actions(alert, after=2)) == ["assigned", "partner_changed"]
    back = services.update_alert(actor=SYSTEM, alert=alert, partner=None)
    assert back.partner.slug == "default"


@pytest.mark.django_db
def test_service_unknown_partner_is_made_unless_settings_refuse():
    services.update_alert(actor=SYSTEM, alert=make_alert(), partner="New Corp")
    assert Partner.objects.get(slug="new-corp").name == "New Corp"
    assert AuditEntry.objects.filter(action="partner_created").count() == 1
    ProductSettings.objects.update(create_unknown_partners=False)
    with pytest.raises(Invalid):
        services.update_alert(actor=SYSTEM, alert=make_alert(), partner="Other Corp")


@pytest.mark.django_db
def test_service_nobody_moves_an_alert_out_of_their_sight():
    ours, theirs = make_partner("ours"), make_partner("theirs")
    ada, alert = make_user(partners=[ours]), make_alert(partner=ours)
    for target in ("theirs", theirs, None, "never-heard-of"):
        with pytest.raises(Invalid, match="Unknown partner"):
            services.update_alert(actor=ada.actor, alert=alert, partner=target)
    assert not Partner.objects.filter(slug="never-heard-of").exists()
    with pytest.raises(NotFound):
        services.update_alert(actor=ada.actor, alert=make_alert(partner=theirs), severity="low")


@pytest.mark.django_db
def test_service_an_alert_of_an_incident_keeps_its_partner():
    alert = make_alert()
    make_incident(alerts=[alert])
    with pytest.raises(Conflict):
        services.update_alert(actor=SYSTEM, alert=alert, partner=make_partner())


def test_service_of_two_edits_of_one_version_one_is_stale(fresh_database):
    alert = make_alert()
    outcomes = at_once(
        [
            lambda s=severity: services.update_alert(
                actor=SYSTEM, alert=alert, severity=s, expected_version=1
            )
            for severity in ("low", "high", "critical", "informational")
        ]
    )
    assert sum(isinstance(outcome, Stale) for outcome in outcomes) == 3
    assert actions(alert) == ["severity_change"]


def test_service_waiting_for_a_lock_sees_the_owner_of_now(fresh_database):
    """A joined row would be read as it was before the wait: the second claim would find no name."""
    alert, ada, bob = make_alert(), make_user("ada"), make_user("bob")
    services.assign_alert(actor=SYSTEM, alert=alert, user=bob)
    outcomes = at_once(
        [lambda u=user: services.assign_alert(actor=SYSTEM, alert=alert, user=u) for user in (ada, bob) * 4]
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    history = [(e.payload["before_username"], e.payload["username"]) for e in entries(alert)]
    assert all(later[0] == earlier[1] for earlier, later in itertools.pairwise(history))
