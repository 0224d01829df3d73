"""The timeline proves itself: numbered, digested, append-only; text can be erased and the proof stays."""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing

import pytest
from django.db import ProgrammingError, transaction

from alerts.models import AlertEntry, AlertText
from alerts.services import comment_alert
from incidents.models import IncidentEntry, IncidentText
from opensoar import timeline
from opensoar.accounts.services import audit
from opensoar.timeline import Draft, Kind
from opensoar.timeline_kinds import Comment, StatusChange
from tests.factories import SYSTEM, make_alert, make_incident, make_user, text_of


@pytest.mark.django_db
def test_entries_prove_themselves():
    entry = comment_alert(
        actor=make_user().actor, alert=make_alert(), text="what I saw", metadata={"b": 1, "a": [2]}
    )
    stored = AlertEntry.objects.get(pk=entry.pk)
    assert bytes(stored.digest) == stored.compute_digest()
    for field, value in {
        "seq": 2, "action": "claimed", "actor_name": "eve", "payload": {}, "mentions": ["eve"], "tombstone": True,
        "text_digest": b"x" * 32, "supersedes": stored.pk, "subject_id": stored.pk, "occurred_at": stored.occurred_at.replace(year=1999),  # noqa: E501
    }.items():  # fmt: skip
        forged = AlertEntry.objects.get(pk=entry.pk)
        setattr(forged, field, value)
        assert forged.compute_digest() != bytes(stored.digest), field


@pytest.mark.django_db
def test_text_is_proved_by_its_salted_digest():
    entry = comment_alert(actor=SYSTEM, alert=make_alert(), text="what I saw")
    text = AlertText.objects.get(pk=entry.pk)
    assert hashlib.sha256(bytes(text.salt) + b"what I saw").digest() == bytes(entry.text_digest)
    twin = comment_alert(actor=SYSTEM, alert=make_alert(), text="what I saw")
    assert bytes(twin.text_digest) != bytes(entry.text_digest), "equal texts must not be recognisable"


@pytest.mark.django_db
def test_erasing_a_text_keeps_the_proof():
    alert = make_alert()
    entry = comment_alert(actor=SYSTEM, alert=alert, text="Joe Bloggs did it")
    AlertText.objects.filter(pk=entry.pk).delete()
    stored = AlertEntry.objects.get(pk=entry.pk)
    assert text_of(stored) is None
    assert bytes(stored.digest) == stored.compute_digest()
    assert stored.kind == Comment()


@pytest.mark.django_db
@pytest.mark.parametrize("model", [AlertEntry, IncidentEntry])
def test_entries_are_append_only_in_the_database(model):
    alert = make_alert()
    make_incident(alerts=[alert])
    for change in (lambda: model.objects.update(actor_name="eve"), lambda: model.objects.all().delete()):
        with pytest.raises(ProgrammingError, match="Cannot"), transaction.atomic():
            change()


@pytest.mark.django_db
@pytest.mark.parametrize("model", [AlertText, IncidentText])
def test_texts_can_be_erased_and_not_changed(model):
    alert = make_alert()
    comment_alert(actor=SYSTEM, alert=alert, text="x")
    make_incident()
    with pytest.raises(ProgrammingError, match="Cannot"), transaction.atomic():
        model.objects.update(text="y")
    assert model.objects.all().delete()[0] == 1


@pytest.mark.django_db
def test_audit_entries_are_append_only():
    entry = audit(actor=SYSTEM, action="x")
    for change in (lambda: type(entry).objects.update(action="y"), entry.delete):
        with pytest.raises(ProgrammingError, match="Cannot"), transaction.atomic():
            change()


@pytest.mark.django_db
def test_an_unregistered_kind_raises():
    @dataclasses.dataclass(frozen=True, slots=True)
    class Secret(Kind):
        action = "never_heard_of"
        label = "Secret"

    alert = make_alert()
    with pytest.raises(KeyError, match="never_heard_of"), transaction.atomic():
        timeline.record(AlertEntry, alert, Draft(kind=Secret(), actor=SYSTEM))
    alert.refresh_from_db()
    assert alert.timeline_seq == 0
    assert not AlertEntry.objects.exists()


def test_a_kind_is_registered_once():
    @dataclasses.dataclass(frozen=True, slots=True)
    class Twin(Kind):
        action = "comment"
        label = "Comment"

    with pytest.raises(ValueError, match="registered twice"):
        timeline.register(Twin)
    assert timeline.register(Comment) is Comment


def test_recording_needs_the_transaction_of_the_change(fresh_database):
    alert = make_alert()
    with pytest.raises(RuntimeError, match="transaction"):
        timeline.record(AlertEntry, alert, Draft(kind=Comment(), actor=SYSTEM, text="x"))


@pytest.mark.django_db
def test_several_entries_are_numbered_in_order():
    alert = make_alert()
    drafts = [Draft(kind=StatusChange(before="a", after=str(n)), actor=SYSTEM) for n in range(3)]
    recorded = timeline.record(AlertEntry, alert, *drafts)
    assert [entry.seq for entry in recorded] == [1, 2, 3]
    alert.refresh_from_db()
    assert alert.timeline_seq == 3
    assert timeline.record(AlertEntry, alert) == []


@pytest.mark.django_db
def test_a_payload_of_an_older_version_still_reads():
    [entry] = timeline.record(
        AlertEntry, make_alert(), Draft(kind=StatusChange(before="a", after="b"), actor=SYSTEM)
    )
    entry.payload["gone_field"] = 1
    assert entry.kind == StatusChange(before="a", after="b")


def example(kind: type[Kind]) -> Kind:
    """A kind with something in every field."""
    hints = typing.get_type_hints(kind)
    return kind(**{f.name: _sample(hints[f.name]) for f in dataclasses.fields(kind)})


def _sample(hint: typing.Any) -> typing.Any:
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        return _sample(next(arg for arg in typing.get_args(hint) if arg is not type(None)))
    samples = {
        str: "word",
        int: 7,
        bool: True,
        float: 1.5,
        tuple: ("a", "b"),
        dict: {"k": ["v"]},
        list: [{"id": "1", "type": "ip"}],
    }
    return samples[origin or hint]


@pytest.mark.django_db
@pytest.mark.parametrize("action", sorted(timeline.kinds()))
def test_every_kind_can_be_stored_and_read(action):
    kind = timeline.kinds()[action]
    assert kind.label
    assert kind.__doc__
    assert kind.group in {"comments", "handoffs", "actions", "alerts", "changes"}
    made = example(kind)
    [entry] = timeline.record(IncidentEntry, make_incident(), Draft(kind=made, actor=SYSTEM))
    stored = IncidentEntry.objects.get(pk=entry.pk)
    assert bytes(stored.digest) == stored.compute_digest()
    assert type(stored.kind) is kind
    assert dataclasses.asdict(stored.kind).keys() == dataclasses.asdict(made).keys()
