"""A durable PostgreSQL and a Valkey on a temporary data directory, migrated, for what is measured without supervisor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opensoar.embedded import Embedded

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The environment of a product that runs on them. ``LIMIT_DATABASE_URL`` names a database that is not made yet."""
    root = Path(tempfile.mkdtemp(prefix="osbench-", dir="/tmp"))
    root.chmod(0o711)
    embedded = Embedded(root / "data")
    try:
        env = _environment(embedded.start(), root)
        subprocess.check_call([*MANAGE, "migrate", "-v0"], env=env)
        yield env
    finally:
        embedded.destroy()
        shutil.rmtree(root, ignore_errors=True)


def _environment(urls: Any, root: Path) -> dict[str, str]:
    own = ("OPENSOAR_", "DATABASE_", "REDIS_", "PLAYBOOK_")
    return {k: v for k, v in os.environ.items() if not k.startswith(own)} | {
        "DATABASE_URL": urls.database_url,
        "DATABASE_OWNER_URL": urls.owner_url,
        "REDIS_URL": urls.redis_url,
        "OPENSOAR_DATA_DIR": str(root / "data"),
        "OPENSOAR_SECRET_KEY": "benchmarks-" + "k" * 50,
        "OPENSOAR_SECRETS_KEY": "YmVuY2htYXJrcy1vbmx5LWJlbmNobWFya3Mtb25seS0=",
        "DJANGO_SETTINGS_MODULE": "opensoar.settings",
        "ADMIN_DATABASE_URL": urls.admin_url,
        "LIMIT_DATABASE_URL": urls.admin_url.replace("/postgres?", "/limit?"),
        "PYTHONPATH": str(ROOT),
    }


def ingest_token(env: dict[str, str]) -> str:
    """A new token that may send alerts."""
    made = subprocess.check_output(
        [*MANAGE, "create_token", "benchmark", "--scope", "ingest", "--json"], env=env
    )
    return str(json.loads(made)["token"])


def in_process(module: str, *arguments: str, env: dict[str, str]) -> dict[str, Any]:
    """What ``python -m module`` writes into the file whose name it gets as ``--json``; Django is not loaded here."""
    result = Path(env["OPENSOAR_DATA_DIR"]).parent / "result.json"
    command = [sys.executable, "-m", module, *arguments, "--json", str(result)]
    subprocess.check_call(command, cwd=ROOT, env=env)
    return dict(json.loads(result.read_text()))
