"""Small changes to the runner and the journal, one at a time; the tests of the engine must notice. ``make mutants``.

What is changed where is cosmic-ray's; each mutant runs in one of a few copies of the tree. A mutant that differs in
annotations only is none. Prints the survivors as diffs, and the share that was killed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.chaos.stack import BASE_DIR

MODULES = ("playbooks_engine/runner.py", "playbooks_engine/journal.py")
TESTS = (  # what costs nothing first
    "tests/playbooks_engine/test_journal.py",
    "tests/playbooks_engine/test_testing_kit.py",
    "tests/playbooks_engine/test_engine.py",
    "tests/playbooks_engine/test_cancel_run.py",
    "tests/playbooks_engine/test_waits.py",
    "tests/playbooks_engine/test_secrets.py",
    "tests/playbooks_engine/test_retry_run.py",
    "tests/chaos/test_rules.py",
    "tests/playbooks_engine/test_any_playbook.py",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change."""

    module: str
    operator: str
    source: str

    def diff(self) -> str:
        """What is different, without the lines around it."""
        before = (BASE_DIR / self.module).read_text().splitlines()
        lines = list(difflib.unified_diff(before, self.source.splitlines(), lineterm="", n=0))[2:]
        return f"{self.module} {self.operator}\n" + "\n".join(lines)


def mutants() -> Iterator[Mutant]:
    """All that differ in what they do, or might."""
    for module in MODULES:
        original = (BASE_DIR / module).read_text()
        seen = {_meaning(original), ""}
        for name in sorted(cosmic_ray.plugins.operator_names()):
            kind = cosmic_ray.plugins.get_operator(name)
            if kind.arguments():
                continue
            operator = kind()
            places = sum(
                1 for node in ast_nodes(get_ast(original)) for _ in operator.mutation_positions(node)
            )
            for occurrence in range(places):
                changed = mutate_code(original, operator, occurrence)
                if changed and (meaning := _meaning(changed)) not in seen:
                    seen.add(meaning)
                    yield Mutant(module, name.rpartition("/")[2], changed)


def _meaning(source: str) -> str:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""  # some of the tool's changes are not even Python
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant("")
    return ast.dump(tree)


class Host:
    """A copy of the tree, and the process that runs its tests (mutant_host.py)."""

    def __init__(self, tree: Path) -> None:
        ours = ("DATABASE_", "REDIS_", "OPENSOAR_", "PYTEST_")
        env = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {
            "PYTHONDONTWRITEBYTECODE": "1"
        }
        out = shutil.ignore_patterns(".venv", ".git", "var", "__pycache__", "node_modules")
        shutil.copytree(BASE_DIR, tree, ignore=out)
        (tree / ".venv").symlink_to(BASE_DIR / ".venv")
        self.tree = tree
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.mutant_host", *TESTS],
            cwd=tree, env=env, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def is_killed(self, mutant: Mutant) -> bool:
        """Whether a test fails of it."""
        path = self.tree / mutant.module
        original = path.read_text()
        path.write_text(mutant.source)
        try:
            return self._verdict() == "killed"
        finally:
            path.write_text(original)

    def check(self) -> None:
        """The tests pass where nothing is changed: else all would count as killed."""
        if self._verdict() != "survived":
            raise SystemExit("The tests fail on the unchanged tree.")

    def close(self) -> None:
        """Its servers end with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _verdict(self) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("run\n")
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"the host in {self.tree} has died")
        return answer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutants", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--number", type=int, default=0, help="so many of them, taken at random (0: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the survivors here")
    options = parser.parse_args()
    found = list(mutants())
    random.Random(options.seed).shuffle(found)
    found = found[: options.number or None]
    print(f"{len(found)} mutants", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="mutants-", dir="/tmp") as folder,
        contextlib.ExitStack() as stack,
    ):
        free: queue.SimpleQueue[Host] = queue.SimpleQueue()
        hosts = [Host(Path(folder) / str(number)) for number in range(options.jobs)]
        for host in hosts:
            stack.callback(host.close)
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(Host.check, hosts))
            for host in hosts:
                free.put(host)

            def judge(mutant: Mutant) -> bool:
                host = free.get()
                try:
                    killed = host.is_killed(mutant)
                finally:
                    free.put(host)
                print("." if killed else f"\nSURVIVED {mutant.diff()}\n", end="", flush=True)
                return killed

            outcomes = list(pool.map(judge, found))
    survivors = [mutant.diff() for mutant, killed in zip(found, outcomes, strict=True) if not killed]
    if options.json:
        options.json.write_text(json.dumps({"mutants": len(found), "survivors": survivors}, indent=1))
    print(f"\nkilled {sum(outcomes)} of {len(found)}: {100 * sum(outcomes) / len(found):.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
