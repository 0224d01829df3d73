"""manage.py ingest"""

import argparse
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from alerts.files import ingest_file
from alerts.ingest import Unavailable, sentence_of
from alerts.management.progress import progress, summary
from opensoar.accounts.services import resolve_partner
from opensoar.actors import Actor


class Command(BaseCommand):
    help = "Store the alerts of a file (- is standard input): NDJSON, JSON, CEF or LEEF lines, as a webhook would."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--source", default="", help="fixes the source of every alert")
        parser.add_argument("--partner", help="slug of the partner they belong to")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        partner = resolve_partner(o["partner"], actor=Actor.system("ingest")) if o["partner"] else None
        try:
            with sys.stdin.buffer if o["file"] == "-" else open(o["file"], "rb") as file:
                show = progress(self.stderr)
                states = ingest_file(file, source=o["source"], partner=partner, progress=show)
        except OSError as error:
            raise CommandError(f"{o['file']} cannot be read: {error.strerror}") from None
        except (Unavailable, DatabaseError) as error:
            raise CommandError(
                f"{sentence_of(error)}; send it again: alerts with an id are not stored twice"
            ) from None
        self.stdout.write(json.dumps(states) if o["json"] else summary(states))
