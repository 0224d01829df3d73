"""The ingest transaction: what is stored, what is a duplicate, and that a fault hits only the one at fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from alerts import events, ingest, ingest_rows
from alerts.events import CreatedAlert
from alerts.incoming import Incoming, dedupe_key
from alerts.ingest import Unavailable, store
from alerts.intake import Envelope, read_body
from alerts.models import Alert, AlertCounter, AlertObservable, Delivery, Observable
from alerts.senders import Sender
from alerts.services import update_alert
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from tests.factories import SYSTEM, actions, entries, make_partner

Subscriber = Callable[[list[CreatedAlert]], object]


def incoming(payload: dict[str, Any] | str, **sender: Any) -> Incoming:
    """One body as a webhook would hand it over."""
    import json

    body = payload if isinstance(payload, str) else json.dumps(payload)
    return read_body(body.encode(), Envelope(Sender(None, "tests", **sender), "application/json"))[0]


def states(*items: Incoming) -> list[str]:
    """Store them in one batch; what became of each."""
    store(items, patience=0)
    return [item.outcome.state for item in items if item.outcome is not None]


@pytest.fixture
def subscriber() -> Iterator[Callable[[Subscriber], None]]:
    """Subscribe to new alerts for the length of a test."""
    before = list(events.alert_created._now)
    yield events.alert_created._now.append
    events.alert_created._now[:] = before


# --- what is stored ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_alert_with_everything() -> None:
    body = {
        "id": "e-1",
        "title": "Beacon",
        "severity": "high",
        "source": "edr",
        "src_ip": "10.1.2.3",
        "dest_ip": "8.8.4.4",
        "host": "ws-7",
        "user": "joe",
        "rule": {"name": 'quotes "\\ and é'},
        "tags": ["a,b", 'quo"te', "back\\slash", "é"],
        "timestamp": "2026-01-02T03:04:05Z",
        "mitre": ["T1059.001"],
    }
    item = incoming(body)
    assert states(item) == ["accepted"]
    alert = Alert.objects.get()
    assert item.outcome is not None
    assert (item.outcome.alert_id, item.outcome.correlation_id) == (alert.pk, alert.correlation_id)
    assert (alert.title, alert.severity, alert.source, alert.source_id) == ("Beacon", "high", "edr", "e-1")
    assert (alert.source_ip, alert.dest_ip, alert.hostname) == ("10.1.2.3", "8.8.4.4", "ws-7")
    assert (alert.username, alert.rule_name) == ("joe", 'quotes "\\ and é')
    assert alert.tags == list(item.alert.tags if item.alert else ())
    assert (alert.techniques, alert.status, alert.determination) == (["T1059.001"], "new", "unknown")
    assert alert.event_at is not None and alert.event_at.isoformat() == "2026-01-02T03:04:05+00:00"
    assert alert.normalized["title"] == "Beacon"
    assert alert.iocs["ips"] == ["8.8.4.4"]
    counter = alert.counter
    delivery = Delivery.objects.get()
    assert (counter.duplicate_count, counter.last_delivery_id) == (1, delivery.pk)
    assert counter.first_seen == counter.last_seen == alert.created_at == delivery.received_at
    assert (bytes(delivery.body), delivery.alert_id, delivery.state) == (item.body, alert.pk, "accepted")


@pytest.mark.django_db
def test_observables_are_shared_by_the_alerts_of_a_partner() -> None:
    acme = make_partner("acme")
    batch = [incoming({"id": n, "title": "t", "src_ip": "8.8.8.8"}) for n in range(3)]
    store(batch)
    store([incoming({"id": 3, "title": "t", "src_ip": "8.8.8.8"})])
    store([incoming({"id": 4, "title": "t", "src_ip": "8.8.8.8"}, partner_id=acme.pk, partner="acme")])
    ours = Observable.objects.get(type="ip", partner_id=DEFAULT_PARTNER_ID)
    assert ours.alerts.count() == 4
    assert Observable.objects.get(type="ip", partner=acme).alerts.count() == 1
    assert AlertObservable.objects.filter(observable=ours).values_list("field", flat=True)[0] == "src_ip"


@pytest.mark.django_db
def test_a_value_in_two_fields_is_linked_once() -> None:
    assert states(incoming({"title": "t", "src_ip": "8.8.8.8", "message": "saw 8.8.8.8 and 8.8.8.8"})) == [
        "accepted"
    ]
    assert AlertObservable.objects.filter(observable__type="ip").count() == 1


# --- duplicates -------------------------------------------------------------------------------------------


def test_the_dedupe_key_has_no_seams() -> None:
    one, two = UUID(int=1), UUID(int=2)
    keys = {
        dedupe_key(one, "edr", "id:1"),
        dedupe_key(two, "edr", "id:1"),
        dedupe_key(one, "edri", "d:1"),
        dedupe_key(one, "edr", "id:1", generation=1),
        dedupe_key(one, "edr", "id:11"),
    }
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}
    assert dedupe_key(one, "edr", "id:1") == dedupe_key(one, "edr", "id:1")


@pytest.mark.django_db
def test_a_repeat_counts_and_is_kept() -> None:
    first = incoming({"id": 1, "title": "t", "source": "edr"})
    store([first])
    before = Alert.objects.get()
    again = incoming({"id": 1, "title": "changed", "source": "edr", "note": "then 9.9.9.9"})
    assert states(again) == ["duplicate"]
    alert = Alert.objects.get()
    assert again.outcome is not None
    assert (again.outcome.alert_id, again.outcome.title) == (alert.pk, "t")
    assert (alert.counter.duplicate_count, alert.counter.last_delivery_id) == (2, again.delivery_id)
    assert alert.counter.last_seen == again.received_at > alert.counter.first_seen
    assert [d.state for d in Delivery.objects.of_alert(alert.pk)] == ["accepted", "duplicate"]
    # Nobody's edit is disturbed; what it mentions that is new is linked.
    assert (alert.version, alert.updated_at, actions(alert)) == (before.version, before.updated_at, [])
    assert alert.observables.filter(value="9.9.9.9").exists()


@pytest.mark.django_db
def test_repeats_in_one_batch_are_folded() -> None:
    batch = [incoming({"id": n % 3, "title": f"t{n}"}) for n in range(12)]
    assert states(*batch) == ["accepted"] * 3 + ["duplicate"] * 9
    assert [a.counter.duplicate_count for a in Alert.objects.select_related("counter")] == [4, 4, 4]
    assert {a.counter.last_delivery_id for a in Alert.objects.select_related("counter")} == {
        item.delivery_id for item in batch[-3:]
    }
    assert Delivery.objects.count() == 12


@pytest.mark.django_db
def test_without_an_id_every_body_is_an_alert() -> None:
    assert states(*[incoming({"title": "t"}) for _ in range(3)]) == ["accepted"] * 3


@pytest.mark.django_db
def test_partner_and_source_are_part_of_the_identity() -> None:
    acme = make_partner("acme")
    body = {"id": 1, "title": "t"}
    batch = [
        incoming(body),
        incoming(body, source="siem"),
        incoming(body, partner_id=acme.pk, partner="acme"),
    ]
    assert states(*batch) == ["accepted"] * 3


@pytest.mark.django_db
def test_a_repeat_of_a_resolved_alert_leaves_it_resolved() -> None:
    store([incoming({"id": 1, "title": "t"})])
    alert = update_alert(actor=SYSTEM, alert=Alert.objects.get(), status="resolved", determination="benign")
    seq = alert.timeline_seq
    store([incoming({"id": 1, "title": "t"}), last := incoming({"id": 1, "title": "t"})])
    alert.refresh_from_db()
    assert (alert.status, alert.counter.duplicate_count) == ("resolved", 3)
    (entry,) = entries(alert, after=seq)
    assert (entry.action, entry.actor_kind, entry.payload["duplicate_count"]) == (
        "duplicate_received",
        "system",
        3,
    )
    assert entry.payload["delivery_id"] == str(last.delivery_id)


@pytest.mark.django_db
def test_a_repeat_of_an_alert_that_was_moved_to_another_partner() -> None:
    store([incoming({"id": 1, "title": "t"})])
    update_alert(actor=SYSTEM, alert=Alert.objects.get(), partner=make_partner("acme"), severity="critical")
    again = incoming({"id": 1, "title": "t", "src_ip": "8.8.8.8", "severity": "low"})
    assert states(again) == ["duplicate"]
    assert again.outcome is not None
    assert again.outcome.severity == "low"  # what acme makes of it is not the first sender's to know
    assert not Alert.objects.get().observables.exists()


# --- round trips and plans --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_number_of_statements_does_not_grow_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []

    class Counting(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            statements.append(query)
            return super().execute(query, *args, **kwargs)

    monkeypatch.setattr(ingest.psycopg, "Cursor", Counting)
    for size in (1, 100):
        statements.clear()
        store([incoming({"id": f"{size}-{n}", "title": "t", "src_ip": "8.8.8.8"}) for n in range(size)])
        assert len(statements) == 2  # everything in one, then which playbooks it triggers
        statements.clear()
        store([incoming({"id": f"{size}-{n}", "title": "t"}) for n in range(size)])
        assert len(statements) == 4  # try, find, count, deliver


@pytest.mark.django_db
def test_plans_made_for_empty_tables_use_the_keys() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # as the committer's connection has it
        for name in ("INSERT_NEW", "LINK", "FIND_KNOWN", "COUNT_AGAIN"):
            numbers: dict[str, str] = {}

            def numbered(match: re.Match[str], numbers: dict[str, str] = numbers) -> str:
                return numbers.setdefault(match[1] or str(match.start()), f"${len(numbers) + 1}")

            query = re.sub(r"%(\(\w+\))?[bt]", numbered, getattr(ingest_rows, name))
            cursor.execute("EXPLAIN (GENERIC_PLAN) " + query)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan on alerts_" not in plan, f"{name}\n{plan}"


# --- faults -----------------------------------------------------------------------------------------------


def broken(payload: dict[str, Any]) -> Incoming:
    """A body whose row PostgreSQL refuses: what a fault of a normaliser would look like."""
    item = incoming(payload)
    assert item.row is not None
    item.row = item.row._replace(json=item.row.json.replace(b'"severity":"medium"', b'"severity":"mega"'))
    return item


@pytest.mark.django_db
def test_only_the_one_at_fault_is_quarantined() -> None:
    batch = [incoming({"id": n, "title": "t"}) for n in range(20)]
    batch[7], batch[13] = broken({"id": 7, "title": "t"}), broken({"id": 13, "title": "t"})
    result = states(*batch)
    assert [n for n, state in enumerate(result) if state != "accepted"] == [7, 13]
    assert Alert.objects.count() == 18
    delivery = Delivery.objects.get(pk=batch[7].delivery_id)
    assert (delivery.state, delivery.alert_id, bytes(delivery.body)) == ("quarantined", None, batch[7].body)
    assert "alert_severity_known" in delivery.reason


@pytest.mark.django_db
def test_a_subscriber_that_fails_costs_no_alert(subscriber: Callable[[Subscriber], None]) -> None:
    def refuse(batch: list[CreatedAlert]) -> None:
        if any(alert.subject["title"] == "poison" for alert in batch):
            raise ValueError("cannot match this")

    subscriber(refuse)
    batch = [incoming({"id": n, "title": "poison" if n == 3 else "t"}) for n in range(8)]
    assert states(*batch) == ["accepted"] * 3 + ["quarantined"] + ["accepted"] * 4
    assert Alert.objects.count() == 8
    outcome = batch[3].outcome
    assert outcome is not None and outcome.alert_id == Alert.objects.get(title="poison").pk
    delivery = Delivery.objects.get(state="quarantined")
    assert delivery.alert_id == outcome.alert_id
    assert delivery.reason == "The alert is stored, but its playbooks were not started: cannot match this"


@pytest.mark.django_db
def test_subscribers_are_told_once_of_each_new_alert(subscriber: Callable[[Subscriber], None]) -> None:
    told: list[CreatedAlert] = []

    def listen(batch: list[CreatedAlert]) -> None:
        told.extend(batch)
        for alert in batch:
            assert Alert.objects.filter(pk=alert.alert_id).exists()
            alert.playbooks.append(f"playbook of {alert.subject['title']}")

    subscriber(listen)
    batch = [incoming({"id": n % 2, "title": f"t{n}", "severity": "critical"}) for n in range(4)]
    store(batch)
    store([incoming({"id": 1, "title": "again"})])
    assert [alert.subject["title"] for alert in told] == ["t0", "t1"]
    assert told[0].subject["raw_payload"] == {"id": 0, "title": "t0", "severity": "critical"}
    assert (told[0].severity, told[0].source, told[0].subject["partner"]) == ("critical", "webhook", None)
    assert batch[0].outcome is not None and batch[0].outcome.playbooks == ("playbook of t0",)
    assert batch[2].outcome is not None and batch[2].outcome.playbooks == ()


@pytest.mark.django_db
def test_nul_in_the_payload_does_not_reach_the_subscribers(subscriber: Callable[[Subscriber], None]) -> None:
    told: list[CreatedAlert] = []
    subscriber(told.extend)
    assert states(incoming({"title": "a\0b", "deep": [{"k\0": "v\0"}]})) == ["accepted"]
    assert told[0].subject["raw_payload"]["deep"] == [{"k\ufffd": "v\ufffd"}]


def test_a_deadlock_is_tried_again(fresh_database: str, subscriber: Callable[[Subscriber], None]) -> None:
    failures = iter(["40P01", "40001"])

    def collide(batch: list[CreatedAlert]) -> None:
        if code := next(failures, None):
            with connection.cursor() as cursor:
                cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'collision' USING ERRCODE = '{code}'; END $$")

    subscriber(collide)
    assert states(incoming({"id": 1, "title": "t"})) == ["accepted"]
    assert Delivery.objects.count() == 1


def test_a_connection_that_dies_is_replaced(
    fresh_database: str, subscriber: Callable[[Subscriber], None]
) -> None:
    times = iter([1])

    def die(batch: list[CreatedAlert]) -> None:
        if next(times, None):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    subscriber(die)
    item = incoming({"id": 1, "title": "t"})
    store([item])
    assert item.outcome is not None and item.outcome.state == "accepted"
    assert (Alert.objects.count(), Delivery.objects.count()) == (1, 1)


def test_a_commit_whose_answer_is_lost_is_not_repeated(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = ingest.write, iter([1])

    def write_and_lose(batch: list[Incoming]) -> None:
        real(batch)
        if next(times, None):
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(ingest, "write", write_and_lose)
    batch = [incoming({"id": 1, "title": "t"}), incoming({"title": "without id"})]
    store(batch)
    assert [item.outcome.state for item in batch if item.outcome] == ["accepted", "accepted"]
    assert (Delivery.objects.count(), AlertCounter.objects.filter(duplicate_count=1).count()) == (2, 2)


def test_a_database_that_stays_away(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(batch: list[Incoming]) -> None:
        raise OperationalError from psycopg.OperationalError("no route to host")

    monkeypatch.setattr(ingest, "write", away)
    item = incoming({"id": 1, "title": "t"})
    before = timezone.now()
    with pytest.raises(Unavailable):
        store([item], patience=0.5)
    assert 0.5 <= (timezone.now() - before).total_seconds() < 3
    assert item.outcome is None
