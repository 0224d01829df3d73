"""``manage.py up``: the whole product on one machine."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from opensoar.supervisor.options import BASE_DIR, add_arguments


class Command(BaseCommand):
    help = "Start and watch over the database, the broker, the web server and the worker; Ctrl-C stops all of it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Become the supervisor: this process has loaded Django, which what watches does not need."""
        flags = []
        for name in ("port", "host", "data_dir", "playbook_dirs"):
            if options[name] is not None:
                flags += [f"--{name.replace('_', '-')}", str(options[name])]
        flags += ["--demo"] if options["demo"] else []
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(BASE_DIR), os.environ.get("PYTHONPATH", "")])
        )
        os.execv(sys.executable, [sys.executable, "-m", "opensoar.supervisor", *flags])
