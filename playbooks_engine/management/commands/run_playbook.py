"""manage.py run_playbook NAME"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from alerts.access import get_alert_for
from incidents.access import get_incident_for
from opensoar.actors import Actor
from opensoar.conditions import nearest
from opensoar.errors import ServiceError
from playbooks_engine.dry_run import dry_run
from playbooks_engine.models import ActionResult, Playbook, PlaybookRun
from playbooks_engine.services import start_run

ACTOR = Actor.system("run_playbook")
LOOK_SECONDS = 0.2
NO_SUCCESS, UNDECIDED = 1, 2  # exit statuses


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None


def _json_object(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{path}: must be a JSON object of answers by action name")
    return found


class Command(BaseCommand):
    help = (
        "Run a playbook by hand and show its steps (a worker must be running), or with --dry-run call it here with "
        "nothing done. Exit status: 0 success, 1 no success, 2 needs attention or not finished in time."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.epilog = "Example: manage.py run_playbook escalate_critical_alert --alert 01a2… --dry-run"
        parser.add_argument("name")
        about = parser.add_mutually_exclusive_group()
        about.add_argument("--alert", metavar="ID", help="the alert it is about")
        about.add_argument("--incident", metavar="NUMBER", help="the incident it is about")
        parser.add_argument("--input", type=_json, metavar="JSON", help="handed to the playbook")
        parser.add_argument(
            "--wait", type=float, default=300, metavar="SECONDS", help="0: do not wait for its end"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what it would do; nothing is done or stored"
        )
        parser.add_argument(
            "--answers", type=_json_object, metavar="FILE", help="dry run: results by action name, JSON"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end")

    def handle(self, *args: Any, **o: Any) -> None:
        if o["answers"] is not None and not o["dry_run"]:
            raise CommandError("--answers belongs to --dry-run: a real run asks the actions themselves")
        try:
            about: dict[str, Any] = {"playbook": _playbook(o["name"]), "input": o["input"]}
            if o["alert"]:
                about["alert"] = get_alert_for(ACTOR, o["alert"], "alerts:read")
            if o["incident"]:
                about["incident"] = get_incident_for(ACTOR, o["incident"], "incidents:read")
            if o["dry_run"]:
                self._rehearse(about, answers=o["answers"], as_json=o["json"])
            else:
                self._follow(start_run(actor=ACTOR, **about), seconds=o["wait"], as_json=o["json"])
        except ServiceError as error:
            raise CommandError(error.detail) from error

    # --- a real run --------------------------------------------------------------------------------------------

    def _follow(self, run: PlaybookRun, *, seconds: float, as_json: bool) -> None:
        """Show the steps as they end, until the run does, asks a person, or the time is over."""
        if not as_json:
            self.stdout.write(f"run {run.pk}")
        if seconds <= 0:
            if as_json:
                self.stdout.write(json.dumps({"run_id": str(run.pk), "state": run.state}))
            return
        steps: list[ActionResult] = []
        waits_for = ""
        for ended in _ending_steps(run, seconds):
            steps.append(ended)
            if not as_json:
                self.stdout.write(_line(ended.state, ended.name, ended.input, ended.output, ended.error))
        run.refresh_from_db()
        if run.state == PlaybookRun.State.WAITING:
            waits_for = PlaybookRun.objects.select_related("sequence").get(pk=run.pk).sequence.waits_for
        asked = (run.question or {}).get("text", "")
        self._conclude(
            as_json, state=run.state, result=run.result_value, error=run.error or asked or waits_for,
            steps=[_shown(step.state, step.kind, step.name, step.input, step.output, step.error) for step in steps],
            run_id=str(run.pk),
        )  # fmt: skip

    # --- a dry one ---------------------------------------------------------------------------------------------

    def _rehearse(self, about: dict[str, Any], *, answers: dict[str, Any] | None, as_json: bool) -> None:
        def show(what: str, told: Any) -> None:
            if as_json:
                return
            if what == "log":
                self.stdout.write(f"  log {told[0]}: {told[1]}")
            else:
                done = {"action": "not called", "helper": "not done"}.get(told.kind, "skipped")
                self.stdout.write(_line(done, told.name, told.arguments, told.output, told.error))

        rehearsed = dry_run(answers=answers, watch=show, **about)
        steps = rehearsed.tables.ended
        self._conclude(
            as_json, state=rehearsed.state, result=rehearsed.result, error=rehearsed.error,
            steps=[_shown(s.state, s.kind, s.name, s.arguments, s.output, s.error) for s in steps],
            dry_run=True,
        )  # fmt: skip

    def _conclude(self, as_json: bool, *, state: str, result: Any, error: str, **more: Any) -> None:
        if as_json:
            self.stdout.write(json.dumps({"state": state, "result": result, "error": error} | more))
        elif state == "success":
            self.stdout.write(f"success: {orjson.dumps(result).decode()}")
        if state == "success":
            return
        is_open = state in ("pending", "running", "waiting", "needs_attention")
        if state in ("pending", "running"):
            error = (
                "not finished in time" if state == "running" else "not started in time; is a worker running?"
            )
        raise CommandError(f"{state}: {error}", returncode=UNDECIDED if is_open else NO_SUCCESS)


def _playbook(name: str) -> Playbook:
    found = Playbook.objects.select_related("current", "partner").filter(name=name).first()
    if found is None:
        hint = nearest(name, Playbook.objects.values_list("name", flat=True))
        raise CommandError(f"no playbook is called {name!r}{hint}; manage.py sync_playbooks loads new files")
    return found


def _ending_steps(run: PlaybookRun, seconds: float) -> Iterator[ActionResult]:
    """The run's steps, each once it has ended."""
    deadline = time.monotonic() + seconds
    seen: set[Any] = set()
    while True:
        run.refresh_from_db()
        is_over = run.is_final or run.state == PlaybookRun.State.NEEDS_ATTENTION
        for step in run.calls.exclude(state=ActionResult.State.STARTED).order_by("finished_at", "id"):
            if step.pk not in seen:
                seen.add(step.pk)
                yield step
        if is_over or time.monotonic() >= deadline:
            return
        time.sleep(LOOK_SECONDS)


def _shown(
    state: str, kind: str, name: str, input: str | None, output: str | None, error: str
) -> dict[str, Any]:
    return {
        "name": name, "kind": kind, "state": state, "arguments": json.loads(input or "null"),
        "result": json.loads(output or "null"), "error": error,
    }  # fmt: skip


def _line(state: str, name: str, input: str | None, output: str | None, error: str) -> str:
    """``  success  look_up(ip="10.0.0.1") -> {"known":false}``"""
    given = json.loads(input or "{}")
    arguments = given.items() if isinstance(given, dict) else [("", given)]
    shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in arguments if value is not None)
    return f"  {state:<10} {name}({shown}) -> {error or output or '…'}"
