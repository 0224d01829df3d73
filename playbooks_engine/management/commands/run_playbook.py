"""manage.py run_playbook NAME"""

import argparse
import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alerts.access import get_alert_for
from opensoar.actors import Actor
from opensoar.errors import ServiceError
from playbooks_engine.models import Playbook, PlaybookRun
from playbooks_engine.services import start_run


class Command(BaseCommand):
    help = "Run a playbook by hand and wait for its end (a worker must be running)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.epilog = "Example: manage.py run_playbook escalate_critical_alert --alert 01a2…"
        parser.add_argument("name")
        parser.add_argument("--alert", help="id of the alert it is about")
        parser.add_argument("--input", type=json.loads, help="JSON handed to the playbook")
        parser.add_argument("--timeout", type=float, default=300, help="seconds to wait; 0: do not wait")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        actor = Actor.system("run_playbook")
        playbook = Playbook.objects.filter(name=o["name"]).first()
        if playbook is None:
            raise CommandError(
                f"no playbook is called {o['name']!r}; manage.py sync_playbooks loads new files"
            )
        try:
            alert = get_alert_for(actor, o["alert"], "alerts:read") if o["alert"] else None
            run = start_run(actor=actor, playbook=playbook, alert=alert, input=o["input"])
        except ServiceError as error:
            raise CommandError(error.detail) from error
        run = _wait(run, o["timeout"])
        shown = {"run_id": str(run.pk), "state": run.state, "result": run.result_value, "error": run.error}
        self.stdout.write(
            json.dumps(shown) if o["json"] else f"run {run.pk}: {run.state} {run.result or run.error}"
        )
        if run.state == PlaybookRun.State.FAILED:
            raise CommandError(f"{playbook.name} failed: {run.error}")


def _wait(run: PlaybookRun, seconds: float) -> PlaybookRun:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and run.state in ("pending", "running"):
        time.sleep(0.1)
        run.refresh_from_db()
    return run
