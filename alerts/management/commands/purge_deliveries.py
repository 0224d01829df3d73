"""manage.py purge_deliveries"""

import argparse
import json
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat

from alerts.ledger import purge
from alerts.management.progress import progress
from opensoar.actors import Actor


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 36_500):
        raise argparse.ArgumentTypeError("1 to 36500 days")
    return int(text)


class Command(BaseCommand):
    help = "Delete old deliveries. The first and the latest of an alert stay until it is archived."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", type=_days, required=True, metavar="DAYS", help="what is kept at least"
        )
        parser.add_argument("--quarantined", action="store_true", help="those in quarantine as well")
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, older_than: int, quarantined: bool, **o: Any) -> None:
        if o["dry_run"]:
            found = purge.due(older_than, quarantined=quarantined)
            plain = f"{found.deliveries} deliveries would be deleted, {filesizeformat(found.bytes)} of bodies"
            self.stdout.write(json.dumps(found._asdict()) if o["json"] else plain)
            return
        show = progress(self.stderr)
        done = purge.purge(
            actor=Actor.system("purge_deliveries"), days=older_than, quarantined=quarantined,
            progress=lambda deleted: show(Counter(deleted=deleted)),
        )  # fmt: skip
        self.stdout.write(json.dumps({"deleted": done}) if o["json"] else f"{done} deliveries deleted")
