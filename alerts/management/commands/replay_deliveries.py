"""manage.py replay_deliveries"""

import argparse
import json
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alerts.management.progress import progress, summary
from alerts.replay import replay_all
from opensoar.actors import Actor


class Command(BaseCommand):
    help = "Parse quarantined deliveries again, with today's code; those that are still not understood stay."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "ids", nargs="*", type=uuid.UUID, help="ids of deliveries; default: all in quarantine"
        )
        parser.add_argument("--source", default="", help="only those of this source")
        parser.add_argument("--dry-run", action="store_true", help="only count what is in quarantine")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        states = replay_all(
            actor=Actor.system("replay_deliveries"),
            ids=o["ids"],
            source=o["source"],
            dry_run=o["dry_run"],
            progress=progress(self.stderr),
        )
        if states.total() < len(set(o["ids"])):
            raise CommandError(
                f"Not all of these are in quarantine: {summary(states)} of {len(set(o['ids']))}"
            )
        self.stdout.write(json.dumps(states) if o["json"] else summary(states))
