"""Where the embedded servers keep what they own, and the secrets they share with the product."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opensoar.embedded.process import ProcessFailed
from opensoar.embedded.service_user import SYSTEM_ROOT, ServiceUser, can_reach, own

SOCKET_PATH_LIMIT = 107  # bytes, from the kernel's sockaddr_un
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one installation.

    ``data_dir`` belongs to the invoking user: secrets, logs, records of running processes. ``store`` holds what
    the servers own; it lies in the data directory where the service user can reach that, else under /var/lib.
    """

    data_dir: Path
    store: Path

    @property
    def run(self) -> Path:
        return self.data_dir / "run"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def secrets(self) -> Path:
        return self.data_dir / "secrets"

    @property
    def postgres(self) -> Path:
        return self.store / "postgres"

    @property
    def valkey(self) -> Path:
        return self.store / "valkey"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def secret(self, name: str) -> str:
        """The password kept under ``name``, made on first use."""
        path = self.secrets / name
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            value = secrets.token_urlsafe(32)
            write_private(path, value + "\n")
            return value

    def has_secret(self, name: str) -> bool:
        return (self.secrets / name).exists()


def prepare(data_dir: Path) -> Path:
    """Create the data directory with its private parts; returns it absolute."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir = data_dir.resolve()
        for name in ("run", "logs", "secrets"):
            (data_dir / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ProcessFailed(f"The data directory {data_dir} cannot be used: {error.strerror}") from None
    if not os.access(data_dir / "run", os.W_OK):
        raise ProcessFailed(f"The data directory {data_dir} belongs to another user: start as that user")
    return data_dir


def choose_store(data_dir: Path, user: ServiceUser | None, say: Callable[[str], None]) -> Layout:
    """The layout of ``data_dir``: the place chosen at the first start, or a new one that ``user`` can reach."""
    pointer = data_dir / "instance.json"
    try:
        known = json.loads(pointer.read_text())
        store = data_dir / known["store"]  # an absolute path wins over data_dir, a relative one moves with it
    except FileNotFoundError:
        instance = secrets.token_hex(8)
        inside = data_dir / "services"
        inside.mkdir(mode=0o711, exist_ok=True)
        reachable = can_reach(user, inside)
        if not reachable:
            inside.rmdir()
        store = inside if reachable else SYSTEM_ROOT / instance
        write_private(
            pointer, json.dumps({"id": instance, "store": "services" if reachable else str(store)}) + "\n"
        )
    except (ValueError, KeyError, TypeError):
        raise ProcessFailed(f"{pointer} is damaged: it must name the directory of the database") from None
    store.mkdir(mode=0o711, parents=True, exist_ok=True)
    if not can_reach(user, store):
        name = user.name if user else "this user"
        raise ProcessFailed(
            f"{store} is out of reach for {name}: move the data directory {data_dir} elsewhere"
        )
    if store.parent == SYSTEM_ROOT:
        owner = store / "belongs-to"
        if not owner.exists():
            say(f"The database lies in {store}: {user.name if user else 'its user'} cannot enter {data_dir}")
        owner.write_text(f"{data_dir}\n")
    return Layout(data_dir, store)


def socket_dir(layout: Layout, user: ServiceUser | None) -> Path:
    """A directory for the sockets that only ``user`` may enter, with a path short enough for the kernel."""
    chosen = layout.store / "sock"
    if len(os.fsencode(chosen / LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
        return own(user, chosen)
    link = layout.run / "sock"
    if link.is_symlink() and _is_private(link, user):
        return Path(os.readlink(link))
    made = Path(tempfile.mkdtemp(prefix="opensoar-", dir="/tmp"))
    if user is not None:
        os.chown(made, user.uid, user.gid)
    link.unlink(missing_ok=True)
    link.symlink_to(made)
    return made


def _is_private(link: Path, user: ServiceUser | None) -> bool:
    """Whether the directory that an earlier start made still is what it was, and nobody else's."""
    try:
        status = os.lstat(os.readlink(link))
    except OSError:
        return False
    return status.st_mode == 0o040700 and status.st_uid == (user.uid if user else os.geteuid())


class DataLock:
    """The lock that makes a second start on the same data impossible; it falls with the process."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run" / "lock"
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self.fd, 200, 0).decode(errors="replace").strip()
            os.close(self.fd)
            raise ProcessFailed(
                f"OpenSOAR already runs on {data_dir} ({holder or 'another process'})"
            ) from None
        self.describe(f"pid {os.getpid()}")

    def describe(self, text: str) -> None:
        """Say in the lock file who holds it, for the message that a second start prints."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode() + b"\n", 0)

    def release(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step: readers see the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
