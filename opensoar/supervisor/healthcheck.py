"""``python -m opensoar.supervisor.healthcheck`` exits 0 when the web server of this container is ready."""

from __future__ import annotations

import sys

from opensoar.env import env_int
from opensoar.supervisor.instance import answers

if __name__ == "__main__":
    sys.exit(not answers("127.0.0.1", env_int("OPENSOAR_PORT", 8000), "/readyz"))
