import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from opensoar.accounts.models import Partner
from opensoar.accounts.services import issue_token, resolve_partner
from opensoar.actors import Actor
from opensoar.errors import ServiceError


class Command(BaseCommand):
    help = "Create an API token, shown once. Example: manage.py create_token siem --scope ingest --source elastic"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--scope", action="append", required=True, help="ingest read write respond admin")
        parser.add_argument("--partner", help="slug of the partner it is bound to")
        parser.add_argument("--source", default="", help="fixes the source of what it sends")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, name: str, scope: list[str], partner: str | None, source: str, **o: Any) -> None:
        who = Actor.system("create_token")
        if partner and not Partner.objects.filter(slug=partner).exists():
            self.stderr.write(f"Nobody knew the partner {partner!r} before: it is made now.")
        try:
            bound = resolve_partner(partner, actor=who) if partner else None
            token, text = issue_token(actor=who, name=name, scopes=scope, partner=bound, source=source)
        except ServiceError as refusal:
            raise CommandError(refusal.detail) from None
        plain = f"Token (shown once): {text}"
        self.stdout.write(json.dumps({"id": str(token.pk), "token": text}) if o["json"] else plain)
