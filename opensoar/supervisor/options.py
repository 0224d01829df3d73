"""What can be chosen when the product is started: flags win over the environment, the environment over defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opensoar.env import env_int, env_list, env_secret, env_str

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DEMO_PLAYBOOKS = BASE_DIR / "opensoar" / "demo" / "playbooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One start of the product. An empty URL stands for the embedded server."""

    host: str
    port: int
    data_dir: Path
    playbook_dirs: tuple[Path, ...]
    demo: bool
    database_url: str
    redis_url: str
    web_processes: int
    web_threads: int
    worker_processes: int

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``manage.py up``."""
    parser.add_argument("--port", type=int, help="port of the web server (OPENSOAR_PORT, default 8000)")
    parser.add_argument("--host", help="address to listen on (OPENSOAR_HOST, default 127.0.0.1)")
    parser.add_argument(
        "--data-dir", type=Path, help="where everything is kept (OPENSOAR_DATA_DIR, default var)"
    )
    parser.add_argument("--playbook-dirs", help="directories of playbooks (PLAYBOOK_DIRS, default playbooks)")
    parser.add_argument("--demo", action="store_true", help="fill an empty installation with demo data")


def read_options(values: Mapping[str, object]) -> Options:
    """Options from parsed flags and the environment; raises EnvError naming the variable that makes no sense."""
    port = values.get("port") or env_int("OPENSOAR_PORT", 8000, minimum=1, maximum=65535)
    data_dir = values.get("data_dir") or env_str("OPENSOAR_DATA_DIR", str(BASE_DIR / "var"))
    chosen = values.get("playbook_dirs")
    if chosen:
        os.environ["PLAYBOOK_DIRS"] = str(chosen)
    playbooks = env_list("PLAYBOOK_DIRS", [str(BASE_DIR / "playbooks")], separators="," + os.pathsep)
    if values.get("demo"):
        playbooks = [
            *playbooks,
            str(DEMO_PLAYBOOKS),
        ]  # whose runs the demo shows; without them they are "missing"
    return Options(
        host=str(values.get("host") or env_str("OPENSOAR_HOST", "127.0.0.1")),
        port=int(str(port)),
        data_dir=Path(str(data_dir)).expanduser().absolute(),
        playbook_dirs=tuple(Path(item).expanduser().absolute() for item in playbooks),
        demo=bool(values.get("demo")),
        database_url=env_secret("DATABASE_URL"),
        redis_url=env_secret("REDIS_URL"),
        web_processes=env_int("OPENSOAR_WEB_PROCESSES", 1, minimum=1, maximum=16),
        web_threads=env_int("OPENSOAR_WEB_THREADS", 64, minimum=1, maximum=512),
        worker_processes=env_int("OPENSOAR_WORKER_PROCESSES", 1, minimum=1, maximum=16),
    )
