"""``manage.py prepare``: what ``up`` does before it serves, in one process because loading Django is the costly part."""

from __future__ import annotations

import io
import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from opensoar.accounts.models import User
from opensoar.accounts.permissions import SCOPES
from opensoar.accounts.services import create_admin, issue_token
from opensoar.actors import Actor
from opensoar.errors import ServiceError
from opensoar.supervisor.instance import write_credentials
from opensoar.supervisor.stamps import STEPS

ADMIN_USERNAME = "admin"


class Command(BaseCommand):
    help = "Migrate, collect static files, sync playbooks, make the first admin. Each line of output is JSON."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "steps", nargs="*", choices=STEPS, metavar="STEP", help=f"some of {', '.join(STEPS)}"
        )
        parser.add_argument(
            "--credentials", type=Path, required=True, help="where credentials.env is written"
        )
        parser.add_argument("--url", required=True, help="the address that credentials.env names")
        parser.add_argument("--demo", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        for step in STEPS:
            if step in options["steps"]:
                began = time.monotonic()
                said = getattr(self, f"_{step}")(options)
                self._tell(done=f"{said} ({time.monotonic() - began:.1f} s)")
        if options["demo"]:
            self._demo(options["credentials"])

    def _migrate(self, options: dict[str, Any]) -> str:
        call_command("migrate", interactive=False, verbosity=0)
        return "Database migrated"

    def _static(self, options: dict[str, Any]) -> str:
        call_command("collectstatic", interactive=False, verbosity=0)
        return "Static files collected"

    def _playbooks(self, options: dict[str, Any]) -> str:
        call_command("sync_playbooks", stdout=io.StringIO())
        return "Playbooks synced"

    def _admin(self, options: dict[str, Any]) -> str:
        """The file is written before the commit: a password that counts is never one that nobody knows."""
        said = "Accounts checked"
        with transaction.atomic():
            if not User.objects.filter(role="admin").exists():
                write_credentials(options["credentials"], first_credentials(options["url"]))
                said = "First admin created"
        if said != "Accounts checked":
            self._tell(created_admin=True)
        return said

    def _demo(self, credentials: Path) -> None:
        """What is in the way of the demo is said; it is no reason not to start."""
        from opensoar.demo.load import keep_in, load  # a start without the demo need not load it

        began = time.monotonic()
        try:
            loaded = load(keep=keep_in(credentials) if credentials.exists() else None)
        except ServiceError as refusal:
            self._tell(done=f"Demo not loaded: {refusal.detail}")
            return
        if loaded.password is not None:
            self._tell(demo={"users": ", ".join(loaded.users), "password": loaded.password})
            self._tell(done=f"Demo loaded ({time.monotonic() - began:.1f} s)")

    def _tell(self, **message: Any) -> None:
        self.stdout.write(json.dumps(message))
        self.stdout.flush()


def first_credentials(url: str) -> dict[str, str]:
    """Make the first admin and the tokens of scripts; what credentials.env says of them."""
    _user, password = create_admin(username=ADMIN_USERNAME)
    if password is None:
        raise CommandError(f"The user {ADMIN_USERNAME} exists but is no admin: run manage.py create_admin")
    actor = Actor.system("first start")
    _token, ingest = issue_token(actor=actor, name="ingest (first start)", scopes=["ingest"])
    _token, api = issue_token(actor=actor, name="admin (first start)", scopes=list(SCOPES))
    return {
        "OPENSOAR_URL": url,
        "OPENSOAR_ADMIN_USERNAME": ADMIN_USERNAME,
        "OPENSOAR_ADMIN_PASSWORD": password,
        "OPENSOAR_INGEST_TOKEN": ingest,
        "OPENSOAR_API_TOKEN": api,
    }
