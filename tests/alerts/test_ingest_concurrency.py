"""Many senders and committers at one moment.

``DUPLICATE_ALERTS=1000 DUPLICATE_POSTS=50 pytest tests/alerts/test_ingest_concurrency.py -k hundreds`` for the long run.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter

import psycopg
import pytest

from alerts import events
from alerts.committer import Committer, committer
from alerts.events import CreatedAlert
from alerts.incoming import Incoming
from alerts.ingest import Unavailable, store
from alerts.intake import Envelope, read_body
from alerts.models import Alert, AlertCounter, AlertObservable, Delivery, Observable
from alerts.senders import Sender
from tests.alerts.inbound import Inbound
from tests.threads import at_once

ALERTS = int(os.environ.get("DUPLICATE_ALERTS", "40"))
POSTS = int(os.environ.get("DUPLICATE_POSTS", "10"))


def incoming(number: int) -> Incoming:
    return read_body(json.dumps(body_of(number)).encode(), Envelope(Sender(None, "tests")))[0]


def body_of(number: int) -> dict[str, str]:
    return {"id": f"c-{number}", "title": "t", "src_ip": "8.8.8.8", "dest_ip": f"9.9.9.{number % 250}"}


def test_fifty_posts_of_one_alert(inbound: Inbound) -> None:
    alert = {"id": "same", "title": "Storm", "src_ip": "8.8.8.8"}
    answers = at_once([lambda: inbound.post(alert)] * 50)
    assert {getattr(answer, "status", answer) for answer in answers} == {200}
    stored = Alert.objects.get()
    assert stored.counter.duplicate_count == 50
    assert Counter(Delivery.objects.values_list("state", flat=True)) == {"accepted": 1, "duplicate": 49}
    assert set(Delivery.objects.values_list("alert_id", flat=True)) == {stored.pk}
    assert Counter(answer.json["duplicate"] for answer in answers) == {False: 1, True: 49}  # type: ignore[union-attr]
    assert stored.observables.filter(type="ip").count() == 1


@pytest.mark.timeout(1800 if ALERTS * POSTS > 5_000 else 120)
def test_hundreds_of_alerts_come_many_times_each_at_one_moment(inbound: Inbound) -> None:
    """Every post of an alert starts at one moment, each in a thread of its own: half of them through the webhook and its
    committer, half as web processes of their own commit, each on its own connection. With the default numbers 40 alerts
    ten times; the long run, 1,000 alerts 50 times each, is at the top of this file.
    """
    together = threading.Barrier(POSTS)
    webhooks = (POSTS + 1) // 2

    def sender(place: int) -> list[str]:
        states = []
        for number in range(ALERTS):
            together.wait(60)
            if place < webhooks:
                answer = inbound.post(body_of(number))
                states.append(answer.json["state"] if answer.status == 200 else f"answer {answer.status}")
            else:
                batch = [incoming(number)]
                store(batch)
                states.append(batch[0].outcome.state if batch[0].outcome else "no outcome")
        return states

    outcomes = at_once([lambda place=place: sender(place) for place in range(POSTS)])  # type: ignore[misc]
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    by_alert = [Counter(states) for states in zip(*outcomes, strict=True)]  # type: ignore[arg-type]
    wanted = {"accepted": 1, "duplicate": POSTS - 1} if POSTS > 1 else {"accepted": 1}
    assert by_alert == [wanted] * ALERTS
    names = dict(Alert.objects.values_list("id", "source_id"))
    assert sorted(names.values()) == sorted(f"c-{number}" for number in range(ALERTS))
    assert Counter(AlertCounter.objects.values_list("duplicate_count", flat=True)) == {POSTS: ALERTS}
    kept = Counter(
        (names[alert_id], state, bytes(body))
        for alert_id, state, body in Delivery.objects.values_list("alert_id", "state", "body")
    )
    assert kept == {
        (f"c-{number}", state, json.dumps(body_of(number)).encode()): times
        for number in range(ALERTS) for state, times in wanted.items()
    }  # fmt: skip


def test_committers_that_meet_neither_deadlock_nor_miscount(fresh_database: str) -> None:
    """Each of six writers, as of six web processes, stores the same 40 alerts five times in an order of its own."""

    def writer() -> None:
        for _ in range(5):
            batch = [incoming(number) for number in random.sample(range(40), 40)]
            store(batch)
            assert all(item.outcome for item in batch)

    assert [error for error in at_once([writer] * 6) if error is not None] == []
    assert Alert.objects.count() == 40
    assert set(AlertCounter.objects.values_list("duplicate_count", flat=True)) == {30}
    assert Delivery.objects.count() == 40 * 30
    assert Observable.objects.filter(type="ip").count() == 41
    assert AlertObservable.objects.filter(observable__type="ip").count() == 80


def test_a_load_of_different_alerts(inbound: Inbound) -> None:
    def sender(first: int) -> set[int]:
        return {
            inbound.post({"id": n, "title": "t", "src_ip": "8.8.8.8"}).status
            for n in range(first, first + 20)
        }

    assert at_once([lambda n=n: sender(n * 100) for n in range(16)]) == [{200}] * 16  # type: ignore[misc]
    assert Alert.objects.count() == Delivery.objects.count() == AlertCounter.objects.count() == 320
    assert Observable.objects.get(type="ip").alerts.count() == 320


def test_what_waits_too_long_is_dropped_if_it_was_not_begun(inbound: Inbound, fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as other:
        other.execute("LOCK TABLE alerts_alert IN ACCESS EXCLUSIVE MODE")
        begun = committer.hand_over([incoming(1)])
        wait_until_taken()
        waiting = committer.hand_over([incoming(2)])
        for ticket in (begun, waiting):
            with pytest.raises(Unavailable):
                ticket.wait(0.1)
        other.rollback()
    committer.close()
    assert list(Alert.objects.values_list("source_id", flat=True)) == ["c-1"]


def wait_until_taken() -> None:
    deadline = time.monotonic() + 5
    while committer._tickets and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not committer._tickets


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_committer_that_dies_is_replaced_and_nobody_waits_for_it(inbound: Inbound) -> None:
    before = list(events.alert_created._now)
    threads: list[threading.Thread] = []

    def die(batch: list[CreatedAlert]) -> None:
        threads.append(threading.current_thread())
        events.alert_created._now[:] = before
        raise KeyboardInterrupt

    events.alert_created._now.append(die)
    started = time.monotonic()
    assert inbound.post({"id": 1, "title": "t"}).status == 503
    assert time.monotonic() - started < 5
    threads[0].join(5)
    assert inbound.post({"id": 1, "title": "t"}).json["state"] == "accepted"


def test_closing_stores_what_waits(inbound: Inbound) -> None:
    own = Committer()
    tickets = [own.hand_over([incoming(n)]) for n in range(5)]
    own.close()
    for ticket in tickets:
        ticket.wait(0)
    own.submit([incoming(9)])  # starts anew
    own.close()
    assert Alert.objects.count() == 6
