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

    def handle(self, *args: Any, **options: Any) -> None:
        try:  # a password on the command line would be in every process list
            user, password = create_admin(
                username=options["username"], password=os.environ.get("OPENSOAR_ADMIN_PASSWORD")
            )
        except ServiceError as refusal:
            raise CommandError(refusal.detail) from None
        if options["json"]:
            self.stdout.write(
                json.dumps({"username": user.username, "password": password, "created": bool(password)})
            )
        elif password is None:
            self.stdout.write(f"{user.username} exists and keeps its password")
        else:
            self.stdout.write(f"Admin {user.username} created. Password (shown once): {password}")
