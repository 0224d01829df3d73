"""manage.py run_playbook: a real run followed to its end, and a dry one that does nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries, Settings

from alerts.models import AlertEntry
from playbooks_engine.models import ActionResult, Playbook, PlaybookRun, Secret
from playbooks_engine.secrets import set_secret
from playbooks_engine.sync import sync_playbooks
from tests.factories import SYSTEM, make_alert, make_incident, make_partner
from tests.playbooks_engine.engines import running, write

SOURCE = """
from datetime import timedelta
from pathlib import Path
from opensoar import action, add_current_alert_comment, log, playbook, request_approval, secret, sleep
from opensoar import update_current_alert

@action(idempotent=True)
async def look_up(ip):
    Path({book!r}).write_text("done")
    return {{"ip": ip, "known": True}}

@action(idempotent=True)
def explode():
    raise ValueError("it broke")

@playbook()
async def triage(alert):
    found = await look_up(alert.source_ip)
    log.info("asked with %s", secret("key"))
    await sleep(timedelta(hours=3))
    if await request_approval("Go on?"):
        await update_current_alert(status="in_progress")
        await add_current_alert_comment("looked up")
    return {{"found": found}}

@playbook()
async def short(input):
    return {{"got": input, "looked": await look_up("192.0.2.1")}}

@playbook()
async def fails(input):
    await explode()

@playbook()
async def on_incident(incident):
    return incident.number

@playbook(when=lambda alert: alert.severity == "critical")
async def picky(alert):
    return 1
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "effects.txt"


@pytest.fixture
def directory(tmp_path: Path, book: Path) -> Path:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    write(folder, "mine", SOURCE.format(book=str(book)))
    return folder


@pytest.fixture
def synced(db: None, directory: Path) -> Path:
    assert sync_playbooks([str(directory)]).errors == []
    return directory


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("run_playbook", *arguments, stdout=out)
    return out.getvalue()


# --- dry --------------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_each_step_and_does_nothing(synced: Path, book: Path, settings: Settings) -> None:
    set_secret(actor=SYSTEM, name="key", value="the-real-value")
    settings.SECRETS_KEY = ""  # no secret is opened
    alert = make_alert(source_ip="198.51.100.7")
    before = AlertEntry.objects.count()
    text = run("triage", "--alert", str(alert.pk), "--dry-run")
    assert not book.exists()
    assert (PlaybookRun.objects.count(), ActionResult.objects.count()) == (0, 0)
    assert AlertEntry.objects.count() == before
    alert.refresh_from_db()
    assert alert.status == "new"
    lines = text.splitlines()
    assert lines[0] == '  not called look_up(ip="198.51.100.7") -> null'
    assert lines[1] == "  log info: asked with ••••(key)"
    assert "sleep(seconds=10800.0)" in lines[2]
    assert 'approval(on_timeout="deny"' in lines[3]
    assert lines[4].startswith('  not done   update_current_alert(status="in_progress")')
    assert lines[-1] == 'success: {"found":null}'
    assert "the-real-value" not in text


def test_a_dry_run_takes_answers_and_speaks_json(synced: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text('{"look_up": {"known": false}}')
    shown = json.loads(run("short", "--input", '{"a": 1}', "--dry-run", "--answers", str(answers), "--json"))
    assert shown["result"] == {"got": {"a": 1}, "looked": {"known": False}}
    assert [(step["name"], step["arguments"]) for step in shown["steps"]] == [
        ("look_up", {"ip": "192.0.2.1"})
    ]


def test_a_dry_run_on_an_incident_and_one_that_does_not_want_to(synced: Path) -> None:
    incident = make_incident()
    assert (
        run("on_incident", "--incident", str(incident.number), "--dry-run") == f"success: {incident.number}\n"
    )
    with pytest.raises(CommandError, match="skipped: The playbook's when= condition") as caught:
        run("picky", "--alert", str(make_alert(severity="low").pk), "--dry-run")
    assert caught.value.returncode == 1


def test_a_dry_run_asks_for_few_things(
    synced: Path, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    alert = make_alert()
    Secret.objects.all().delete()
    with django_assert_max_num_queries(6), pytest.raises(CommandError, match="there is no secret 'key'"):
        run("triage", "--alert", str(alert.pk), "--dry-run")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["triag"], "no playbook is called 'triag' (did you mean 'triage'?)"),
        (["triage", "--alert", "01a20d8f-db8f-70f4-8363-83af4510c3ba"], "Alert not found"),
        (["triage", "--incident", "999999"], "Incident not found"),
        (["short", "--input", "{no json"], "not JSON"),
        (["short", "--answers", "/no/such/file"], "No such file"),
        (["short", "--answers", "{answers}"], "--answers belongs to --dry-run"),
    ],
)
def test_what_cannot_be_run_says_why(synced: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "answers.json").write_text("{}")
    with pytest.raises(CommandError) as caught:
        run(*(argument.format(answers=tmp_path / "answers.json") if "{answers}" in argument else argument
              for argument in arguments))  # fmt: skip
    assert words in str(caught.value)
    assert not PlaybookRun.objects.exists()


def test_anothers_playbook_is_not_tried_on_an_alert(synced: Path) -> None:
    Playbook.objects.filter(name="triage").update(partner=make_partner())
    with pytest.raises(CommandError, match="tenant scope"):
        run("triage", "--alert", str(make_alert().pk), "--dry-run")


# --- real -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(fresh_database: str, directory: Path) -> Iterator[None]:
    with running(directory):
        yield


def test_a_real_run_is_followed_to_its_end(engine: None, book: Path) -> None:
    lines = run("short", "--input", '"x"', "--wait", "20").splitlines()
    stored = PlaybookRun.objects.get()
    assert lines == [
        f"run {stored.pk}",
        '  success    look_up(ip="192.0.2.1") -> {"ip":"192.0.2.1","known":true}',
        'success: {"got":"x","looked":{"ip":"192.0.2.1","known":true}}',
    ]
    assert book.read_text() == "done"
    with pytest.raises(CommandError, match="failed: ValueError: it broke") as caught:
        run("fails", "--wait", "20")
    assert caught.value.returncode == 1


def test_one_that_is_not_finished_in_time_is_left_to_go_on(synced: Path) -> None:
    with pytest.raises(CommandError, match="pending: not started in time; is a worker running") as caught:
        run("short", "--wait", "0.1")
    assert caught.value.returncode == 2
    shown = json.loads(run("short", "--wait", "0", "--json"))
    assert shown == {"run_id": str(PlaybookRun.objects.order_by("-id")[0].pk), "state": "pending"}


def test_one_that_needs_a_person_says_what_it_asks(synced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker holds it meanwhile."""

    def hold(_seconds: float) -> None:
        PlaybookRun.objects.update(state="needs_attention", question={"text": "Was it done?", "reason": "x"})

    monkeypatch.setattr("playbooks_engine.management.commands.run_playbook.time.sleep", hold)
    with pytest.raises(CommandError, match=r"needs_attention: Was it done\?") as caught:
        run("short", "--wait", "20")
    assert caught.value.returncode == 2
