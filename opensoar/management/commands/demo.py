"""``manage.py demo``: fills an empty installation with the demo."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from opensoar.demo.load import keep_in, load
from opensoar.errors import ServiceError


class Command(BaseCommand):
    help = "Fill an empty installation with a believable week of a security desk. Example: manage.py demo"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--force", action="store_true", help="also beside alerts that are there already")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        credentials = running_credentials()
        try:
            done = load(force=options["force"], keep=keep_in(credentials) if credentials else None)
        except ServiceError as refusal:
            raise CommandError(refusal.detail) from None
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done)))
            return
        if done.password is None:
            self.stdout.write(
                "The demo is loaded already: nothing was changed. An empty database begins anew."
            )
            return
        self.stdout.write(f"Demo loaded: {done.alerts} alerts, {done.incidents} incidents, {done.runs} runs")
        self.stdout.write(f"Users: {', '.join(done.users)}   password: {done.password}   (shown once)")


def running_credentials() -> Path | None:
    """The credentials.env of the installation that runs here, if it is the one whose database this command uses."""
    credentials, running = (
        settings.DATA_DIR / "credentials.env",
        settings.DATA_DIR / "run" / "environment.json",
    )
    url = os.environ.get("DATABASE_URL", "")
    here = url != "" and credentials.exists() and running.exists() and url in running.read_text()
    return credentials if here else None
