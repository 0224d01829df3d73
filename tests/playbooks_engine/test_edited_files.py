"""Editing a playbook file: all workers run what it says now, and what began before ends as it began."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from playbooks_engine.models import ActionResult, Playbook, PlaybookVersion, Sequence
from tests.playbooks_engine.engines import eventually, finished, receive, running, runs_of, write

pytestmark = pytest.mark.usefixtures("fresh_database")
SOURCE = """
from opensoar import playbook, sleep
from shared_words import WORD

@playbook(trigger="webhook")
async def says(alert):
    await sleep(3600)
    return [WORD, "first edition"]
"""


def test_a_run_that_waited_across_an_edit_ends_on_its_own_version(tmp_path: Path) -> None:
    write(tmp_path, "shared_words", 'WORD = "old"\n')
    write(tmp_path, "says", SOURCE)
    with running(tmp_path) as engine:
        before = receive()
        eventually(lambda: [run.state for run in runs_of(before)] == ["waiting"])
        loaded = engine.versions["says"]
        write(tmp_path, "shared_words", 'WORD = "new"\n')  # what it imports is part of it
        write(tmp_path, "says", SOURCE.replace("first", "second").replace("3600", "0"))
        eventually(lambda: engine.versions["says"] != loaded)
        (after,) = finished(receive())
        assert after.result_value == ["new", "second edition"]
        ActionResult.objects.filter(run__sequence__alert=before).update(wake_at=timezone.now())
        Sequence.objects.filter(alert=before).update(wake_at=timezone.now())
        (run,) = finished(before)
    assert (run.state, run.result_value) == ("success", ["old", "first edition"])
    assert run.source_id == loaded != after.source_id
    assert PlaybookVersion.objects.filter(pk=loaded).exists()


def test_an_edit_reaches_every_worker(tmp_path: Path) -> None:
    write(tmp_path, "says", SOURCE.replace("from shared_words import WORD\n", "WORD = 1\n"))
    with running(tmp_path) as one, running(tmp_path) as other:
        eventually(lambda: one.versions == other.versions != {})
        loaded = one.versions["says"]
        edited = SOURCE.replace("from shared_words import WORD\n", "WORD = 2\n").replace("says", "speaks")
        write(tmp_path, "says", edited)
        eventually(lambda: one.versions == other.versions and loaded not in one.versions.values())
        assert set(one.versions) == set(other.versions) == {"speaks"}
    assert Playbook.objects.get(name="says").missing_since is not None
