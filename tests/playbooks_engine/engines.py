"""An engine in this process, on a database of its own, with playbook files written by the test."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from django.utils import timezone

from alerts import ingest
from alerts.intake import Envelope, read_body
from alerts.models import Alert
from alerts.senders import Sender
from playbooks_engine.models import ActionResult, PlaybookRun, Sequence
from playbooks_engine.worker import Engine

LEASE = 1.5
PATIENCE = 20.0  # a limit for waits, never a claim about speed


# The head of a playbook file whose actions note what they do in a file, apart from the engine's own tables.
LEDGER_HEAD = """
import asyncio
from pathlib import Path
from opensoar import action, playbook
BOOK = Path({path!r})

def note(line):
    with BOOK.open("a") as book:
        book.write(line + "\\n")
"""


@contextlib.contextmanager
def running(directory: Path, *, lease: float = LEASE) -> Iterator[Engine]:
    """An engine that claims and runs until the block ends."""
    engine = Engine(directories=[str(directory)], lease=lease, capacity=100)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop(timeout=20)


def write(directory: Path, name: str, source: str) -> Path:
    """A playbook file."""
    path = directory / f"{name}.py"
    path.write_text(dedent(source))
    return path


def receive(**payload: Any) -> Alert:
    """Store an alert as the webhook does, with the runs it triggers."""
    envelope = Envelope(sender=Sender(token_id=None, name="test"))
    incoming = read_body(json.dumps({"title": "Test", "severity": "high", **payload}).encode(), envelope)
    ingest.store(incoming)
    assert incoming[0].outcome is not None
    return Alert.objects.get(pk=incoming[0].outcome.alert_id)


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first true value of ``condition``; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"did not become true within {seconds:g} s")


def runs_of(alert: Alert) -> list[PlaybookRun]:
    """Its runs in order."""
    return list(
        PlaybookRun.objects.filter(sequence__alert=alert).select_related("playbook").order_by("position")
    )


def finished(alert: Alert) -> list[PlaybookRun]:
    """Its runs once every one of them is final."""
    return eventually(lambda: (runs := runs_of(alert)) and all(run.is_final for run in runs) and runs)  # type: ignore[no-any-return]


def ledger(path: Path) -> list[str]:
    """What the actions of a test did, line by line: kept in a file, apart from the engine's own tables."""
    return path.read_text().splitlines() if path.exists() else []


def lose(engine: Engine) -> None:
    """Let the engine go as a process does that is killed: what it was about is unknown to whoever comes after it."""
    engine.loop.call_soon_threadsafe(engine._let_go_of_everything)
    engine._draining.set()


def make_due(alert: Alert) -> None:
    """The run's durable sleep is over."""
    ActionResult.objects.filter(kind="sleep", run__sequence__alert=alert).update(wake_at=timezone.now())
    Sequence.objects.filter(alert=alert, state="waiting").update(wake_at=timezone.now())
