"""The demo: the same believable week every time, told by the product itself, never beside real data unless forced."""

from __future__ import annotations

import io
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from alerts.models import Alert, AlertEntry, AlertText, Delivery, Observable
from incidents.models import Handoff, Incident, IncidentEntry, IncidentText, SuggestionDismissal
from incidents.suggestions import suggestions
from opensoar.accounts.models import AuditEntry, Partner, User
from opensoar.demo.load import LOADED, load
from opensoar.supervisor.options import DEMO_PLAYBOOKS, read_options
from playbooks_engine.models import ActionAttempt, ActionResult, Playbook, PlaybookFile, PlaybookRun, Sequence
from playbooks_engine.services import decide_run, start_run
from playbooks_engine.sync import sync_playbooks
from playbooks_engine.worker import Engine
from tests import databases
from tests.factories import SYSTEM, make_alert
from tests.playbooks_engine.engines import eventually

WEEK = timedelta(days=7)
PEOPLE = {"priya", "tomas", "ada", "jonas", "sofia"}


@contextmanager
def new_database(servers, blocker) -> Iterator[None]:
    name = f"demo_{uuid.uuid4().hex[:12]}"
    databases.clone(servers, name)
    with blocker.unblock(), databases.switched_to(NAME=name):
        yield
    databases.drop(servers, name)


