"""manage.py create_admin"""

import argparse
import json
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opensoar.accounts.services import create_admin
from opensoar.errors import ServiceError


class Command(BaseCommand):
    help = "Create an admin and print the password once. Example: manage.py create_admin --username alice"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--username", default="admin")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        given = os.environ.get("OPENSOAR_ADMIN_PASSWORD")  # an argument would stand in every process list
        try:
            user, password = create_admin(username=o["username"], password=given)
        except ServiceError as refusal:
            raise CommandError(refusal.detail) from None
        said = f"Password (shown once): {password}" if password else "It exists and keeps its password."
        answer = {"username": user.username, "password": password, "created": password is not None}
        self.stdout.write(json.dumps(answer) if o["json"] else f"Admin {user.username}. {said}")
