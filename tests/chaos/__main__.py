"""``python -m tests.chaos --seed N …``: see harness.py."""

import sys

from tests.chaos.harness import main

sys.exit(main(sys.argv[1:]))
