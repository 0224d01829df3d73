"""When a silent worker is believed dead, by its lease and by nothing else (tests/test_crash.py kills real ones)."""

from __future__ import annotations

import os

import pytest
from django.conf import settings
from django.db import connection

from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.ids import uuid7
from playbooks_engine import beat
from playbooks_engine.models import Sequence, WorkerBeat
from playbooks_engine.worker import CLAIM


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(beat, "time", clock)
    return clock


def claimed_by(worker: WorkerBeat) -> Sequence:
    return Sequence.objects.create(
        partner_id=DEFAULT_PARTNER_ID, event="manual", correlation_id=uuid7(), state="running", total=1,
        fence=7, claimed_by=worker.pk,
    )  # fmt: skip


def claim_as(worker: WorkerBeat) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, (worker.pk, False, 50))
        return cursor.fetchall()


def test_the_default_lease_is_fifteen_seconds() -> None:
    assert settings.LEASE_SECONDS == 15.0
    assert "OPENSOAR_LEASE_SECONDS" not in os.environ


@pytest.mark.django_db
def test_a_silent_workers_sequence_is_anothers_as_soon_as_the_lease_is_over_and_not_before(
    clock: Clock,
) -> None:
    silent, own = (WorkerBeat.objects.create(host=name, pid=1, counter=41) for name in ("silent", "own"))
    sequence = claimed_by(silent)
    rescuer = beat.Rescuer(lease=settings.LEASE_SECONDS)
    start = clock.now
    for passed in (0, 5, 10, 14.999):
        clock.now = start + passed
        assert (rescuer.sweep(own.pk), claim_as(own)) == (0, []), f"taken over after {passed} s"
    clock.now = start + 15
    assert rescuer.sweep(own.pk) == 1
    assert not WorkerBeat.objects.filter(pk=silent.pk).exists()
    assert claim_as(own) == [(sequence.pk, 9)], (
        "given back and claimed: two fences on, so the old one opens nothing"
    )
    assert claim_as(own) == []


@pytest.mark.django_db
def test_a_worker_that_beats_keeps_what_it_holds_however_long(clock: Clock) -> None:
    alive, own = (WorkerBeat.objects.create(host=name, pid=1) for name in ("alive", "own"))
    claimed_by(alive)
    rescuer = beat.Rescuer(lease=settings.LEASE_SECONDS)
    for counter in range(20):
        WorkerBeat.objects.filter(pk=alive.pk).update(counter=counter)
        assert rescuer.sweep(own.pk) == 0
        clock.now += 14
    assert claim_as(own) == []


@pytest.mark.django_db
def test_a_worker_that_cannot_beat_stops_starting_calls_well_before_others_take_over(clock: Clock) -> None:
    own = beat.Beat(lease=settings.LEASE_SECONDS, on_death=lambda: None)
    own._announce()
    start = clock.now
    clock.now = start + 9.999
    assert own.is_fresh()
    clock.now = start + 10
    assert not own.is_fresh()
