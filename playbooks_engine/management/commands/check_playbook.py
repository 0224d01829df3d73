"""``manage.py check_playbook FILE``: what a playbook file registers, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from playbooks_engine.check_file import Report, check


class Command(BaseCommand):
    help = (
        "Import a playbook file in a process of its own, show what it registers, and name "
        "problems with their lines. Example: manage.py check_playbook playbooks/docker_restart.py"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="the playbook file")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")

    def handle(self, *args: Any, **options: Any) -> None:
        report = check(options["file"], root=_playbook_dir(options["file"]))
        if options["json"]:
            self.stdout.write(json.dumps(report.to_json(), indent=2))
        else:
            self._show(report)
        if report.errors:
            raise CommandError(str(report.errors[0]))

    def _show(self, report: Report) -> None:
        for spec in report.playbooks:
            self.stdout.write(
                _("playbook %(name)s  order %(order)s  trigger %(trigger)s  conditions %(conditions)s")
                % {
                    "name": spec["name"],
                    "order": spec["order"],
                    "trigger": " ".join(filter(None, [spec["trigger"] or _("manual"), spec["cron"]])),
                    "conditions": json.dumps(spec["conditions"], default=str),
                }
            )
        for action in report.actions:
            self.stdout.write(
                _("action   %(name)s  timeout %(timeout)g s  retries %(retries)s")
                % {key: action[key] for key in ("name", "timeout", "retries")}
            )
        if report.output.strip():
            self.stdout.write(_("It printed while it was imported:"))
            self.stdout.write(report.output.rstrip())
        if report.details:
            self.stderr.write(report.details.rstrip())
        for finding in report.findings:
            if finding.level != "error":  # the first error is the command's last line
                self.stdout.write(str(finding))
        for error in report.errors[1:]:
            self.stderr.write(str(error))


def _playbook_dir(file: str) -> Path | None:
    """Return the configured playbook directory that holds the file, if one does."""
    path = Path(file).resolve()
    for directory in settings.PLAYBOOK_DIRS:
        if path.is_relative_to(Path(directory).resolve()):
            return Path(directory).resolve()
    return None
