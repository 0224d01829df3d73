"""What a stranger meets first: `make`, the bootstrap script, the locks, the documents that name settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import opensoar
from opensoar.embedded.postgres import MAX_CONNECTIONS

BASE_DIR = Path(__file__).resolve().parent.parent
LOCKS = ("base", "dev")


def checkout(target: Path) -> Path:
    """As much of a fresh clone as the bootstrap script reads."""
    for name in ("deploy/bootstrap.sh", ".python-version", "requirements/base.txt"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BASE_DIR / name, target / name)
    return target


def programs(target: Path, **scripts: str) -> Path:
    """A directory for PATH that holds the named scripts and what a shell script needs, and no Python."""
    target.mkdir()
    for name in ("sh", "cat", "dirname", "cksum", "rm", "mkdir", "grep", "tail", "printf", "env"):
        (target / name).symlink_to(str(shutil.which(name)))
    for name, text in {"id": "echo 1000"}.items() | scripts.items():
        (target / name).write_text(f"#!/bin/sh\n{text}\n")
        (target / name).chmod(0o755)
    return target


def bootstrap(clone: Path, path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "HOME": str(clone)} | env
    argv = ["/bin/sh", str(clone / "deploy" / "bootstrap.sh"), "base"]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)


def test_without_a_python_one_line_says_so_and_how_to_get_one(tmp_path: Path) -> None:
    old = 'case "$2" in *version_info*) exit 1;; esac'
    done = bootstrap(checkout(tmp_path / "clone"), programs(tmp_path / "bin", python3=old))
    assert done.returncode == 1
    assert done.stderr == (
        "OpenSOAR: no Python 3.12 or newer was found. "
        "Cure: pyenv install 3.13, or set PYTHON=/path/to/python3\n"
    )


def test_a_python_of_pyenv_is_found_where_no_shim_is(tmp_path: Path) -> None:
    clone = checkout(tmp_path / "clone")
    version = clone / ".pyenv" / "versions" / "3.13.0" / "bin"
    version.mkdir(parents=True)
    (version / "python3").write_text('#!/bin/sh\n[ "$1" != -m ] || exit 1\necho 3.13\n')
    (version / "python3").chmod(0o755)
    done = bootstrap(clone, programs(tmp_path / "bin"))
    assert done.stderr.splitlines() == [
        "Creating .venv with 3.13",
        "OpenSOAR: Python's venv module is missing. Cure: sudo apt-get install python3.13-venv",
    ]
    assert not (clone / ".venv").exists()  # nothing half-made stays


def test_a_lock_that_has_not_changed_costs_nothing(tmp_path: Path) -> None:
    clone = checkout(tmp_path / "clone")
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@" >>calls\n')
    python.chmod(0o755)
    path = programs(tmp_path / "bin")
    first = bootstrap(clone, path)
    assert first.returncode == 0, first.stderr
    called = (clone / "calls").read_text()
    assert "-m pip install" in called
    assert "--require-hashes -r requirements/base.txt" in called
    assert "-m opensoar.embedded" in called
    (clone / "calls").unlink()
    second = bootstrap(clone, path)
    assert (second.returncode, second.stderr) == (0, "")
    assert "pip" not in (clone / "calls").read_text()
    with (clone / "requirements" / "base.txt").open("a") as lock:
        lock.write("# changed\n")
    assert bootstrap(clone, path).returncode == 0
    assert "-m pip install" in (clone / "calls").read_text()


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_by_hash_and_name_no_index(lock: str) -> None:
    text = (BASE_DIR / "requirements" / f"{lock}.txt").read_text()
    assert "://" not in text
    assert not re.search(
        r"^-{1,2}(i|index-url|extra-index-url|find-links|trusted-host)\b", text, re.MULTILINE
    )
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert len(blocks) > 50
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]
    names = {re.split(r"[=\[]", block)[0] for block in blocks}
    assert "opensoar" not in names  # somebody else's package


def test_ci_runs_what_the_readme_says() -> None:
    script = (BASE_DIR / ".ci" / "run").read_text()
    assert script.splitlines()[-1] == "make test"
    assert "set -euo pipefail" in script
    assert os.access(BASE_DIR / ".ci" / "run", os.X_OK)


def test_the_package_under_test_is_this_checkout() -> None:
    assert Path(opensoar.__file__).resolve() == BASE_DIR / "opensoar" / "__init__.py"


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    read: set[str] = set()
    for app in ("opensoar", "alerts", "incidents", "playbooks_engine"):
        for path in (BASE_DIR / app).rglob("*.py"):
            read |= set(
                re.findall(
                    r'env_(?:str|bool|int|float|list|secret|networks)\(\s*"([A-Z_]+)"', path.read_text()
                )
            )
    text = (BASE_DIR / "docs" / "operations.md").read_text()
    table = text.split("## Environment")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    assert documented == read


def test_the_connection_budget_fits() -> None:
    text = (BASE_DIR / "docs" / "operations.md").read_text()
    table = text.split("## Connection budget")[1].split("\n## ")[0]
    *parts, total = [int(n) for n in re.findall(r"\| \**(\d+)\** \|$", table, re.MULTILINE)]
    assert sum(parts) == total
    assert total < MAX_CONNECTIONS
    assert f"({MAX_CONNECTIONS}" in table or f"allow {MAX_CONNECTIONS} connections" in table
