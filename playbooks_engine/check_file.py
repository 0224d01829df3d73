"""Checks one playbook file: imports it in a process of its own and reads its text.

The import happens elsewhere because a file under construction may do anything while it is
imported: never return, end the process, change the modules of ours. ``python -m
playbooks_engine.check_file FILE REPORT [ROOT]`` is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from playbooks_engine.lint import Finding, read
from playbooks_engine.sources import is_entry

TIMEOUT = 30.0  # seconds for the import


@dataclass
class Report:
    """What a check found; JSON types throughout, see :meth:`to_json`."""

    file: str
    playbooks: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    source_hash: str = ""
    details: str = ""
    output: str = ""
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "error"]

    def to_json(self) -> dict[str, Any]:
        return {"ok": not self.errors, **asdict(self)}


def check(path: str | Path, *, root: str | Path | None = None, timeout: float = TIMEOUT) -> Report:
    """Import and read a playbook file.

    Args:
        root: the playbook directory it belongs to (whose files it may import); by default its
            own folder, or the folder that holds its outermost package.
        timeout: seconds after which an import that does not return is an error.
    """
    file = Path(path)
    report = Report(str(path))
    if not file.is_file():
        report.findings.append(Finding("error", "no such file", report.file))
        return report
    folder = Path(root).resolve() if root else _root_of(file)
    if not file.resolve().is_relative_to(folder):
        report.findings.append(Finding("error", f"it does not lie below {folder}", report.file))
        return report
    _import_elsewhere(report, file, folder, timeout)
    text = file.read_bytes().decode("utf-8", "replace")
    report.findings += read(text, report.file)
    if not is_entry(file.resolve().relative_to(folder).as_posix()):
        message = "its name begins with _, so it is not loaded for playbooks, only by neighbours"
        report.findings.append(Finding("warning", message, report.file))
    elif not report.errors and not report.playbooks:
        message = "nothing is registered: no function here is declared with @playbook(...)"
        report.findings.append(Finding("warning", message, report.file))
    return report


def _root_of(file: Path) -> Path:
    folder = file.resolve().parent
    while (folder / "__init__.py").exists() and folder.parent != folder:
        folder = folder.parent
    return folder


def _import_elsewhere(report: Report, file: Path, root: Path, timeout: float) -> None:
    ours = str(Path(__file__).resolve().parent.parent)
    paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "report.json"
        module = "playbooks_engine.check_file"
        command = [sys.executable, "-m", module, str(file), str(answer), str(root)]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            report.output = (error.stdout or b"").decode("utf-8", "replace")
            message = f"importing it did not end within {timeout:g} s"
            report.findings.append(Finding("error", message, report.file))
            return
        report.output = done.stdout.decode("utf-8", "replace")
        if not answer.exists():
            message = f"importing it ended the process (exit code {done.returncode})"
            report.findings.append(Finding("error", message, report.file))
            return
        _take(report, json.loads(answer.read_text()))


def _take(report: Report, answer: dict[str, Any]) -> None:
    if answer["error"] is not None:
        finding = Finding("error", answer["error"], report.file, answer["error_line"])
        report.findings.append(finding)
    report.playbooks = answer["playbooks"]
    report.actions = answer["actions"]
    report.sources = answer["sources"]
    report.source_hash = answer["source_hash"]
    report.details = answer["details"]


def _import_here(path: str, root: str) -> dict[str, Any]:
    """Import the file in this process and describe what became of it in JSON types."""
    from playbooks_engine.loader import load_file

    if os.environ.get("DJANGO_SETTINGS_MODULE"):  # as in a worker, where apps are ready by then
        import django

        django.setup()
    loaded = load_file(path, root)
    file = loaded.files[0]
    return {
        "error": file.error,
        "error_line": file.error_line,
        "details": file.details,
        "sources": list(file.sources),
        "source_hash": file.source_hash,
        "playbooks": [
            {
                "name": spec.name,
                "trigger": spec.trigger,
                "conditions": spec.conditions.to_json(),
                "order": spec.order,
                "priority": spec.priority,
                "on_failure": spec.on_failure,
                "enabled": spec.enabled,
                "aliases": list(spec.aliases),
                "when": spec.when is not None,
                "cron": spec.cron,
                "timeout": spec.timeout,
                "lane": spec.lane,
                "lane_hold": spec.lane_hold,
                "max_concurrent": spec.max_concurrent,
                "description": spec.description,
                "function": spec.function_name,
                "line": spec.line,
            }
            for spec in loaded.registry.ordered()
        ],
        "actions": [
            {
                "name": spec.name,
                "timeout": spec.timeout,
                "retries": spec.retries,
                "retry_backoff": spec.retry_backoff,
                "idempotent": spec.idempotent,
                "verify": spec.verify is not None,
                "line": spec.line,
            }
            for spec in loaded.registry.actions
        ],
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(_import_here(sys.argv[1], sys.argv[3])))
