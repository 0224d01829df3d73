"""The chaos harness, short: enough faults to catch a broken rule, small enough for every test run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.stack import BASE_DIR

pytestmark = pytest.mark.timeout(240)


def run(tmp_path: Path, *options: str) -> dict[str, Any]:
    """The report of a run in a process of its own, which ends everything that it starts."""
    report = tmp_path / "report.json"
    argv = [
        sys.executable,
        "-m",
        "tests.chaos",
        "--json",
        str(report),
        "--keep",
        str(tmp_path / "kept"),
        *options,
    ]
    done = subprocess.run(argv, cwd=BASE_DIR, capture_output=True, text=True, timeout=220, check=False)
    assert report.exists(), done.stdout + done.stderr
    print(done.stdout)
    found: dict[str, Any] = json.loads(report.read_text())
    broken = {name: lines for name, lines in found["violations"].items() if lines}
    assert not broken, f"seed {found['seed']}: {broken}"
    return found


def test_every_invariant_holds_while_everything_is_killed(tmp_path: Path) -> None:
    report = run(tmp_path)
    assert report["calls"] >= 2000
    assert report["faults"] == {"kill": 30, "pause": 10, "crash": 2, "flush": 5}
    assert report["replays"] > 0


def test_without_faults_nothing_is_ever_replayed(tmp_path: Path) -> None:
    report = run(tmp_path, "--no-faults", "--calls", "300", "--workers", "2")
    assert (report["replays"], report["repeats marked"], report["questions answered"]) == (0, 0, 0)
