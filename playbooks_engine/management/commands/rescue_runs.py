"""manage.py rescue_runs"""

import argparse
import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from playbooks_engine.services import rescue_runs


class Command(BaseCommand):
    help = "Watch every worker for one lease and give back the runs of those that are silent (workers do so too)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.epilog = "Example: manage.py rescue_runs --lease 15"
        parser.add_argument("--lease", type=float, default=settings.LEASE_SECONDS, help="seconds of silence")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        if not settings.LEASE_SECONDS <= o["lease"] < float("inf"):  # NaN neither
            raise CommandError(
                f"--lease must be at least the workers' own, {settings.LEASE_SECONDS:g} seconds: "
                "a worker that is silent for less may be well."
            )
        count = rescue_runs(lease=o["lease"])
        self.stdout.write(json.dumps({"sequences": count}) if o["json"] else f"{count} sequences given back")
