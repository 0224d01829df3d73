"""The unprivileged user that PostgreSQL and Valkey run as when the product is started by root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

USER_NAME = "opensoar"
SYSTEM_ROOT = Path(
    "/var/lib/opensoar"
)  # reachable for every user, unlike a home or a private temporary directory


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """Whom the embedded servers run as."""

    name: str
    uid: int
    gid: int


def service_user() -> ServiceUser | None:
    """None for an ordinary user, who runs the servers itself; for root the system user ``opensoar``,
    created on first use, or ``nobody`` where no user can be created."""
    if os.geteuid() != 0:
        return None
    return _lookup(USER_NAME) or _create() or _lookup("nobody") or ServiceUser("65534", 65534, 65534)


def can_reach(user: ServiceUser | None, directory: Path) -> bool:
    """Whether ``user`` may enter ``directory``: asked as that user, since modes alone do not tell."""
    if user is None:
        return os.access(directory, os.X_OK)
    asked = subprocess.run(
        ["/bin/sh", "-c", 'test -d "$1" && test -x "$1"', "sh", str(directory)],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return asked.returncode == 0


def own(user: ServiceUser | None, directory: Path) -> Path:
    """Create ``directory`` for ``user`` alone (0700). Its parent must not be writable for ``user``, who could
    otherwise put a link there and be given what it points to."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(directory, user.uid, user.gid, follow_symlinks=False)
    return directory


def _lookup(name: str) -> ServiceUser | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid) if entry.pw_uid else None


def _create() -> ServiceUser | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    no_login = "/usr/sbin/nologin" if Path("/usr/sbin/nologin").exists() else "/bin/false"
    subprocess.run(
        [
            useradd,
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            no_login,
            USER_NAME,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return _lookup(USER_NAME)
