"""``python -m opensoar.embedded`` prints the Debian packages that the embedded servers still need, one a line;
``python -m opensoar.embedded COMMAND…`` runs a command beside throw-away servers (the lint's Django checks)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from opensoar.embedded.binaries import missing_packages
from opensoar.embedded.process import ProcessFailed
from opensoar.embedded.stack import Embedded


def run_beside_servers(argv: list[str]) -> int:
    """The exit status of ``argv``, run with DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL of new servers."""
    root = Path(tempfile.mkdtemp(prefix="opensoar-", dir="/tmp"))
    root.chmod(0o711)  # so that root's service user can enter
    servers = Embedded(root / "data", fast=True)
    try:
        urls = servers.start()
        names = {
            "DATABASE_URL": urls.database_url,
            "DATABASE_OWNER_URL": urls.owner_url,
            "REDIS_URL": urls.redis_url,
        }
        return subprocess.run(argv, env=os.environ | names, check=False).returncode
    finally:
        servers.destroy()
        root.rmdir()


if __name__ == "__main__":
    try:
        if sys.argv[1:]:
            sys.exit(run_beside_servers(sys.argv[1:]))
        print("\n".join(missing_packages()))
    except ProcessFailed as error:
        sys.exit(f"OpenSOAR: {error}")
