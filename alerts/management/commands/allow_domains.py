"""manage.py allow_domains"""

import argparse
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alerts.services import allow_domains
from opensoar.actors import Actor
from opensoar.errors import Invalid

MOST = 10_000  # every process remembers them all


class Command(BaseCommand):
    help = (
        "Call the first domains of a list harmless: one on a line, or lines such as 1,example.com (Tranco, Umbrella, "
        "Majestic). Their names get the tag allowed; URLs on them do not."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--limit", type=int, default=1_000, help=f"so many of them, at most {MOST}")
        parser.add_argument("--reason", default="among the most visited domains")

    def handle(self, *args: Any, **o: Any) -> None:
        if not 1 <= o["limit"] <= MOST:
            raise CommandError(f"--limit takes 1 to {MOST}")
        try:
            with open(o["file"], encoding="utf-8") as file:
                lines = [line.strip() for line in islice(file, o["limit"])]
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{o['file']} cannot be read: {error}") from None
        names = [line.split(",")[1] if line.partition(",")[0].isdigit() else line for line in lines if line]
        try:
            new, refused = allow_domains(actor=Actor.system("allow_domains"), names=names, reason=o["reason"])
        except Invalid as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{new} new, {len(names) - new - len(refused)} known, {len(refused)} refused")
        for name in refused[:20]:
            self.stderr.write(f"no domain of somebody's own: {name[:100]}")
