"""What happens to alerts, incidents and observables starts playbooks: which, in what order, in what lanes, and when not."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import services as alert_services
from alerts.models import Alert, Observable
from incidents import services as incident_services
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.actors import Actor
from playbooks_engine import bell
from playbooks_engine.models import LaneTicket, Playbook, PlaybookRun, Sequence
from playbooks_engine.starting import MAX_DEPTH
from tests.factories import SYSTEM, make_alert, make_incident, make_partner, make_user
from tests.playbooks_engine.engines import LEDGER_HEAD, eventually, ledger, receive, running, write

TWO_ADDRESSES = {"source_ip": "203.0.113.7", "dest_ip": "198.51.100.9"}


def make_playbook(name: str, trigger: str | None, **fields: Any) -> Playbook:
    """As a worker would have synced it."""
    return Playbook.objects.create(name=name, trigger=trigger, module_path="p", function_name=name, **fields)


def started() -> list[tuple[str, list[str]]]:
    """Every sequence, oldest first: its event and its playbooks in order."""
    return [
        (s.event, [run.playbook.name for run in s.runs.select_related("playbook").order_by("position")])
        for s in Sequence.objects.order_by("id")
    ]


def as_run(playbook: Playbook, by: Actor | None = None) -> Actor:
    """The actor of a run of ``playbook``, itself started by ``by``."""
    sequence = Sequence.objects.create(
        partner_id=DEFAULT_PARTNER_ID, event="manual", correlation_id=uuid.uuid4(), total=1
    )
    run = PlaybookRun.objects.create(
        sequence=sequence, position=1, playbook=playbook,
        requested_kind=by.kind if by else "", requested_by=by.id if by else None,
    )  # fmt: skip
    return actor_of(run)


def actor_of(run: PlaybookRun) -> Actor:
    return Actor("playbook", run.pk, run.playbook.name, partner_ids=frozenset({run.sequence.partner_id}))


# --- incidents --------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_incidents_start_what_waits_for_them() -> None:
    make_playbook("later", "incident", order=20)
    make_playbook("first", "incident", order=10, conditions={"severity__gte": "high"})
    make_playbook("closing", "incident.closed", order=20)
    make_playbook("changing", "incident.updated", order=10)
    make_playbook("of alerts", "webhook")
    make_playbook("off", "incident", enabled=False)
    make_playbook("gone", "incident", missing_since=timezone.now())
    make_playbook("theirs", "incident", partner=make_partner())
    incident = make_incident(severity="critical")
    assert started() == [("incident_opened", ["first", "later"])]
    sequence = Sequence.objects.get()
    assert (sequence.incident, sequence.alert, sequence.total, sequence.partner) == (
        incident, None, 2, incident.partner,
    )  # fmt: skip
    make_incident(severity="low")
    incident_services.update_incident(actor=SYSTEM, incident=incident, title="Other")
    incident_services.update_incident(actor=SYSTEM, incident=incident, title="Other")
    incident_services.comment_incident(actor=SYSTEM, incident=incident, text="hello")
    incident_services.close_incident(
        actor=SYSTEM, incident=incident, determination="benign", impact="none", summary="x"
    )
    assert started()[1:] == [
        ("incident_opened", ["later"]),
        ("incident_updated", ["changing"]),
        ("incident_closed", ["changing", "closing"]),
    ]


@pytest.mark.django_db
def test_a_source_that_is_called_like_a_trigger_starts_nothing_of_it() -> None:
    make_playbook("of incidents", "incident")
    make_playbook("scheduled", "schedule", cron="* * * * *")
    make_playbook("of the source", "edr.alert")
    receive(source="incident")
    receive(source="schedule")
    assert started() == []
    receive(source="EDR")
    assert started() == [("alert_created", ["of the source"])]


# --- changed alerts ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_change_of_an_alert_starts_those_that_declare_it_and_no_others() -> None:
    make_playbook("new ones", "webhook")
    make_playbook("worse", "alert.updated", conditions={"severity__gte": "high"})
    make_playbook("done", "alert.resolved", order=5)
    make_playbook("again", "alert.reopened")
    alert = receive()
    assert started() == [("alert_created", ["new ones"])]
    alert_services.update_alert(actor=SYSTEM, alert=alert, severity="low")
    alert_services.comment_alert(actor=SYSTEM, alert=alert, text="no change")
    alert_services.assign_alert(actor=SYSTEM, alert=alert, user=make_user())
    assert len(started()) == 1
    alert_services.update_alert(actor=SYSTEM, alert=alert, severity="critical")
    alert_services.resolve_alert(actor=SYSTEM, alert=alert, determination="benign")
    alert_services.reopen_alert(actor=SYSTEM, alert=alert)
    assert started()[1:] == [
        ("alert_updated", ["worse"]), ("alert_resolved", ["done", "worse"]), ("alert_reopened", ["again", "worse"]),
    ]  # fmt: skip
    sequence = Sequence.objects.filter(event="alert_resolved").get()
    assert (sequence.alert, sequence.correlation_id) == (alert, alert.correlation_id)
    [run] = PlaybookRun.objects.filter(sequence__event="alert_updated")
    alert_services.update_alert(actor=actor_of(run), alert=alert, severity="high")
    assert len(started()) == 4, "what it changes itself does not start it again"


# --- observables ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_observable_starts_them_when_its_partner_sees_it_first() -> None:
    make_playbook("addresses", "observable", conditions={"type": ["ip"]})
    make_playbook("domains", "observable", conditions={"type": "domain"}, order=5)
    make_playbook("everything", "observable", order=2000)
    alert = receive(**TWO_ADDRESSES)
    assert started() == [("observable_created", ["addresses", "everything"])] * 2
    seen = Sequence.objects.order_by("observable__value").select_related("observable")
    assert [s.observable.value for s in seen if s.observable] == ["198.51.100.9", "203.0.113.7"]
    assert {(s.alert_id, s.correlation_id) for s in seen} == {(None, alert.correlation_id)}
    receive(**TWO_ADDRESSES, title="Again")
    assert Sequence.objects.count() == 2

    theirs, incident = make_alert(partner=make_partner()), make_incident()
    known = [("ip", "203.0.113.7")]
    alert_services.add_observables(actor=SYSTEM, alert=alert, values=known)
    incident_services.add_observables(
        actor=SYSTEM, incident=incident, values=[*known, ("domain", "evil.example")]
    )
    assert started()[2:] == [("observable_created", ["domains", "everything"])]
    alert_services.add_observables(actor=SYSTEM, alert=theirs, values=known)
    last = Sequence.objects.latest("id")
    assert (last.partner_id, last.correlation_id) == (theirs.partner_id, theirs.correlation_id)
    alert_services.create_observable(actor=SYSTEM, type="domain", value="evil.example")
    alert_services.create_observable(actor=SYSTEM, type="email", value="a@evil.example")
    assert started()[4:] == [("observable_created", ["everything"])]


@pytest.mark.django_db
def test_observables_of_one_batch_are_told_once_and_of_a_duplicate_too() -> None:
    make_playbook("everything", "observable", conditions={"type": "ip"})
    make_playbook("alerts", "webhook")
    receive(id="1", source_ip="203.0.113.7")
    receive(id="1", source_ip="203.0.113.8")  # the same alert, which now mentions another address
    assert Alert.objects.count() == 1
    assert sorted(Observable.objects.values_list("value", flat=True)) == ["203.0.113.7", "203.0.113.8"]
    assert started() == [
        ("alert_created", ["alerts"]), ("observable_created", ["everything"]),
        ("observable_created", ["everything"]),
    ]  # fmt: skip


# --- what it costs ----------------------------------------------------------------------------------------


def statements_of(fields: dict[str, Any]) -> list[str]:
    """What ingest asks the database for one alert, in the driver's own cursor and in Django's."""
    import psycopg

    asked: list[str] = []
    execute = psycopg.Cursor.execute

    def noting(self: Any, query: Any, *rest: Any, **more: Any) -> Any:
        asked.append(str(query))
        return execute(self, query, *rest, **more)

    with pytest.MonkeyPatch.context() as patch, CaptureQueriesContext(connection) as captured:
        patch.setattr(psycopg.Cursor, "execute", noting)
        receive(**fields)
    return [q for q in [*asked, *(query["sql"] for query in captured)] if "SAVEPOINT" not in q]


@pytest.mark.django_db
def test_where_nobody_waits_for_observables_or_takes_lanes_ingest_asks_no_more_than_one_question() -> None:
    statements_of({"title": "settings of the source are read once"})
    before = statements_of({"title": "warm"})
    bare = statements_of(TWO_ADDRESSES)
    assert sum("playbooks_engine_playbook" in sql for sql in bare) == 1
    make_playbook("incidents", "incident")
    make_playbook("other alerts", "webhook", conditions={"severity": "low"})
    with_playbooks = statements_of({"source_ip": "203.0.113.99", "dest_ip": "198.51.100.99"})
    assert len(bare) == len(with_playbooks) == len(before)
    make_playbook("observables", "observable", conditions={"type": "mutex"})
    asking = statements_of({"source_ip": "203.0.113.98"})
    assert len(asking) == len(bare) + 1
    assert sum("playbooks_engine_playbook" in sql for sql in asking) == 1


# --- lanes, isolation, bell -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_sequences_take_the_lanes_of_their_playbooks_and_wait_for_their_turn() -> None:
    make_playbook("by host", "webhook", lane="hostname")
    make_playbook("by user", "webhook", lane="username", isolated_since=timezone.now())
    make_playbook("no lane", "incident")
    make_playbook("by value", "observable", lane="value", conditions={"type": "ip"})
    for user in ("ada", "bob"):
        receive(host="WS-7", user=user, title=user, source_ip="203.0.113.7")
    first, second = Sequence.objects.filter(event="alert_created").order_by("id")
    host = f"{DEFAULT_PARTNER_ID}:hostname=ws-7"
    assert first.lanes == [host, f"{DEFAULT_PARTNER_ID}:username=ada"]
    assert (first.state, second.state, first.isolated) == ("ready", "waiting", True)
    assert "hostname=ws-7" in second.waits_for
    assert list(LaneTicket.objects.filter(lane=host).values_list("sequence", flat=True)) == [
        first.pk,
        second.pk,
    ]
    [seen] = Sequence.objects.filter(event="observable_created")
    assert (seen.lanes, seen.isolated) == ([f"{DEFAULT_PARTNER_ID}:value=203.0.113.7"], False)
    make_incident()
    assert Sequence.objects.get(event="incident_opened").lanes == []


def test_the_bell_rings_after_the_commit_and_not_for_nothing(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int] = []
    monkeypatch.setattr(bell, "ring", lambda: rung.append(Sequence.objects.count()))
    make_playbook("incidents", "incident", conditions={"severity": "high"})
    make_incident(severity="low")
    assert rung == []
    with transaction.atomic():
        make_incident(severity="high")
        assert rung == []
    assert rung == [1]


# --- loops ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_run_never_starts_its_own_playbook_nor_one_that_started_it() -> None:
    ping, pong = make_playbook("ping", "incident"), make_playbook("pong", "incident.updated")
    other = make_playbook("other", "incident", order=2000)
    make_playbook("observer", "observable")
    incident = make_incident(actor=as_run(ping))
    [sequence] = Sequence.objects.filter(event="incident_opened")
    [run] = sequence.runs.all()
    assert (run.playbook, run.requested_kind, run.requested_name) == (other, "playbook", "ping")
    assert sequence.correlation_id == Sequence.objects.earliest("id").correlation_id
    # ping -> other -> pong, which may start neither of them, nor itself
    incident_services.update_incident(actor=actor_of(run), incident=incident, title="x")
    [run] = PlaybookRun.objects.filter(playbook=pong)
    make_incident(actor=actor_of(run))
    incident_services.update_incident(actor=actor_of(run), incident=incident, title="y")
    assert Sequence.objects.filter(event__startswith="incident").count() == 2
    alert_services.add_observables(actor=actor_of(run), alert=make_alert(), values=[("ip", "203.0.113.7")])
    assert started()[-1] == ("observable_created", ["observer"])


@pytest.mark.django_db
def test_people_start_them_again_and_a_retry_does_not_escape_its_chain() -> None:
    ping, middle = make_playbook("ping", "incident"), make_playbook("middle", None)
    first = as_run(middle, by=as_run(ping))
    retry = as_run(middle)
    PlaybookRun.objects.filter(pk=retry.id).update(requested_kind="analyst", retry_of=first.id)
    make_incident(actor=retry)
    assert not Sequence.objects.filter(event="incident_opened").exists()
    make_incident()
    assert started()[-1] == ("incident_opened", ["ping"])
    # Siblings are no chain: each of two incidents that one run opens is worked.
    opener = as_run(make_playbook("opener", None))
    for title in ("one", "two"):
        make_incident(title, actor=opener)
    assert started()[-2:] == [("incident_opened", ["ping"])] * 2


@pytest.mark.django_db
def test_a_chain_ends_at_its_greatest_depth() -> None:
    actor: Actor | None = None
    for depth in range(1, MAX_DEPTH + 1):
        actor = as_run(make_playbook(f"link {depth}", None), by=actor)
        make_playbook(f"opened {depth}", "incident")
        before = Sequence.objects.count()
        make_incident(actor=actor)
        assert Sequence.objects.count() - before == (1 if depth < MAX_DEPTH else 0)


@pytest.mark.django_db
def test_an_actor_whose_run_is_gone_is_anybody() -> None:
    make_playbook("incidents", "incident")
    partners = frozenset({DEFAULT_PARTNER_ID})
    make_incident(actor=Actor("playbook", uuid.uuid4(), "gone", partner_ids=partners))
    assert started() == [("incident_opened", ["incidents"])]


# --- through the engine -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_database")
def test_incidents_and_observables_reach_their_playbooks(tmp_path: Path) -> None:
    book = tmp_path / "ledger"
    write(
        tmp_path,
        "chain",
        LEDGER_HEAD.format(path=str(book))
        + """
from opensoar import create_incident, current_incident, get_current_alert_id, update_incident

@playbook(trigger="observable", conditions={"type": ["ip"], "internal": False})
async def seen(observable):
    assert get_current_alert_id() is None
    note(f"seen {observable.value} in {len(observable.alerts)}")
    made = await create_incident(f"New address {observable.value}", alerts=observable.alerts)
    await create_incident("A second one", severity="low")

@playbook(trigger="incident", conditions={"severity__gte": "medium"})
async def opened(incident):
    assert current_incident() == incident
    note(f"opened {incident.title}")
    await create_incident("Not for me")
    await update_incident(incident=incident, status="closed")

@playbook(trigger="incident.closed")
async def closed(anything):
    note(f"closed {anything.title} {anything.status}")
""",
    )
    with running(tmp_path):
        receive(source_ip="203.0.113.7")
        eventually(
            lambda: len(ledger(book)) == 3 and not PlaybookRun.objects.exclude(state="success").exists()
        )
    assert ledger(book) == [
        "seen 203.0.113.7 in 1", "opened New address 203.0.113.7", "closed New address 203.0.113.7 closed",
    ]  # fmt: skip
