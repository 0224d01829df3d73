"""manage.py sync_playbooks"""

import argparse
import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from playbooks_engine import sync


class Command(BaseCommand):
    help = "Load the files of PLAYBOOK_DIRS, bring the playbook table in line, and have every worker reload."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.epilog = "Example: manage.py sync_playbooks --json"
        parser.add_argument("--strict", action="store_true", help="exit non-zero when a file has an error")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **o: Any) -> None:
        sync.raise_generation()
        synced = sync.sync_playbooks(settings.PLAYBOOK_DIRS)
        errors = [{"path": f.path, "line": f.error_line, "error": f.error} for f in synced.errors]
        if o["json"]:
            self.stdout.write(json.dumps({"playbooks": sorted(synced.versions), "errors": errors}))
        else:
            self.stdout.write(f"{len(synced.versions)} playbooks in {len(synced.files)} files")
            for error in errors:
                self.stderr.write(f"{error['path']}:{error['line'] or 0}: {error['error']}")
        if errors and o["strict"]:
            raise CommandError(f"{len(errors)} files have errors")