@pytest.fixture(scope="module")
def told(servers, django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[dict]:
    """What the first start with ``--demo`` does, and what it said; every test but the last two reads this database."""
    path: Path = tmp_path_factory.mktemp("demo") / "credentials.env"
    with new_database(servers, django_db_blocker):
        said = io.StringIO()
        call_command(
            "prepare", "admin", "--credentials", str(path), "--url", "http://x", "--demo", stdout=said
        )
        messages = [json.loads(line) for line in said.getvalue().splitlines()]
        week = snapshot()
        now = datetime.fromisoformat(AuditEntry.objects.get(action=LOADED).detail["now"])
        yield {"messages": messages, "credentials": path, "week": week, "now": now}


def snapshot() -> dict[str, list]:
    """Everything a person can tell two weeks apart by."""
    titles = dict(Alert.objects.values_list("pk", "title")) | dict(
        Incident.objects.values_list("pk", "title")
    )
    words = dict(AlertText.objects.values_list("pk", "text")) | dict(
        IncidentText.objects.values_list("pk", "text")
    )
    return {
        "alerts": sorted(
            map(
                repr,
                Alert.objects.values_list(
                    "title", "severity", "source", "hostname", "username", "source_ip", "dest_ip", "status",
                    "determination", "assigned_to__username", "partner__slug", "created_at", "resolved_at",
                    "counter__duplicate_count", "counter__last_seen",
                ),
            )
        ),
        "incidents": list(
            Incident.objects.order_by("number").values_list(
                "number", "title", "status", "severity", "assigned_to__username", "created_at", "closed_at"
            )
        ),
        "entries": sorted(
            repr((titles[e.subject_id], e.seq, e.action, e.actor_name, e.recorded_at, words.get(e.pk)))
            for model in (AlertEntry, IncidentEntry)
            for e in model.objects.all()
            # a playbook's words may name other rows' times with the digits of a JSON text
        ),
        "runs": sorted(
            map(repr, PlaybookRun.objects.values_list("playbook__name", "state", "created_at", "started_at"))
        ),
        "calls": sorted(map(repr, ActionResult.objects.values_list("name", "key", "state", "attempts"))),
    }  # fmt: skip


def test_every_incident_is_where_the_pages_show_it(told):
    found = {
        i.number: (i.status, i.assigned_to and i.assigned_to.username, i.alerts.count(), i.tlp)
        for i in Incident.objects.select_related("assigned_to")
    }
    assert found == {
        1033: ("closed", "ada", 112, "green"),
        1034: ("closed", "jonas", 3, "amber"),
        1035: ("closed", None, 1, "clear"),
        1036: ("contained", "priya", 1, "clear"),
        1037: ("closed", "tomas", 2, "amber"),
        1038: ("contained", "jonas", 5, "amber+strict"),
        1039: ("contained", "ada", 41, "amber"),
        1040: ("investigating", "priya", 1, "green"),
        1041: ("open", None, 2, "green"),
        1042: ("investigating", "tomas", 19, "amber"),
    }
    closed = Incident.objects.filter(status="closed")
    assert set(closed.exclude(closed_unassessed=True).values_list("determination", "impact")) == {
        ("benign", "none"),
        ("benign", "limited"),
        ("suspicious", "limited"),
    }
    assert closed.get(closed_unassessed=True).number == 1035


def test_the_queue_is_as_full_as_the_pages_say(told):
    waiting = Alert.objects.exclude(status="resolved")
    owners = Counter(waiting.values_list("assigned_to__username", flat=True))
    assert owners == {None: 165, "tomas": 9, "priya": 6, "ada": 5, "jonas": 2}
    urgent = waiting.filter(severity__in=["critical", "high"], assigned_to=None)
    assert urgent.count() == 11
    assert Alert.objects.filter(status="resolved").count() > 200


@pytest.mark.parametrize(
    ("title", "facts"),
    [
        (
            "Beacon every 60 s to cdn-telemetry.example",
            ("critical", "Suricata", "FIN-WS-022", "d.haas", "10.20.14.52", 10, "malicious", "tomas", 1042),
        ),
        (
            "LSASS memory read by rundll32.exe",
            ("critical", "Elastic Security", "FIN-WS-022", "d.haas", "10.20.14.52", 1, "malicious", "tomas", 1042),
        ),
        (
            "VPN sign-in by a service account after 412 failures",
            ("high", "Splunk ES", "vpn-gw-02", "svc-backup", "198.51.100.23", 38, "malicious", "ada", 1039),
        ),
        (
            "Access key used from a new country",
            ("high", "GuardDuty", "i-0c41d7e9b2", "ci-deploy", "192.0.2.144", 3, "unknown", None, None),
        ),
        (
            "Port scan from an internal host",
            ("low", "Suricata", "NESSUS-01", None, "10.10.1.5", 640, "benign", None, None),
        ),
    ],
)  # fmt: skip
def test_alerts_are_understood_as_their_sources_told_them(told, title, facts):
    alert = Alert.objects.get(title=title)
    incident = alert.incidents.first()
    assert facts == (
        alert.severity, alert.source, alert.hostname, alert.username, alert.source_ip, alert.counter.duplicate_count,
        alert.determination, alert.assigned_to and alert.assigned_to.username, incident and incident.number,
    )  # fmt: skip


def test_three_attacks_hang_together(told):
    payroll, spray = Incident.objects.get(number=1042), Incident.objects.get(number=1039)
    hosts = set(payroll.alerts.exclude(hostname=None).values_list("hostname", flat=True))
    assert hosts == {"FIN-WS-014", "FIN-WS-022"}
    assert {"T1566.002", "T1557", "T1071.001", "T1003.001"} <= set(payroll.techniques)
    assert set(spray.alerts.values_list("source_ip", flat=True)) == {"198.51.100.23"}
    (cloud,) = suggestions(
        SYSTEM
    )  # nothing of the noise, nor a host that has more than a hundred alerts a week
    assert (cloud.value, cloud.alert_count, cloud.severity) == ("192.0.2.144", 6, "high")
    assert {alert.source for alert in cloud.alerts} == {"GuardDuty", "Wazuh", "Sentinel"}
    assert {d.reason for d in SuggestionDismissal.objects.all()} == {
        "Our own vulnerability scanner, see the asset list"
    }


def test_one_handoff_waits_and_one_is_acknowledged(told):
    waiting, done = Handoff.objects.order_by("-created_at")
    assert (waiting.from_user.username, waiting.to_user.username) == ("priya", "tomas")
    assert len(waiting.open_questions) == 2
    assert not hasattr(waiting, "acknowledgement")
    assert done.acknowledgement.by == done.to_user == User.objects.get(username="ada")


def test_nothing_happens_after_now_or_by_nobody(told):
    now = told["now"]
    for model in (AlertEntry, IncidentEntry):
        assert not model.objects.filter(recorded_at__gt=now).exists()
        assert not model.objects.filter(occurred_at__gt=now).exists()
        assert not model.objects.filter(actor_name="").exists()
        for entry in model.objects.filter(actor_kind="analyst"):
            assert entry.user_id is not None
            assert entry.actor_name in PEOPLE
        assert all(bytes(entry.digest) == entry.compute_digest() for entry in model.objects.all())
    moments = (
        Alert.objects.values_list("created_at", flat=True),
        Incident.objects.values_list("created_at", flat=True),
        Delivery.objects.values_list("received_at", flat=True),
        PlaybookRun.objects.values_list("created_at", flat=True),
        ActionResult.objects.values_list("started_at", flat=True),
    )
    for times in moments:
        assert now - WEEK < min(times) <= max(times) < now
    assert Alert.objects.filter(created_at__gt=now - timedelta(minutes=10)).count() >= 3


def test_timelines_run_forward(told):
    for model in (AlertEntry, IncidentEntry):
        last: dict[uuid.UUID, datetime] = {}
        for entry in model.objects.order_by("subject_id", "seq"):
            assert entry.recorded_at >= last.get(entry.subject_id, entry.recorded_at), entry.action
            last[entry.subject_id] = entry.recorded_at
    assert not Alert.objects.filter(resolved_at__gt=told["now"]).exists()


def test_runs_of_every_kind_with_their_calls(told):
    states = Counter(PlaybookRun.objects.values_list("state", flat=True))
    assert set(states) == {"success", "failed", "needs_attention", "running", "skipped"}
    assert states["success"] > 40
    for run in PlaybookRun.objects.filter(state="failed"):
        assert "Traceback" in run.traceback
        assert "ServiceRefused" in run.error
    asked = PlaybookRun.objects.get(state="needs_attention")
    assert (asked.playbook.name, asked.requested_name) == ("contain_host", "tomas")
    assert asked.sequence.incident.number == 1042
    names = list(asked.calls.order_by("id").values_list("name", "state", "attempts"))
    assert ("lookup_ip_reputation", "success", 2) in names
    assert names[-1] == ("isolate_host", "unknown", 1)
    assert ActionAttempt.objects.filter(run_id=asked.pk).count() == len(names) + 1
    assert set(Sequence.objects.values_list("state", flat=True)) == {"done", "held", "ready"}


def test_what_arrived_is_kept(told):
    states = Counter(Delivery.objects.values_list("state", flat=True))
    assert states["quarantined"] == 2
    assert states["accepted"] == Alert.objects.count()
    assert states["duplicate"] > 900
    enriched = Observable.objects.get(value="203.0.113.77", partner__slug="acme-retail")
    assert enriched.enrichments.filter(malicious=True).count() == 3
    assert not Alert.objects.filter(normalized__has_key="notes").exists(), (
        "every signal was read without a doubt"
    )


def test_people_partners_and_playbooks(told):
    assert set(User.objects.exclude(username="admin").values_list("username", flat=True)) == PEOPLE
    assert {"acme-retail", "hanse-logistik"} <= set(Partner.objects.values_list("slug", flat=True))
    assert Alert.objects.filter(partner__slug="hanse-logistik").count() > 10
    assert {"contain_host", "enrich_observables", "weekly_report"} <= set(
        Playbook.objects.filter(missing_since=None).values_list("name", flat=True)
    )
    broken = PlaybookFile.objects.exclude(error="").get()
    assert broken.path.endswith("oauth_consent.py")
    assert "did you mean 'severity'" in broken.error


def test_the_password_is_told_once_and_kept_private(told):
    [users] = [message["demo"] for message in told["messages"] if "demo" in message]
    assert set(users["users"].split(", ")) == PEOPLE
    assert all(user.check_password(users["password"]) for user in User.objects.filter(username__in=PEOPLE))
    kept = told["credentials"].read_text()
    assert f"OPENSOAR_DEMO_PASSWORD={users['password']}\n" in kept
    assert "OPENSOAR_ADMIN_PASSWORD=" in kept
    assert told["credentials"].stat().st_mode & 0o777 == 0o600


def test_a_second_time_changes_nothing(told):
    said = io.StringIO()
    call_command("demo", stdout=said)
    assert "loaded already" in said.getvalue()
    answer = io.StringIO()
    call_command("demo", "--json", stdout=answer)
    assert json.loads(answer.getvalue()) | {"users": None} == {
        "users": None, "password": None, "alerts": Alert.objects.count(), "incidents": 10,
        "runs": PlaybookRun.objects.count(),
    }  # fmt: skip
    assert snapshot() == told["week"]


def test_demo_flag_brings_its_playbooks(monkeypatch):
    assert (DEMO_PLAYBOOKS / "contain_host.py").is_file()
    monkeypatch.delenv("PLAYBOOK_DIRS", raising=False)
    assert DEMO_PLAYBOOKS in read_options({"demo": True}).playbook_dirs
    assert DEMO_PLAYBOOKS not in read_options({}).playbook_dirs


def test_real_alerts_are_never_mixed_unless_forced_and_the_week_is_the_same(
    told, servers, django_db_blocker, settings, tmp_path
):
    """Beside an installation of somebody's own, whose playbooks act for real; then a worker carries on the week."""
    (tmp_path / "own.py").write_text(
        "from pathlib import Path\nfrom opensoar import playbook\n\n\n"
        "@playbook(trigger='webhook')\nasync def isolate_everything(alert):\n"
        f"    Path({str(tmp_path / 'isolated')!r}).touch()\n"
    )
    settings.PLAYBOOK_DIRS = [*settings.PLAYBOOK_DIRS, str(tmp_path)]
    with new_database(servers, django_db_blocker):
        sync_playbooks(settings.PLAYBOOK_DIRS)
        own = Playbook.objects.get(name="isolate_everything")
        mine = make_alert("A real one")
        waiting = start_run(actor=SYSTEM, playbook=own, alert=mine)
        with pytest.raises(CommandError, match="--force"):
            call_command("demo")
        assert not User.objects.exists()
        load(force=True, now=told["now"])
        assert not (tmp_path / "isolated").exists(), "a story is no reason to act"
        own.refresh_from_db()
        assert own.is_runnable
        for row in (mine, waiting, waiting.sequence):
            row.refresh_from_db()
        assert (mine.status, mine.version, waiting.state, waiting.sequence.state) == (
            "new",
            1,
            "pending",
            "ready",
        )
        again = snapshot()
        again["alerts"] = [row for row in again["alerts"] if "A real one" not in row]
        again["runs"] = [row for row in again["runs"] if "isolate_everything" not in row]
        assert again == told["week"]
        Sequence.objects.filter(pk=waiting.sequence_id).delete()
        _a_worker_carries_on()


def _a_worker_carries_on() -> None:
    asked = PlaybookRun.objects.get(state="needs_attention")
    decide_run(actor=SYSTEM, run=asked, decision="not_done")
    engine = Engine(directories=[str(DEMO_PLAYBOOKS)], lease=5, capacity=10)
    engine.start()
    try:
        eventually(lambda: PlaybookRun.objects.get(pk=asked.pk).state == "success")
        watching = PlaybookRun.objects.get(playbook__name="watch_for_spread")
        eventually(lambda: ActionAttempt.objects.filter(run_id=watching.pk).count() == 2)
        assert watching.state == "running"
    finally:
        engine.stop(timeout=15)
    result = PlaybookRun.objects.get(pk=asked.pk).result_value
    assert result["isolated"] == ["FIN-WS-014", "FIN-WS-022"]
    assert timezone.now() > asked.created_at
