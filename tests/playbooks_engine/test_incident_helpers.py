"""Playbooks open, change and fill incidents: what the SDK checks, what the helpers do, and replay."""

from __future__ import annotations

import asyncio
import copy
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest

from alerts.models import Alert, AlertObservable, Observable
from incidents.models import Incident, IncidentAlert, IncidentObservable
from opensoar import (
    add_incident_comment,
    add_observable,
    assign_incident,
    create_incident,
    current_incident,
    link_current_alert,
    update_incident,
)
from opensoar.accounts.models import DEFAULT_PARTNER_ID, ProductSettings
from opensoar.actors import Actor
from playbooks_engine import incident as snapshots
from playbooks_engine.context import NoCurrentAlert, NoCurrentRun
from playbooks_engine.helpers import Subject, perform
from playbooks_engine.models import ActionResult
from playbooks_engine.sdk_incidents import NoCurrentIncident
from playbooks_engine.snapshots import incident_snapshot, observable_snapshot
from tests.factories import (
    actions,
    entries,
    make_alert,
    make_incident,
    make_partner,
    make_user,
    text_of,
)
from tests.playbooks_engine.engines import eventually, finished, receive, running, write
from tests.playbooks_engine.fake_run import FakeRun

ID = "0198f000-0000-7000-8000-00000000000a"
SNAPSHOT = {"id": ID, "number": 7, "reference": "INC-7", "title": "Theft", "severity": "high"}


def in_run(fake: FakeRun, *steps: Any) -> list[Any]:
    """What each step (a function that returns a coroutine) gives inside ``fake``."""

    async def go() -> list[Any]:
        with fake.current():
            return [await step() for step in steps]

    return asyncio.run(go())


