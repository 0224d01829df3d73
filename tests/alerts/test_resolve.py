"""Settling an alert, and working it again."""

import pytest

from alerts import events, services
from opensoar.errors import Invalid, NotFound, Stale
from tests.factories import actions, entries, make_alert, make_user, text_of

pytestmark = pytest.mark.django_db


def test_service_resolves():
    alert, ada = make_alert(), make_user()
    done = services.resolve_alert(
        actor=ada.actor, alert=alert, determination="benign", reason="a scanner of ours"
    )
    assert (done.status, done.determination, done.version) == ("resolved", "benign", 2)
    assert done.resolve_reason == "a scanner of ours"
    assert done.resolved_at is not None
    assert actions(alert) == ["determination_set", "status_change"]
    assert text_of(entries(alert)[1]) == "a scanner of ours"


def test_service_records_the_determination_only_where_it_changed():
    alert = make_alert(determination="malicious")
    services.resolve_alert(actor=make_user().actor, alert=alert, determination="malicious")
    assert actions(alert) == ["status_change"]


def test_service_repeat_changes_nothing():
    alert, ada = make_alert(), make_user()
    first = services.resolve_alert(actor=ada.actor, alert=alert, determination="benign", reason="x")
    again = services.resolve_alert(actor=ada.actor, alert=alert, determination="benign", reason="x")
    assert (again.version, again.resolved_at) == (2, first.resolved_at)
    assert len(actions(alert)) == 2


def test_service_another_determination_later_keeps_the_time():
    alert, ada = make_alert(), make_user()
    first = services.resolve_alert(actor=ada.actor, alert=alert, determination="benign")
    other = services.resolve_alert(
        actor=ada.actor, alert=alert, determination="malicious", reason="seen again"
    )
    assert (other.determination, other.resolved_at) == ("malicious", first.resolved_at)
    assert text_of(entries(alert)[-1]) == "seen again"


@pytest.mark.parametrize("word", ["unknown", "bogus", "", None, 3])
def test_service_needs_a_determination(word):
    alert = make_alert()
    with pytest.raises(Invalid) as refusal:
        services.resolve_alert(actor=make_user().actor, alert=alert, determination=word)
    assert refusal.value.field == "determination"
    assert actions(alert) == []


def test_service_stale():
    with pytest.raises(Stale):
        services.resolve_alert(
            actor=make_user().actor, alert=make_alert(), determination="benign", expected_version=9
        )


def test_service_reopens():
    alert, ada = make_alert(), make_user()
    services.resolve_alert(actor=ada.actor, alert=alert, determination="benign", reason="x")
    open_again = services.reopen_alert(actor=ada.actor, alert=alert, reason="not so benign")
    assert (open_again.status, open_again.resolved_at, open_again.resolve_reason) == ("new", None, None)
    assert open_again.determination == "benign"
    entry = entries(alert)[-1]
    assert (entry.action, entry.payload["before"], entry.payload["after"]) == (
        "status_change",
        "resolved",
        "new",
    )
    assert text_of(entry) == "not so benign"


def test_service_reopens_to_its_owner():
    ada = make_user()
    alert = make_alert(status="resolved", assigned_to=ada)
    assert services.reopen_alert(actor=ada.actor, alert=alert).status == "in_progress"


def test_service_reopening_what_is_open_changes_nothing():
    alert = make_alert()
    assert services.reopen_alert(actor=make_user().actor, alert=alert).version == 1
    assert actions(alert) == []


def test_service_tells_subscribers(monkeypatch):
    heard = []
    for event in (events.alert_updated, events.alert_resolved, events.alert_reopened):
        monkeypatch.setattr(event, "_now", [lambda change, e=event: heard.append((e.name, change.changed))])
    alert, ada = make_alert(), make_user()
    services.resolve_alert(actor=ada.actor, alert=alert, determination="benign")
    services.reopen_alert(actor=ada.actor, alert=alert)
    services.reopen_alert(actor=ada.actor, alert=alert)
    assert [name for name, _ in heard] == [
        "alert_updated",
        "alert_resolved",
        "alert_updated",
        "alert_reopened",
    ]
    assert heard[0][1] == {"status", "determination", "resolved_at"}


def test_service_what_fails_later_leaves_nothing(monkeypatch):
    def refuse(change):
        raise RuntimeError("no")

    monkeypatch.setattr(events.alert_resolved, "_now", [refuse])
    alert = make_alert()
    with pytest.raises(RuntimeError):
        services.resolve_alert(actor=make_user().actor, alert=alert, determination="benign")
    alert.refresh_from_db()
    assert (alert.status, alert.version, actions(alert)) == ("new", 1, [])


def test_service_archives():
    alert, ada = make_alert(), make_user()
    services.archive_alert(actor=ada.actor, alert=alert)
    assert actions(alert) == ["archived"]
    assert not type(alert).objects.visible_to(ada.actor).exists()
    with pytest.raises(NotFound):
        services.archive_alert(actor=ada.actor, alert=alert)
