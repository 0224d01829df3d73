"""``manage.py demo``: fills an empty installation with the demo."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opensoar.demo.load import load
from opensoar.errors import ServiceError
from opensoar.supervisor.instance import read_credentials, write_credentials


class Command(BaseCommand):
    help = "Fill an empty installation with a believable week of a security desk. Example: manage.py demo"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--force", action="store_true", help="also beside alerts that are there already")
        parser.add_argument(
            "--credentials", type=Path, help="a credentials.env that the demo's password is added to"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["credentials"]

        def keep(password: str) -> None:
            if path is not None:
                write_credentials(path, read_credentials(path) | {"OPENSOAR_DEMO_PASSWORD": password})

        try:
            done = load(force=options["force"], keep=keep)
        except ServiceError as refusal:
            raise CommandError(refusal.detail) from None
        if done.password is None:
            self.stdout.write(
                "The demo is loaded already; nothing was changed. To begin anew, use an empty database."
            )
            return
        self.stdout.write(f"Demo loaded: {done.alerts} alerts, {done.incidents} incidents, {done.runs} runs")
        self.stdout.write(f"Users: {', '.join(done.users)}   password: {done.password}   (shown once)")
