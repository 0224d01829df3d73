"""Text that PostgreSQL cannot hold, from wherever it comes: it is stored as far as possible, and nothing runs for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from playbooks_engine.models import PlaybookFile, RunLog, Sequence
from playbooks_engine.services import decide_run
from tests.factories import SYSTEM
from tests.playbooks_engine.engines import (
    LEDGER_HEAD,
    eventually,
    finished,
    ledger,
    lose,
    receive,
    running,
    runs_of,
    write,
)

pytestmark = pytest.mark.usefixtures("fresh_database")
HEAD = (
    LEDGER_HEAD
    + "from opensoar import add_current_alert_comment, log, request_approval\nODD = 'a\\0b\\udcff'\n"
)
WAYS = {
    "an action's error": "await fails()",
    "the playbook's own error": "raise ValueError(ODD)",
    "a line that is logged": "log.info(ODD)",
    "an argument": "await takes(ODD)",
    "a comment": "await add_current_alert_comment(ODD)",
    "a question": "await asyncio.wait_for(request_approval(ODD), 1)",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_run_ends_and_its_calls_are_made_once(tmp_path: Path, way: str) -> None:
    book = tmp_path / "book"
    source = f"""
@action()
async def fails():
    note("called")
    raise ValueError(ODD)

@action()
async def takes(text):
    note("called")

@playbook(trigger="webhook")
async def odd(alert):
    {way}
    await takes("plain")
"""
    write(tmp_path, "odd", HEAD.format(path=str(book)) + source)
    with running(tmp_path):
        alert = receive()
        (run,) = finished(alert)
    assert Sequence.objects.get(alert=alert).claims == 1
    assert run.state == ("failed" if "fails" in way or "raise" in way or "approval" in way else "success")
    if "log" in way:
        assert RunLog.objects.get().text == "a\N{REPLACEMENT CHARACTER}b?"


def test_what_must_be_asked_about_can_be_asked(tmp_path: Path) -> None:
    book = tmp_path / "book"
    source = """
@action(idempotent=False)
async def once(text):
    note("called")
    await asyncio.sleep(60)

@playbook(trigger="webhook")
async def odd(alert):
    await once("a\\0b")
"""
    write(tmp_path, "odd", HEAD.format(path=str(book)) + source)
    with running(tmp_path) as engine:
        alert = receive()
        eventually(lambda: ledger(book) == ["called"])
        lose(engine)
    with running(tmp_path):
        eventually(lambda: [run.state for run in runs_of(alert)] == ["needs_attention"])
    (run,) = runs_of(alert)
    assert run.question["detail"]["arguments"] == {"text": "a\N{REPLACEMENT CHARACTER}b"}


def test_what_can_never_be_stored_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "book"
    source = """
@action(idempotent=True)
async def called():
    note("called")

@playbook(trigger="webhook")
async def odd(alert):
    await called()
    await asyncio.sleep(60)
"""
    write(tmp_path, "odd", HEAD.format(path=str(book)) + source)
    monkeypatch.setattr("playbooks_engine.rows.FINISH_CALL", "UPDATE no_such_table SET %s %s %s %s %s %s %s")
    with running(tmp_path):
        alert = receive()
        eventually(lambda: [run.state for run in runs_of(alert)] == ["needs_attention"])
    (run,) = runs_of(alert)
    assert run.question["reason"] == "worker_died"
    assert len(ledger(book)) == 3


def test_a_file_that_cannot_be_stored_stops_no_other(tmp_path: Path) -> None:
    good = "from opensoar import playbook\n\n@playbook(trigger='webhook')\nasync def NAME(alert):\n    'TEXT'\n    return 1\n"
    write(tmp_path, "a_error", "raise ValueError('\\0 and \\udcff')\n")
    write(tmp_path, "b_docstring", good.replace("NAME", "odd").replace("TEXT", "\\0"))
    write(tmp_path, "c_good", good.replace("NAME", "good").replace("TEXT", "Good."))
    with running(tmp_path):
        (run,) = finished(receive())
    assert (run.playbook.name, run.state) == ("good", "success")
    errors = dict(PlaybookFile.objects.exclude(error="").values_list("path", "error"))
    assert sorted(Path(path).stem for path in errors) == ["a_error", "b_docstring"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise Evil()", "Evil: (its message cannot be shown)"),
        ("raise ValueError('y' * 3_000_000)", "ValueError: yyyy"),
        ("return 'y' * 20_000_000", "ResultTooLarge: playbook 'large' returned 20,000,002 bytes"),
    ],
)
def test_what_is_too_large_or_cannot_be_shown_fails_its_run_and_stays_small(
    tmp_path: Path, body: str, error: str
) -> None:
    source = f"""
class Evil(Exception):
    def __str__(self):
        raise RuntimeError("never")

@playbook(trigger="webhook")
async def large(alert):
    {body}
"""
    write(tmp_path, "large", LEDGER_HEAD.format(path=str(tmp_path / "book")) + source)
    with running(tmp_path):
        (run,) = finished(receive())
    assert run.state == "failed"
    assert run.error.startswith(error)
    assert len(run.error) + len(run.traceback) < 150_000


def test_a_run_that_can_never_be_started_asks_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from opensoar import playbook\n\n@playbook(trigger='webhook')\nasync def fine(alert):\n    return 1\n"
    write(tmp_path, "fine", source)

    def broken(*_: object) -> None:
        raise OverflowError("date value out of range")

    with running(tmp_path):
        with monkeypatch.context() as patched:
            patched.setattr("playbooks_engine.preparation._snapshot", broken)
            alert = receive()
            eventually(lambda: [run.state for run in runs_of(alert)] == ["needs_attention"])
        (run,) = runs_of(alert)
        decide_run(actor=SYSTEM, run=run, decision="again")
        (run,) = finished(alert)
    assert run.result_value == 1


def test_a_file_whose_name_is_no_text_stops_no_other(tmp_path: Path) -> None:
    source = "from opensoar import playbook\n\n@playbook(trigger='webhook')\nasync def NAME(alert):\n    return 1\n"
    (tmp_path / os.fsdecode(b"odd\xff.py")).write_text(source.replace("NAME", "odd"))
    write(tmp_path, "good", source.replace("NAME", "good"))
    with running(tmp_path):
        runs = finished(receive())
    assert ("good", "success") in [(run.playbook.name, run.state) for run in runs]
