"""Exit 0 when /readyz answers 200; asked under a name that OPENSOAR_ALLOWED_HOSTS admits."""

import os
import sys

from opensoar.supervisor.instance import answers

if __name__ == "__main__":
    sys.exit(not answers(f"http://127.0.0.1:{os.environ.get('OPENSOAR_PORT', '8000')}/readyz"))
