"""What the last start prepared, so that the next one does only what changed since.

Loading Django to find that nothing is to be done costs more than the rest of a start. A step is skipped when
the digest of everything that it depends on is the one noted when it last succeeded. Only for the embedded
database: what somebody did to an outside one cannot be known here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from opensoar.embedded.layout import write_private
from opensoar.env import env_str
from opensoar.supervisor.options import BASE_DIR, Options

STEPS = ("migrate", "static", "playbooks", "admin")
LOCK = BASE_DIR / "requirements" / "base.txt"


class Stamps:
    """The digests noted in ``<data-dir>/run/prepared.json``."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run" / "prepared.json"
        self.manifest = Path(env_str("OPENSOAR_STATIC_ROOT", str(data_dir / "static"))) / "staticfiles.json"

    def changed(self, now: dict[str, str]) -> list[str]:
        """The steps to run, in order."""
        try:
            noted = json.loads(self.path.read_text())
        except (OSError, ValueError):
            noted = {}
        if not isinstance(noted, dict):
            noted = {}
        if not self.manifest.exists():
            noted.pop("static", None)
        return [step for step in STEPS if noted.get(step) != now[step]]

    def note(self, now: dict[str, str]) -> None:
        write_private(self.path, json.dumps(now) + "\n")

    def forget(self) -> None:
        """Make the next start prepare everything again (a failed preparation, a restored backup)."""
        self.path.unlink(missing_ok=True)


def current(options: Options) -> dict[str, str]:
    """The digest of each step's inputs as they are now."""
    lock = _content(LOCK)
    code = [BASE_DIR / name for name in ("opensoar", "alerts", "incidents", "playbooks_engine")]
    migrations = [path for app in code for path in app.rglob("migrations/*.py")]
    statics = [BASE_DIR / "static", BASE_DIR / "opensoar" / "settings.py"]
    playbooks = [*options.playbook_dirs, BASE_DIR / "playbooks_engine"]
    return {
        "migrate": _digest([lock, *map(_content, sorted(migrations))]),
        "static": _digest([lock, *_states(statics)]),
        "playbooks": _digest([*map(str, options.playbook_dirs), *_states(playbooks)]),
        "admin": f"done demo={options.demo}",
    }


def _states(paths: Iterable[Path]) -> Iterator[str]:
    """Name, size and time of every file below ``paths``: enough to see a change, and quick."""
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if "__pycache__" in file.parts or not file.is_file():
                continue
            status = os.stat(file)
            yield f"{file} {status.st_size} {status.st_mtime_ns}"


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