# --- what the SDK does by itself --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: create_incident("x", template="t"), ValueError, "not available yet"),
        (lambda: create_incident(" "), ValueError, "title must not be empty"),
        (lambda: create_incident("x", severity="hihg"), ValueError, "did you mean 'high'"),
        (lambda: create_incident("x", alerts="abc"), TypeError, "list of alerts"),
        (lambda: create_incident("x", alerts=["abc"]), ValueError, "alerts or their ids"),
        (lambda: create_incident("x", owner=5), TypeError, "by username"),
        (lambda: link_current_alert("INC-x"), ValueError, "number .1042"),
        (lambda: link_current_alert(True), TypeError, "an Incident, a number or an id"),
        (lambda: add_incident_comment(""), ValueError, "must not be empty"),
        (lambda: add_incident_comment(5), TypeError, "is a string, not int"),
        (lambda: update_incident(), ValueError, "nothing to change"),
        (lambda: update_incident(status="done"), ValueError, "open, investigating, contained, closed"),
        (lambda: update_incident(determination="unknown"), ValueError, "malicious, suspicious, benign"),
        (lambda: update_incident(tags="x"), TypeError, "tags is a list"),
        (lambda: update_incident(determination="benign"), ValueError, "impact and summary together"),
        (
            lambda: update_incident(status="open", determination="benign", impact="none", summary="x"),
            ValueError,
            "status='closed'",
        ),
        (lambda: add_observable("ipv9", "x"), ValueError, "type is one of ip"),
        (lambda: add_observable("ip", " "), ValueError, "must not be empty"),
        (lambda: add_observable("ip", "1.1.1.1", tlp="red"), ValueError, "no TLP of their own"),
        (lambda: add_observable("ip", "1.1.1.1", tags="x"), TypeError, "tags is a list"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_done(call: Any, error: type, words: str) -> None:
    fake = FakeRun()
    with pytest.raises(error, match=words):
        in_run(fake, call)
    assert fake.helpers == []


def test_outside_a_run_and_without_an_incident() -> None:
    for call in (
        lambda: create_incident("x"),
        lambda: link_current_alert(7),
        lambda: add_incident_comment("x"),
        lambda: assign_incident("dana"),
        lambda: update_incident(title="x"),
        lambda: add_observable("ip", "1.1.1.1"),
    ):
        with pytest.raises(NoCurrentRun):
            asyncio.run(call())  # type: ignore[no-untyped-call]
    for call in (
        lambda: add_incident_comment("x"),
        lambda: assign_incident(None),
        lambda: update_incident(tlp="red"),
    ):
        with pytest.raises(NoCurrentIncident, match="create_incident"):
            in_run(FakeRun(), call)
    with pytest.raises(NoCurrentIncident, match="no incident or alert"):
        in_run(FakeRun(alert_id=None), lambda: add_observable("ip", "1.1.1.1"))
    with pytest.raises(NoCurrentAlert):
        in_run(FakeRun(alert_id=None), lambda: link_current_alert(7))
    with pytest.raises(ValueError, match="needs a title"):
        in_run(FakeRun(alert_id=None), lambda: create_incident())
    assert current_incident() is None


def test_the_current_incident_is_the_one_that_was_created_or_linked_last() -> None:
    other = SNAPSHOT | {"id": str(uuid.uuid4()), "number": 8}
    changed = SNAPSHOT | {"title": "Changed"}
    fake = FakeRun(
        answers={"create_incident": SNAPSHOT, "link_current_alert": other, "update_incident": changed}
    )

    async def seen() -> Any:
        return (current_incident() or {}).get("number"), (current_incident() or {}).get("title")

    results = in_run(
        fake,
        seen,
        lambda: create_incident(alerts=[ID, {"id": ID}]),
        seen,
        lambda: update_incident(title=" Changed "),
        seen,
        lambda: link_current_alert("inc-8"),
        seen,
        lambda: update_incident(incident=7, tags=("a",)),
        seen,
        lambda: add_observable("domain", "evil.example"),
        lambda: add_incident_comment("hi", incident=uuid.UUID(ID)),
        lambda: add_incident_comment("hi", incident=snapshots.Incident(SNAPSHOT)),
    )
    assert results[0] == (None, None)
    assert results[2] == (7, "Theft")
    assert results[4] == (7, "Changed")
    assert results[6] == results[8] == (8, "Theft")
    sent = [(name, arguments.get("incident")) for name, arguments in fake.helpers]
    assert sent == [
        ("create_incident", None), ("update_incident", ID), ("link_current_alert", 8), ("update_incident", 7),
        ("add_observable", other["id"]), ("add_incident_comment", ID), ("add_incident_comment", ID),
    ]  # fmt: skip
    assert fake.helpers[0][1] == {"title": None, "severity": None, "alerts": [ID], "owner": None}
    assert fake.helpers[1][1]["title"] == "Changed"


@pytest.mark.parametrize("kind", [snapshots.Incident, snapshots.Observable])
def test_they_are_snapshots_like_the_alert(kind: Any) -> None:
    one = kind({"id": ID, "tags": ["a"]})
    assert one.id == one["id"] == ID
    assert set(kind.FIELDS) == set(one)
    assert one.get("partner", "none") == "none"
    with pytest.raises(AttributeError, match=r"has no field 'tgas'.*did you mean 'tags'"):
        _ = one.tgas
    with pytest.raises(KeyError, match="did you mean 'tags'"):
        one["tgas"]
    with pytest.raises(AttributeError, match="read-only"):
        one.tags = []
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert repr(one).startswith(f"<{kind.__name__} ")


def test_an_incident_is_read_anew_as_a_step() -> None:
    incident = snapshots.Incident(SNAPSHOT)
    fake = FakeRun(answers={"refresh_incident": SNAPSHOT | {"status": "closed"}})
    assert in_run(fake, incident.refresh) == [incident]
    assert incident.status == "closed"
    assert fake.helpers == [("refresh_incident", {"incident": ID})]


# --- what the helpers do in the database ------------------------------------------------------------------


def playbook_actor(partner_id: uuid.UUID = DEFAULT_PARTNER_ID) -> Actor:
    return Actor(kind="playbook", id=uuid.uuid4(), name="triage", partner_ids=frozenset({partner_id}))


class Desk:
    """A run about ``alert`` whose helpers are done at once."""

    def __init__(self, alert: Alert | None = None, partner_id: uuid.UUID | None = None) -> None:
        self.alert_id = str(alert.pk) if alert else None
        self.incident: Any = None
        self._subject = Subject(alert.pk if alert else None)
        self._actor = playbook_actor(partner_id or (alert.partner_id if alert else DEFAULT_PARTNER_ID))

    def __call__(self, call: Any) -> Any:
        """Run one SDK function; the database work is done here, in the test's own thread and transaction."""
        coroutine = self._under(call)
        answer: Any = None
        try:
            while True:
                name, arguments = coroutine.send(answer)
                try:
                    answer = perform(name, self._actor, self._subject, arguments)
                except Exception as error:
                    coroutine.throw(error)
        except StopIteration as done:
            return done.value

    async def _under(self, call: Any) -> Any:
        from playbooks_engine.context import current_run

        token = current_run.set(self)  # type: ignore[arg-type]
        try:
            return await call()
        finally:
            current_run.reset(token)

    async def call_helper(self, name: str, arguments: dict[str, Any]) -> Any:
        return await _Asks(name, arguments)


class _Asks:
    def __init__(self, *what: Any) -> None:
        self.what = what

    def __await__(self) -> Any:
        return (yield self.what)


@pytest.mark.django_db
def test_an_incident_takes_title_severity_and_the_alert_from_the_run() -> None:
    dana = make_user("dana")
    alert, further = make_alert("Beacon", severity="critical"), make_alert("More")
    desk = Desk(alert)
    made = desk(lambda: create_incident(alerts=[further.pk, {"id": str(alert.pk)}], owner="DANA"))
    incident = Incident.objects.get()
    assert (incident.title, incident.severity, incident.assigned_to) == ("Beacon", "critical", dana)
    assert set(incident.alerts.all()) == {alert, further}
    assert made == incident_snapshot(incident) == desk.incident
    assert set(made.alerts) == {str(alert.pk), str(further.pk)}
    assert made.assigned_username == "dana"
    assert [entry.actor_kind for entry in entries(incident)] == ["playbook"] * 4
    bare = Desk()(lambda: create_incident("By hand"))
    assert (bare.severity, bare.alerts) == ("medium", [])


@pytest.mark.django_db
def test_an_alert_is_linked_once() -> None:
    alert, incident = make_alert(), make_incident()
    desk = Desk(alert)
    for _ in range(2):
        linked = desk(lambda: link_current_alert(incident.number))
        assert linked.alerts == [str(alert.pk)]
    assert IncidentAlert.objects.count() == 1
    assert desk.incident["number"] == incident.number


@pytest.mark.django_db
def test_an_incident_is_commented_assigned_changed_and_closed() -> None:
    dana, incident = make_user("dana"), make_incident()
    desk = Desk()
    said = desk(lambda: add_incident_comment(" seen ", incident=f"INC-{incident.number}"))
    assert said | {"comment_id": ""} == {
        "incident_id": str(incident.pk), "number": incident.number, "comment_id": "", "action": "comment",
        "detail": "seen",
    }  # fmt: skip
    assert text_of(entries(incident)[-1]) == "seen"
    given = desk(lambda: assign_incident("dana", incident=str(incident.pk)))
    assert (given["assigned_to"], given["assigned_username"]) == (str(dana.pk), "dana")
    assert desk(lambda: assign_incident(None, incident=incident.number))["assigned_to"] is None
    changed = desk(
        lambda: update_incident(
            incident=incident.number,
            title="New",
            severity="low",
            tags=["a", "b"],
            tlp="red",
            status="contained",
        )
    )
    assert (changed.title, changed.severity, changed.tags, changed.tlp, changed.status) == (
        "New", "low", ["a", "b"], "red", "contained",
    )  # fmt: skip
    with pytest.raises(ValueError, match="take status='closed'"):
        desk(lambda: update_incident(incident=changed, determination="benign", impact="none", summary="Fine"))
    closed = desk(
        lambda: update_incident(
            incident=changed, status="closed", determination="benign", impact="none", summary="Fine"
        )
    )
    assert (closed.status, closed.summary, closed.closed_at is None) == ("closed", "Fine", False)
    with pytest.raises(ValueError, match="cannot become"):
        desk(lambda: update_incident(incident=closed, status="contained"))
    assert actions(incident)[-1] == "closed"


@pytest.mark.django_db
def test_closing_without_assessment_is_refused_where_the_settings_want_one() -> None:
    incident = make_incident()
    ProductSettings.objects.update_or_create(
        pk=ProductSettings.load().pk, defaults={"require_assessment": True}
    )
    with pytest.raises(ValueError, match="needs a determination"):
        Desk()(lambda: update_incident(incident=incident.number, status="closed"))


@pytest.mark.django_db
def test_observables_go_on_the_incident_or_else_on_the_alert() -> None:
    alert, incident = make_alert(), make_incident()
    desk = Desk(alert)
    first = desk(lambda: add_observable("domain", "Evil[.]example", tags=["c2"]))
    assert (first.type, first.value, first.tags, first.alerts) == (
        "domain",
        "evil.example",
        ["c2"],
        [str(alert.pk)],
    )
    second = desk(
        lambda: add_observable("domain", "evil.example", incident=incident.number, tags=["c2", "new"])
    )
    assert (second.id, second.tags) == (first.id, ["c2", "new"])
    row = Observable.objects.get()
    assert observable_snapshot(row) == second
    assert AlertObservable.objects.get().alert_id == alert.pk
    assert IncidentObservable.objects.get().incident_id == incident.pk
    with pytest.raises(ValueError, match=r"10\.0\.0\.999"):
        desk(lambda: add_observable("ip", "10.0.0.999"))


@pytest.mark.django_db
def test_nothing_of_another_partner_is_there() -> None:
    theirs = make_partner()
    incident, alert = make_incident(partner=theirs), make_alert(partner=theirs)
    make_user("lou", partners=[theirs])
    desk, own = Desk(make_alert()), make_incident()
    for call in (
        lambda: add_incident_comment("x", incident=incident.number),
        lambda: assign_incident(None, incident=str(incident.pk)),
        lambda: update_incident(incident=incident.number, title="x"),
        lambda: link_current_alert(incident.number),
        lambda: add_observable("ip", "9.9.9.9", incident=incident.number),
        lambda: snapshots.Incident({"id": str(incident.pk)}).refresh(),
        lambda: add_incident_comment("x", incident=10**15),
    ):
        with pytest.raises(ValueError, match="Incident not found"):
            desk(call)
    with pytest.raises(ValueError, match=f"Alert not found: {alert.pk}"):
        desk(lambda: create_incident("x", alerts=[alert.pk]))
    with pytest.raises(ValueError, match="Analyst not found"):
        desk(lambda: assign_incident("lou", incident=own.number))
    with pytest.raises(RuntimeError, match="not found or inactive: nobody"):
        desk(lambda: assign_incident("nobody", incident=own.number))
    assert Incident.objects.count() == 2
    assert not Observable.objects.exists()


# --- through the engine -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_database")
def test_a_playbook_escalates(tmp_path: Path) -> None:
    write(
        tmp_path,
        "escalate",
        """
        from opensoar import (
            add_incident_comment, add_observable, assign_incident, create_incident, current_incident, playbook, sleep,
            update_incident,
        )

        @playbook("webhook", order=10)
        async def escalate(alert):
            assert current_incident() is None
            made = await create_incident(owner="dana")
            await sleep(0.05)
            assert current_incident() == made
            await add_observable("ip", "203.0.113.7", tags=["c2"])
            await update_incident(severity="critical", tags=["auto"])
            await add_incident_comment(f"Opened for {alert.hostname}")
            return {"number": made.number, "severity": current_incident().severity}
        """,
    )
    make_user("dana")
    with running(tmp_path):
        [run] = finished(receive(title="Beacon", host="ws-7"))
    incident = Incident.objects.get()
    assert (run.state, run.error) == ("success", "")
    assert run.result_value == {"number": incident.number, "severity": "critical"}
    assert (incident.title, incident.severity, incident.tags) == ("Beacon", "critical", ["auto"])
    assert incident.observables.get().value == "203.0.113.7"
    calls = ActionResult.objects.filter(run=run, kind="helper").order_by("started_at")
    assert [call.name for call in calls] == [
        "create_incident", "add_observable", "update_incident", "add_incident_comment",
    ]  # fmt: skip


@pytest.mark.usefixtures("fresh_database")
def test_a_resumed_run_has_the_same_current_incident_and_opens_no_other(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    write(
        tmp_path,
        "resumed",
        f"""
        import asyncio
        from pathlib import Path
        from opensoar import create_incident, current_incident, link_current_alert, playbook, update_incident

        @playbook("webhook")
        async def resumed(alert):
            seen = [current_incident()]
            first = await create_incident("First")
            seen.append(current_incident().title)
            second = await create_incident("Second")
            await update_incident(title="Second, changed")
            seen.append(current_incident().title)
            await link_current_alert(first)
            seen.append(current_incident().number == first.number)
            while not Path({str(gate)!r}).exists():
                await asyncio.sleep(0.02)
            return seen
        """,
    )
    with running(tmp_path):
        alert = receive()
        eventually(lambda: ActionResult.objects.filter(name="link_current_alert").exists())
    gate.touch()
    with running(tmp_path):
        [run] = finished(alert)
    assert run.result_value == [None, "First", "Second, changed", True]
    assert sorted(Incident.objects.values_list("title", flat=True)) == ["First", "Second, changed"]
    assert run.sequence.claims == 2
