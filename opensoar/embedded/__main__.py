"""``python -m opensoar.embedded`` prints the Debian packages that the embedded servers still need, one a line."""

from __future__ import annotations

import sys

from opensoar.embedded.binaries import missing_packages
from opensoar.embedded.process import ProcessFailed

if __name__ == "__main__":
    try:
        print("\n".join(missing_packages()))
    except ProcessFailed as error:
        sys.exit(str(error))
