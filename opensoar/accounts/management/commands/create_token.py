"""manage.py create_token"""

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opensoar.accounts.services import issue_token, resolve_partner
from opensoar.actors import Actor
from opensoar.errors import ServiceError


class Command(BaseCommand):
    help = "Create an API token, shown once. Example: manage.py create_token siem --scope ingest --source elastic"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--scope", action="append", required=True, help="ingest read write respond admin")
        parser.add_argument("--partner", help="slug of the partner it is bound to")
        parser.add_argument("--source", default="", help="fixes the source of what it sends")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        who = Actor.system("create_token")
        try:
            partner = resolve_partner(o["partner"], actor=who) if o["partner"] else None
            made = issue_token(
                actor=who, name=o["name"], scopes=o["scope"], partner=partner, source=o["source"]
            )
        except ServiceError as refusal:
            raise CommandError(refusal.detail) from None
        answer = json.dumps({"id": str(made[0].pk), "token": made[1]})
        self.stdout.write(answer if o["json"] else f"Token (shown once): {made[1]}")
