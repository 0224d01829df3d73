"""check_playbook: what registers, errors with their lines, warnings of what replay cannot repeat."""

import json
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from playbooks_engine.check_file import check
from playbooks_engine.lint import read

GOOD = '''"""A good file."""
from opensoar import action, playbook

from helpers import limit

@action(timeout=30, retries=2, idempotent=True)
async def look_up(ip): ...

@playbook(trigger="webhook", conditions={"severity__gte": "high"}, order=10, aliases=["old"])
async def good(alert):
    """Does good."""
    await look_up(alert.source_ip)
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)

    def write(text, name="book.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    write("limit = 5\n", "helpers.py")
    return write


def remarks(text):
    return [(finding.level, finding.line, finding.message) for finding in read(text, "book.py")]


def test_what_registers_is_shown(file):
    report = check(file(GOOD))
    assert report.findings == []
    [playbook] = report.playbooks
    assert playbook["name"] == "good"
    assert playbook["conditions"] == {"severity__gte": "high"}
    assert (playbook["trigger"], playbook["order"], playbook["line"]) == ("webhook", 10, 9)
    assert (playbook["aliases"], playbook["description"]) == (["old"], "Does good.")
    assert [(a["name"], a["retries"], a["idempotent"]) for a in report.actions] == [("look_up", 2, True)]
    assert report.sources == ["book.py", "helpers.py"]
    assert len(report.source_hash) == 64
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_a_schedule_is_shown_with_its_times(file):
    text = "from opensoar import playbook\n@playbook('schedule', cron='0 7 * * 1')\nasync def monday(input): ...\n"
    path = file(text)
    [playbook] = check(path).playbooks
    assert (playbook["cron"], playbook["timeout"], playbook["lane"]) == ("0 7 * * 1", None, None)
    assert "trigger schedule 0 7 * * 1" in command(path)[0]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("def f(:\n", 1, "SyntaxError"),
        ("\nraise KeyError('x')", 2, "KeyError: 'x'"),
        ("import sys\nsys.exit(3)", 2, "SystemExit"),
        ("from opensoar import playbook\nplaybook(ordr=1)", 2, "did you mean 'order'"),
        ("import os\nos._exit(7)", None, "ended the process .exit code 7"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", None, "exit code -9"),
        ("while True: pass", None, "did not end within 1 s"),
    ],
)
def test_errors_have_their_line_and_the_check_survives_them(file, text, line, words):
    report = check(file(text), timeout=1 if "while" in text else 30)
    [error] = report.errors
    assert error.line == line
    assert re.search(words, error.message)
    assert report.to_json()["ok"] is False


def test_what_it_prints_does_not_disturb(file):
    report = check(file("print('{\"ok\": false}')\n" + GOOD))
    assert report.errors == []
    assert report.output == '{"ok": false}\n'


def test_other_remarks(file, tmp_path):
    assert "nothing is registered" in check(file("x = 1")).findings[0].message
    assert "begins with _" in check(file("x = 1", "_own.py")).findings[0].message
    assert check(tmp_path / "nowhere.py").errors[0].message == "no such file"
    assert "does not lie below" in check(file(GOOD), root=tmp_path / "other").errors[0].message


def test_the_root_decides_what_can_be_imported(file, tmp_path):
    nested = file(GOOD, "sub/book.py")
    assert "No module named 'helpers'" in check(nested).errors[0].message
    assert check(nested, root=tmp_path).errors == []


def test_where_there_are_settings_apps_are_ready_as_in_a_worker(file, monkeypatch):
    book = file("from django.apps import apps\napps.check_models_ready()\n" + GOOD)
    assert "AppRegistryNotReady" in check(book).errors[0].message
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "opensoar.settings")
    assert check(book).errors == []


HEAD = """import datetime, random, socket, time, uuid
import httpx, requests
from datetime import datetime as dt
from uuid import uuid4
from opensoar import action, playbook
import opensoar
"""


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("datetime.datetime.now()", "datetime.datetime.now"),
        ("dt.now()", "datetime.datetime.now"),
        ("dt.utcnow()", "datetime.datetime.utcnow"),
        ("datetime.date.today()", "datetime.date.today"),
        ("time.time()", "time.time"),
        ("random.random()", "random.random"),
        ("random.choice([1])", "random.choice"),
        ("uuid4()", "uuid.uuid4"),
        ("uuid.uuid4().hex.upper()", "uuid.uuid4"),
        ("httpx.get('x')", "httpx.get"),
        ("[socket.create_connection(x) for x in y]", "socket.create_connection"),
        ("(lambda: time.time())()", "time.time"),
        ("os.environ.get('X')", "os.environ.get"),
    ],
)
def test_unrepeatable_calls_in_a_playbook_are_warned_of(call, name):
    text = f"{HEAD}import os\n@playbook('webhook')\nasync def book(alert):\n    x = {call}\n"
    [(level, line, message)] = remarks(text)
    assert (level, line) == ("warning", 10)
    assert message.startswith(f"{name}() asks")
    assert "playbook book" in message


@pytest.mark.parametrize("decorator", ["@action(idempotent=True)", "@opensoar.action(idempotent=False)"])
def test_the_same_calls_in_an_action_are_fine(decorator):
    text = f"{HEAD}{decorator}\nasync def act():\n    return dt.now(), random.random(), httpx.get('x')\n"
    text += "@playbook()\nasync def book(alert):\n    await act()\n"
    assert remarks(text) == []


def test_plain_functions_of_the_file_are_followed():
    text = f"{HEAD}def stamp():\n    return inner()\ndef inner():\n    return uuid4()\n"
    assert remarks(text) == []
    text += "@opensoar.playbook()\nasync def book(alert):\n    stamp()\n"
    [(level, line, message)] = remarks(text)
    assert (level, line) == ("warning", 10)
    assert "in inner()" in message


def test_recursion_of_plain_functions_ends():
    text = f"{HEAD}def a(): b()\ndef b(): a()\n@playbook()\nasync def book(alert): a()\n"
    assert remarks(text) == []


@pytest.mark.parametrize("call", ["time.sleep(1)", "requests.get('x')"])
def test_blocking_calls_in_async_functions_are_warned_of(call):
    blocking = f"{HEAD}@action(idempotent=True)\nasync def act():\n    {call}\n"
    [(level, line, message)] = remarks(blocking)
    assert (level, line) == ("warning", 9)
    assert "blocks the worker" in message
    assert remarks(blocking.replace("async def", "def")) == []


def test_undeclared_idempotence_is_noted():
    text = f"{HEAD}@action(timeout=3)\nasync def act(): ...\n@action(**options)\nasync def other(): ...\n"
    text += "@action(verify=other)\nasync def verified(): ...\n"
    [(level, line, message)] = remarks(text)
    assert (level, line) == ("note", 8)
    assert "action act" in message


def test_a_text_that_does_not_parse_has_no_remarks():
    assert read("def f(:", "book.py") == []


# --- the command -------------------------------------------------------------------------------


def command(path, *options):
    out, err = StringIO(), StringIO()
    try:
        call_command("check_playbook", str(path), *options, stdout=out, stderr=err)
    except CommandError as error:
        return out.getvalue(), err.getvalue(), str(error)
    return out.getvalue(), err.getvalue(), None


def test_the_command_shows_and_succeeds(file):
    out, err, failure = command(file(GOOD))
    assert failure is None
    assert err == ""
    assert 'playbook good  order 10  trigger webhook  conditions {"severity__gte": "high"}' in out
    assert "action   look_up  timeout 30 s  retries 2" in out


def test_the_command_fails_with_one_line(file):
    path = file("x = 1\nraise ValueError('no')")
    _, err, failure = command(path)
    assert failure == f"{path}:2: error: ValueError: no"
    assert "raise ValueError('no')" in err
    assert "\n" not in failure


def test_the_command_speaks_json(file):
    out, _, failure = command(file(GOOD), "--json")
    assert failure is None
    assert json.loads(out)["playbooks"][0]["name"] == "good"
    out, _, failure = command(file("raise ValueError"), "--json")
    assert json.loads(out)["ok"] is False
    assert failure


def test_the_command_knows_the_playbook_directories(file, tmp_path, settings):
    nested = file(GOOD, "sub/book.py")
    assert "No module named 'helpers'" in command(nested)[2]
    settings.PLAYBOOK_DIRS = [str(tmp_path)]
    assert command(nested)[2] is None
