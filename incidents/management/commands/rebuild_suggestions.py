"""manage.py rebuild_suggestions"""

import argparse
import json
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand

from alerts.management.progress import progress
from incidents.models import SuggestionGroup
from incidents.suggestion_store import rebuild


class Command(BaseCommand):
    help = (
        "Group the alerts of the last 30 days anew. Suggestions are empty at first and come back as it goes; what was "
        "dismissed stays dismissed."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        show = progress(self.stderr)
        alerts = rebuild(lambda done: show(Counter(alerts=done)))
        result = {"alerts": alerts, "groups": SuggestionGroup.objects.count()}
        text = f"{result['alerts']} alerts, {result['groups']} groups"
        self.stdout.write(json.dumps(result) if o["json"] else text)
