"""``python -m opensoar.supervisor``: what ``manage.py up`` becomes."""

from __future__ import annotations

import sys

from opensoar.supervisor.main import main

if __name__ == "__main__":
    sys.exit(main())
