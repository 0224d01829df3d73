"""An incident's way: moving, closing with and without an assessment, reopening."""

import pytest

from incidents import events, services
from incidents.models import ALLOWED, Incident, can_move
from opensoar.accounts.models import ProductSettings
from opensoar.errors import Conflict, Invalid, Stale
from tests.factories import SYSTEM, actions, entries, make_alert, make_incident, make_user, text_of

pytestmark = pytest.mark.django_db
ASSESSMENT = {"determination": "malicious", "impact": "limited", "summary": "One mailbox, password changed."}


def close(incident, **changes):
    return services.close_incident(**{"actor": SYSTEM, "incident": incident} | ASSESSMENT | changes)


def test_service_closes_with_its_assessment():
    alert = make_alert()
    incident = make_incident(alerts=[alert])
    closed = close(incident)
    assert (closed.status, closed.determination, closed.impact) == ("closed", "malicious", "limited")
    assert (closed.summary, closed.version, closed.closed_unassessed) == (ASSESSMENT["summary"], 2, False)
    assert closed.closed_at is not None
    [entry] = entries(incident, after=2)
    assert entry.action == "closed"
    assert entry.payload == {
        "before": "open",
        "determination": "malicious",
        "impact": "limited",
        "assessed": True,
    }
    assert text_of(entry) == ASSESSMENT["summary"]
    alert.refresh_from_db()
    assert (alert.status, alert.determination) == ("new", "unknown"), "its alerts stay as they are"


def test_service_repeat_changes_nothing_another_assessment_is_a_conflict():
    incident = make_incident()
    close(incident)
    assert close(incident).version == 2
    with pytest.raises(Conflict):
        close(incident, impact="severe")
    assert actions(incident) == ["incident_created", "closed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"determination": "unknown"},
        {"determination": None},
        {"impact": "huge"},
        {"impact": None},
        {"summary": "  "},
    ],
)
def test_service_needs_all_three(wrong):
    incident = make_incident()
    with pytest.raises(Invalid) as refusal:
        close(incident, **wrong)
    assert refusal.value.field == next(iter(wrong))


def test_service_stale():
    incident = make_incident()
    services.update_incident(actor=SYSTEM, incident=incident, title="other")
    with pytest.raises(Stale):
        close(incident, expected_version=1)


def test_service_closes_without_a_word_and_says_so():
    incident = make_incident()
    closed = services.close_unassessed(actor=SYSTEM, incident=incident)
    assert (closed.status, closed.closed_unassessed) == ("closed", True)
    assert services.close_unassessed(actor=SYSTEM, incident=incident).version == 2
    assert entries(incident)[-1].payload["assessed"] is False
    assessed = close(incident)
    assert (assessed.closed_unassessed, assessed.closed_at) == (False, closed.closed_at)
    assert actions(incident) == ["incident_created", "closed", "closed"]


def test_service_settings_may_want_an_assessment():
    ProductSettings.objects.update(require_assessment=True)
    incident = make_incident()
    with pytest.raises(Invalid):
        services.close_unassessed(actor=SYSTEM, incident=incident)
    with pytest.raises(Invalid):
        services.update_incident(actor=SYSTEM, incident=incident, status="closed")
    assert (
        services.update_incident(actor=SYSTEM, incident=incident, status="closed", **ASSESSMENT).status
        == "closed"
    )


def test_service_reopens():
    incident, ada = make_incident(), make_user()
    close(incident)
    again = services.reopen_incident(actor=ada.actor, incident=incident, reason="it is back")
    assert (again.status, again.closed_at, again.determination, again.summary) == ("open", None, None, None)
    assert (entries(incident)[-1].action, text_of(entries(incident)[-1])) == ("reopened", "it is back")
    assert services.reopen_incident(actor=ada.actor, incident=incident).version == again.version


def test_service_reopens_to_its_owner():
    ada = make_user()
    incident = make_incident(owner=ada)
    close(incident)
    assert services.reopen_incident(actor=ada.actor, incident=incident).status == "investigating"


def test_service_moves_and_notes_when_it_was_contained():
    incident = make_incident()
    services.move_incident(actor=SYSTEM, incident=incident, status="investigating")
    contained = services.move_incident(
        actor=SYSTEM, incident=incident, status="contained", expected_version=2
    )
    assert contained.contained_at is not None
    assert services.move_incident(actor=SYSTEM, incident=incident, status="contained").version == 3
    assert close(incident).contained_at == contained.contained_at
    assert actions(incident, after=1) == ["status_change", "status_change", "closed"]


def test_service_moving_back_takes_the_containment_back():
    incident = make_incident()
    services.move_incident(actor=SYSTEM, incident=incident, status="contained")
    assert (
        services.move_incident(actor=SYSTEM, incident=incident, status="investigating").contained_at is None
    )


@pytest.mark.parametrize("after", Incident.Status.values)
@pytest.mark.parametrize("before", Incident.Status.values)
def test_service_patch_agrees_with_the_map(before, after):
    incident = make_incident()
    if before != "open":
        services.update_incident(actor=SYSTEM, incident=incident, status=before)
    incident.refresh_from_db()
    legal = before == after or after in ALLOWED[before]
    assert legal == (before == after or can_move(incident, after))
    if legal:
        assert services.update_incident(actor=SYSTEM, incident=incident, status=after).status == after
    else:
        with pytest.raises(Invalid):
            services.update_incident(actor=SYSTEM, incident=incident, status=after)


def test_service_move_neither_closes_nor_reopens():
    incident = make_incident()
    with pytest.raises(Invalid):
        services.move_incident(actor=SYSTEM, incident=incident, status="closed")
    close(incident)
    with pytest.raises(Invalid, match="reopen it first"):
        services.move_incident(actor=SYSTEM, incident=incident, status="investigating")


def test_service_tells_subscribers(monkeypatch):
    heard = []
    for event in (events.incident_updated, events.incident_closed):
        monkeypatch.setattr(event, "_now", [lambda change, e=event: heard.append(e.name)])
    incident = make_incident()
    close(incident)
    close(incident)
    services.reopen_incident(actor=SYSTEM, incident=incident)
    assert heard == ["incident_updated", "incident_closed", "incident_updated"]
