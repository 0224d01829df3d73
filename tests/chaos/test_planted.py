"""Bugs planted in a copy of the engine, one at a time; the test that is there for each must fail. By ``make chaos``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.stack import BASE_DIR

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif("CHAOS_PLANTED" not in os.environ, reason="minutes long: see make chaos"),
]
RULES = "tests/chaos/test_rules.py::test_"
TAKEN_OVER = RULES + "a_run_that_another_worker_takes_over_ends_as_if_nothing_had_happened"
ENGINE = "tests/playbooks_engine/test_engine.py::test_"
CANCEL = "tests/playbooks_engine/test_cancel_run.py::test_"


@dataclass
class Bug:
    """``changes``: file, what stands there once, and what is put in its place."""

    name: str
    changes: list[tuple[str, str, str]]
    caught_by: str
    because: str = ""  # part of what the failing test says


BUGS = [
    Bug(
        "fence check dropped",
        [("journal", "{claim for claim in claims if claim in current}", "set(claims)")],
        RULES + "what_a_worker_writes_that_lost_its_claim_hits_nothing",
    ),
    Bug(
        "intent not awaited",
        [
            (
                "runner",
                "add(call_id)\n            await self.durable(",
                "add(call_id)\n            self.later(",
            )
        ],
        RULES + "a_call_waits_until_its_intent_is_stored",
    ),
    Bug(
        "done-check skipped",
        [("runner", "            if call.is_over:\n                return await self.recorded(call)\n", "")],
        TAKEN_OVER,
        "what is done is not done again",
    ),
    Bug(
        "order ignored",
        [("preparation", '.order_by("sequence_id", "position")', '.order_by("sequence_id", "-position")')],
        ENGINE + "playbooks_of_one_alert_run_in_ascending_order_over_all_triggers",
    ),
    Bug(
        "rescue without lease",
        [("beat", "now - known[1] >= self._lease", "now - known[1] >= 0")],
        RULES + "a_silent_worker_is_believed_alive_for_a_lease",
    ),
    Bug("verify ignored", [("unknown", "if spec.verify is None:", "if True:")], TAKEN_OVER),
    Bug(
        "own-beat check dropped",
        [("worker", "self._draining.is_set() or not self.beat.is_fresh():", "self._draining.is_set():")],
        RULES + "a_worker_that_others_may_believe_dead_starts_no_call",
    ),
    Bug(
        "lock of promotion and takeover dropped",
        [("journal", "state = 'running' ORDER BY id FOR SHARE", "state = 'running' ORDER BY id")],
        RULES + "nobody_takes_a_sequence_over_while_its_worker_stores",
    ),
    Bug(
        "branches of a gather share their keys",
        [("lineage", 'return Lineage(f"{self.path}.{self._children}", self.pending)', "return self")],
        TAKEN_OVER,
    ),
    Bug(
        "a call after detach allowed",
        [("runner", "        self.detached = True\n        if self._released", "        if self._released")],
        # Where the claim is lost too, the fence keeps the call away; a cancelled run still has its claim.
        CANCEL + "a_call_that_is_awaited_is_interrupted_at_once_and_never_made_again",
    ),
    Bug(
        "input read anew on replay",
        [
            (
                "preparation",
                "        self._replayed[run.pk] = job\n        _pass_on(job, run)\n\n    def _load_source",
                "        self._replayed[run.pk] = job\n"
                "        run.subject = encode_arguments(_snapshot(sequence, self._alerts[sequence.alert_id]))\n"
                "        _pass_on(job, run)\n\n    def _load_source",
            )
        ],
        TAKEN_OVER,
        "the input is what it was",
    ),
    Bug(
        "cancel that calls again",
        [
            ("preparation", "if run.cancel_requested_at is not None:", "if False:"),
            (
                "execution",
                'if live.ended_as == "cancelled":',
                'if live.ended_as == "cancelled":\n            await self.engine.give_back(self.claim)\n'
                "            return False\n        if False:",
            ),
        ],
        CANCEL + "a_call_that_is_awaited_is_interrupted_at_once_and_never_made_again",
    ),
    Bug(
        "exception type lost",
        [("codec", "found = self._find_class(namespace)", "found = None")],
        TAKEN_OVER,
    ),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of its own, with the environment of this one."""
    target = tmp_path_factory.mktemp("planted") / "tree"
    out = shutil.ignore_patterns(".venv", ".git", "var", "__pycache__", "node_modules")
    shutil.copytree(BASE_DIR, target, ignore=out)
    (target / ".venv").symlink_to(BASE_DIR / ".venv")
    return target


def outcome(tree: Path, test: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "90", test]
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DATABASE_", "REDIS_", "OPENSOAR_", "PYTEST_"))
    }
    return subprocess.run(argv, cwd=tree, env=env, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize(
    "test", sorted({bug.caught_by for bug in BUGS}), ids=lambda test: test.rpartition("_")[2]
)
def test_without_a_bug_they_pass(copy: Path, test: str) -> None:
    done = outcome(copy, test)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_is_caught(copy: Path, bug: Bug) -> None:
    saved: dict[Path, str] = {}
    try:
        for file, old, new in bug.changes:
            path = copy / "playbooks_engine" / f"{file}.py"
            source = path.read_text()
            saved.setdefault(path, source)
            assert source.count(old) == 1, f"{file}.py has changed: plant this bug anew"
            path.write_text(source.replace(old, new))
        done = outcome(copy, bug.caught_by)
    finally:
        for path, source in saved.items():
            path.write_text(source)
    assert done.returncode == 1, done.stdout[-3000:]
    assert "FAILED" in done.stdout
    assert bug.because in done.stdout, done.stdout[-3000:]
