"""manage.py set_secret NAME"""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from opensoar.actors import Actor
from opensoar.edits import UNSET
from opensoar.errors import ServiceError
from playbooks_engine.secrets import set_secret


class Command(BaseCommand):
    help = (
        "Store what secret(NAME) gives playbooks, or replace it. The value is read from standard input (or asked for), "
        "never from the command line, which other processes can read."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.epilog = "Example: manage.py set_secret vt_api_key < key.txt"
        parser.add_argument("name")
        parser.add_argument("--partner", metavar="SLUG", help="only for this partner's runs")
        parser.add_argument("--description", default=UNSET, help="what it is for")

    def handle(self, *args: Any, **o: Any) -> None:
        try:
            value = getpass.getpass(f"{o['name']}: ") if sys.stdin.isatty() else sys.stdin.read()
            secret = set_secret(
                actor=Actor.system("set_secret"),
                name=o["name"],
                value=value.removesuffix("\n").removesuffix("\r"),  # what echo and editors add
                partner=o["partner"],
                description=o["description"],
            )
        except ServiceError as error:
            raise CommandError(error.detail) from error
        except UnicodeDecodeError:
            raise CommandError("what was read is no UTF-8 text; store binary values as base64") from None
        whose = secret.partner.slug if secret.partner else "every partner"
        self.stdout.write(f"secret {secret.name} stored, version {secret.version}, for runs of {whose}")
