"""People on one incident: comments, handoff notes, observables."""

import pytest
from django.db import DatabaseError, transaction

from alerts import services as alert_services
from incidents import services
from incidents.models import HandoffAcknowledgement, IncidentEntry
from opensoar.errors import Invalid, NotAllowed, NotFound
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
def test_service_comments_and_edits():
    incident, ada, bob = make_incident(), make_user(), make_user("bob")
    first = services.comment_incident(actor=ada.actor, incident=incident, text="ask @bob")
    assert first.mentions == ["bob"]
    edit = services.edit_comment(actor=ada.actor, incident=incident, entry_id=first.pk, text="ask nobody")
    assert (edit.supersedes, edit.mentions) == (first.pk, [])
    with pytest.raises(NotAllowed):
        services.edit_comment(actor=bob.actor, incident=incident, entry_id=first.pk, text="x")
    incident.refresh_from_db()
    assert incident.version == 1


@pytest.mark.django_db
def test_service_comment_ids_of_other_subjects_are_not_found():
    ada, alert = make_user(), make_alert()
    incident = make_incident(alerts=[alert])
    entry = alert_services.comment_alert(actor=ada.actor, alert=alert, text="x")
    with pytest.raises(NotFound):
        services.edit_comment(actor=ada.actor, incident=incident, entry_id=entry.pk, text="y")


def test_service_comments_at_once_get_consecutive_numbers(fresh_database):
    incident = make_incident()
    outcomes = at_once(
        [
            lambda n=n: services.comment_incident(actor=SYSTEM, incident=incident, text=str(n))
            for n in range(10)
        ]
    )
    assert all(isinstance(outcome, IncidentEntry) for outcome in outcomes)
    assert [entry.seq for entry in entries(incident)] == list(range(1, 12))


@pytest.mark.django_db
def test_service_hands_off_and_the_receiver_acknowledges():
    incident, ada, bob = make_incident(), make_user("ada"), make_user("bob")
    handoff = services.hand_off(
        actor=ada.actor, incident=incident, to_user="bob", text="Host is isolated.", shift="night",
        open_questions=["Who owns srv-2?", " "],
    )  # fmt: skip
    assert (handoff.from_user, handoff.to_user, handoff.open_questions) == (ada, bob, ["Who owns srv-2?"])
    [note] = entries(incident, after=1)
    assert (note.pk, note.action, note.mentions) == (handoff.entry_id, "handoff_note", ["bob"])
    assert (note.payload["to_username"], note.payload["shift"], text_of(note)) == (
        "bob",
        "night",
        "Host is isolated.",
    )

    for other in (ada.actor, make_user(role="admin").actor, SYSTEM):
        with pytest.raises(NotAllowed, match="bob"):
            services.acknowledge_handoff(actor=other, handoff=handoff)
    services.acknowledge_handoff(actor=bob.actor, handoff=handoff)
    again = services.acknowledge_handoff(actor=bob.actor, handoff=handoff)
    assert again.acknowledgement.by == bob
    assert actions(incident, after=2) == ["handoff_acknowledged"]


@pytest.mark.django_db
def test_service_handoff_wants_a_receiver_and_words():
    ours, ada = make_partner(), make_user()
    incident = make_incident(partner=ours)
    for wrong in (
        {"to_user": ada}, {"to_user": ""}, {"to_user": make_user(partners=[make_partner()])},
        {"to_user": make_user(is_active=False)}, {"text": " "}, {"shift": "x" * 101}, {"open_questions": ["q"] * 51},
    ):  # fmt: skip
        with pytest.raises(Invalid):
            services.hand_off(
                **{"actor": ada.actor, "incident": incident, "to_user": make_user(), "text": "t"} | wrong
            )


@pytest.mark.django_db
def test_service_handoffs_are_append_only():
    handoff = services.hand_off(actor=SYSTEM, incident=make_incident(), to_user=make_user(), text="t")
    for change in (lambda: type(handoff).objects.update(shift="x"), handoff.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_service_acknowledging_at_once_leaves_one(fresh_database):
    bob = make_user()
    incident = make_incident()
    handoff = services.hand_off(actor=SYSTEM, incident=incident, to_user=bob, text="t")
    actor = bob.actor
    outcomes = at_once([lambda: services.acknowledge_handoff(actor=actor, handoff=handoff)] * 6)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert HandoffAcknowledgement.objects.count() == 1
    assert actions(incident) == ["incident_created", "handoff_note", "handoff_acknowledged"]


@pytest.mark.django_db
def test_service_adds_observables_in_the_incidents_partner():
    acme = make_partner()
    incident = make_incident(partner=acme)
    values = [("ip", "203.0.113.5"), ("url", "hxxp://evil[.]com/a")]
    rows = services.add_observables(actor=SYSTEM, incident=incident, values=values)
    assert [o.value for o in rows] == ["203.0.113.5", "http://evil.com/a"]
    assert {o.partner for o in rows} == {acme}
    assert services.add_observables(actor=SYSTEM, incident=incident, values=values) == rows
    assert actions(incident, after=1) == ["observable_added"]
    assert set(incident.observables.all()) == set(rows)
    alert = make_alert(partner=acme)
    assert alert_services.add_observables(actor=SYSTEM, alert=alert, values=values[:1]) == rows[:1]
