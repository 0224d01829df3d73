"""The embedded PostgreSQL: a cluster made once, two roles, a socket that only its user may enter."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from opensoar.embedded.layout import LONGEST_SOCKET_NAME, Layout
from opensoar.embedded.process import Command, ProcessFailed, end, run_once, wait_until, working_in
from opensoar.embedded.service_user import ServiceUser, own

DATABASE = "opensoar"
OWNER, APP, ADMIN = "opensoar_owner", "opensoar_app", "postgres"
MAX_CONNECTIONS = 120  # docs/operations.md, "Connection budget", adds up what may be open at once

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": str(MAX_CONNECTIONS),
    "shared_buffers": "48MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "cluster_name": "opensoar",
}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    """One cluster. ``fast`` gives up durability, for tests."""

    layout: Layout
    bin: Path
    user: ServiceUser | None
    sockets: Path
    fast: bool = False
    name: str = "postgres"

    def url(self, role: str, database: str = DATABASE) -> str:
        """The URL under which ``role`` reaches ``database``."""
        password = quote(self.layout.secret(_secret_name(role)), safe="")
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.sockets), safe='')}"

    def prepare(self) -> None:
        """Make the cluster where there is none; set passwords anew where their files were lost."""
        data = self.layout.postgres
        self._write_access_rules()
        if not data.exists():
            self._create(data)
        elif data.stat().st_uid != (self.user.uid if self.user else os.geteuid()):
            raise ProcessFailed(f"{data} belongs to another user: start as the user who started it first")
        elif not all(self.layout.has_secret(_secret_name(role)) for role in (ADMIN, OWNER, APP)):
            self._clear_stale()
            self._single_user(data, self._passwords())
        else:
            self._clear_stale()

    def command(self) -> Command:
        settings = SETTINGS | {"unix_socket_directories": str(self.sockets), "hba_file": str(self._hba)}
        settings |= FAST if self.fast else {}
        argv = [str(self.bin / "postgres"), "-D", str(self.layout.postgres)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return Command(
            name=self.name,
            argv=argv,
            env=self._env(),
            log=self.layout.log("postgres"),
            user=self.user,
            stop_signal=signal.SIGINT,  # fast: SIGTERM would wait for every client to leave
            death_signal=signal.SIGINT,
            stop_seconds=30.0,
        )

    def is_ready(self) -> bool:
        """The postmaster writes its state as the last line of its pid file."""
        try:
            return (self.layout.postgres / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    @property
    def _hba(self) -> Path:
        return self.layout.store / "pg_hba.conf"

    def _write_access_rules(self) -> None:
        """Kept beside the cluster, not in it: what its user may write, root must not write through."""
        text = "# Written at every start.\nlocal all all scram-sha-256\n"
        with contextlib.suppress(OSError):
            if self._hba.read_text() == text:
                return
        self._hba.write_text(text)
        self._hba.chmod(0o644)

    def _create(self, data: Path) -> None:
        """initdb into a temporary name, renamed when roles and database exist: all of it or nothing."""
        work = data.with_name("postgres.new")
        shutil.rmtree(work, ignore_errors=True)
        own(self.user, work)
        # The built-in C.UTF-8 needs no locale of the system, and sorts the same on every machine.
        locale = ["--no-locale", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        # "trust" only counts until the first start: hba_file names our own rules.
        argv = [
            str(self.bin / "initdb"),
            "-D",
            str(work),
            "-U",
            ADMIN,
            "-A",
            "trust",
            "--no-instructions",
            *locale,
        ]
        self._run("initdb", [*argv, "--no-sync"] if self.fast else argv)
        grants = (
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP}",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT USAGE, SELECT ON SEQUENCES TO {APP}",
        )
        self._single_user(
            work,
            [
                f"CREATE ROLE {OWNER} LOGIN",
                f"CREATE ROLE {APP} LOGIN",
                *self._passwords(),
                *grants,  # in template1, so that every database made later (tests) has them too
                f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
                f"REVOKE CONNECT, TEMPORARY ON DATABASE {DATABASE} FROM PUBLIC",
                f"GRANT CONNECT ON DATABASE {DATABASE} TO {APP}",
            ],
        )
        work.rename(data)

    def _passwords(self) -> list[str]:
        return [
            f"ALTER ROLE {role} PASSWORD '{self.layout.secret(_secret_name(role))}'"
            for role in (ADMIN, OWNER, APP)
        ]

    def _single_user(self, data: Path, statements: list[str]) -> None:
        """Run SQL without a server: no window in which somebody could connect without a password."""
        options = ["-c", "exit_on_error=on", "-c", "log_min_messages=error"]
        if self.fast:
            options += ["-F"]
        argv = [str(self.bin / "postgres"), "--single", "-D", str(data), *options, "template1"]
        self._run("postgres", argv, "".join(statement + "\n" for statement in statements))

    def _clear_stale(self) -> None:
        """End a postmaster or backends that an earlier start left, then its lock files.

        PostgreSQL itself would believe a lock file whose pid is a zombie or a stranger. That nobody works in the
        data directory, which every one of its processes does, is the better test.
        """
        data = self.layout.postgres
        for process in working_in(data):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGINT)
        if not wait_until(lambda: not working_in(data), 10.0):
            for process in working_in(data):
                end(process, signal.SIGQUIT, grace=2.0)
        if left := working_in(data):
            raise ProcessFailed(
                f"PostgreSQL of an earlier start still runs (pid {left[0].pid}): end it and start again"
            )
        (data / "postmaster.pid").unlink(missing_ok=True)
        (self.sockets / f"{LONGEST_SOCKET_NAME}.lock").unlink(missing_ok=True)

    def _run(self, name: str, argv: list[str], stdin: str = "") -> None:
        run_once(
            Command(
                name=name,
                argv=argv,
                env=self._env(),
                log=self.layout.log("postgres"),
                user=self.user,
                stdin=stdin.encode(),
            )
        )

    def _env(self) -> dict[str, str]:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _secret_name(role: str) -> str:
    return f"postgres_{role.removeprefix('opensoar_')}"
