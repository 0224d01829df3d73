"""python -m benchmarks [NAME …] [--full] [--json FILE]

Without names the short selection is measured, and with --full everything. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

SHORT = ("ingest", "engine", "pages", "storm")
NAMES = (*SHORT, "observables", "suggestions", "spike", "broker")


def main() -> None:
    """Measure one after the other; the file is written after each, so that a failure costs no figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure and print tables.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--full", action="store_true", help="longer runs, more of everything")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmark-results.json"), help="where the figures go"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(NAMES)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    results: dict[str, Any] = {}
    for name in options.names or (NAMES if options.full else SHORT):
        # Only now: the pages want a browser, which the others do without.
        results[name] = import_module(f"benchmarks.{name}").run(full=options.full)
        options.json.write_text(json.dumps(results, indent=2) + "\n")
        print()
    print(f"figures in {options.json}")


if __name__ == "__main__":
    main()
