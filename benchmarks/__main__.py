"""python -m benchmarks [--full] [--json FILE]"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import engine, ingest, pages

parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
parser.add_argument("--full", action="store_true", help="longer runs, three rounds of each")
parser.add_argument("--json", type=Path, default=Path("benchmark-results.json"), help="where the figures go")
options = parser.parse_args()
results = {part.__name__.rpartition(".")[2]: part.run(full=options.full) for part in (ingest, engine, pages)}
options.json.write_text(json.dumps(results, indent=2) + "\n")
print(f"figures in {options.json}")
