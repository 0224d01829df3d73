"""A pytest plugin: the real PostgreSQL and Valkey that the tests run on, one pair per pytest process.

It is loaded with ``-p`` (pyproject.toml), hence before pytest-django imports the settings: these read their URLs
from the environment, and here is the only moment to set it. Nothing starts before the first test that needs it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from opensoar.embedded import Embedded
from opensoar.embedded.postgres import APP

DATABASE = "test_opensoar"


def temporary_data_dir(prefix: str = "opensoar-test-") -> Path:
    """A directory for a data directory: short (sockets) and, for root, open to the service user."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o711)
    return path


class Servers:
    """The session's servers: known from the start, running from first use on."""

    def __init__(self) -> None:
        self.root = temporary_data_dir()
        self.embedded = Embedded(self.root / "data", fast=True)
        self.running = False

    def url(self, role: str, database: str) -> str:
        assert self.embedded.postgres is not None
        return self.embedded.postgres.url(role, database)

    def start(self) -> None:
        if not self.running:
            self.running = True
            self.embedded.start()

    def stop(self) -> None:
        self.embedded.destroy()
        shutil.rmtree(self.root, ignore_errors=True)


servers = Servers()


def _environment(chosen: Servers) -> Iterator[tuple[str, str]]:
    static = chosen.root / "static"
    static.mkdir()
    yield "DATABASE_URL", chosen.url(APP, DATABASE)
    yield "REDIS_URL", chosen.embedded.urls().redis_url
    yield "OPENSOAR_DATA_DIR", str(chosen.root / "data")
    yield "OPENSOAR_STATIC_ROOT", str(static)
    yield "OPENSOAR_DB_POOL", "0"  # tests change databases under the connection
    yield "OPENSOAR_SECRET_KEY", "tests-only-" + "k" * 50
    yield "OPENSOAR_SECRETS_KEY", "dGVzdHMtb25seS0wMTIzNDU2Nzg5YWJjZGVmZ2hpams="
    yield "OPENSOAR_ALLOWED_HOSTS", "testserver,localhost,127.0.0.1"


for _name in [
    name for name in os.environ if name.startswith(("OPENSOAR_", "DATABASE_", "REDIS_", "PLAYBOOK_"))
]:
    del os.environ[_name]  # a developer's own settings must not decide what the tests see
os.environ.update(_environment(servers))


atexit.register(servers.stop)  # also where pytest stops before it is configured


def pytest_unconfigure(config: pytest.Config) -> None:
    servers.stop()
