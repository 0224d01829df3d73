"""The embedded servers together: started side by side, stopped in order, restarted one by one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opensoar.embedded import binaries, layout
from opensoar.embedded.postgres import ADMIN, APP, OWNER, Postgres
from opensoar.embedded.process import Child, ProcessFailed, end_leftovers, spawn, wait_until
from opensoar.embedded.service_user import SYSTEM_ROOT, service_user
from opensoar.embedded.valkey import Valkey


@dataclass(frozen=True, slots=True)
class Urls:
    """How the product reaches its servers; an empty text where one is not embedded."""

    database_url: str = ""
    owner_url: str = ""
    redis_url: str = ""
    admin_url: str = ""


class Embedded:
    """PostgreSQL and Valkey on ``data_dir``; each can be left out where an outside server takes its place.

    Call it from the main thread. ``fast`` gives up durability (tests). ``say`` gets one line per thing a person
    should know. Raises :class:`ProcessFailed`, whose text is one line with the cure.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        fast: bool = False,
        postgres: bool = True,
        valkey: bool = True,
        say: Callable[[str], None] = lambda _line: None,
        lock: layout.DataLock | None = None,
    ) -> None:
        self.data_dir = layout.prepare(Path(data_dir))
        self.lock = lock or layout.DataLock(self.data_dir)
        self._owns_lock = lock is None
        self.children: dict[str, Child] = {}
        user = service_user() if postgres or valkey else None
        self.layout = layout.choose_store(self.data_dir, user, say)
        self.sockets = sockets = layout.socket_dir(self.layout, user)
        self.postgres = (
            Postgres(self.layout, binaries.postgres_bin(user), user, sockets, fast) if postgres else None
        )
        self.valkey = Valkey(self.layout, binaries.valkey_server(user), user, sockets) if valkey else None

    def start(self) -> Urls:
        """Start what is not outside and return its URLs once each server answers."""
        end_leftovers(self.layout.run)
        self.launch()
        return self.wait()

    def launch(self) -> None:
        """Start the servers without waiting until they answer."""
        try:
            for server in self.servers:
                server.prepare()
                self.spawn(server)
        except BaseException:
            self.stop()
            raise

    def wait(self, give_up: Callable[[], bool] = lambda: False) -> Urls:
        """Wait until every server answers (a crash recovery may take its time), or ``give_up`` says so."""
        try:
            for server in self.servers:
                self._wait_ready(server, give_up)
        except BaseException:
            self.stop()
            raise
        return self.urls()

    @property
    def servers(self) -> list[Postgres | Valkey]:
        """The embedded servers, in the order in which they are stopped."""
        return [server for server in (self.valkey, self.postgres) if server is not None]

    def urls(self) -> Urls:
        postgres, valkey = self.postgres, self.valkey
        return Urls(
            database_url=postgres.url(APP) if postgres else "",
            owner_url=postgres.url(OWNER) if postgres else "",
            redis_url=valkey.url if valkey else "",
            admin_url=postgres.url(ADMIN, "postgres") if postgres else "",
        )

    def spawn(self, server: Postgres | Valkey) -> Child:
        """Start one server, without waiting for it; also what restarts one that died."""
        command = server.command()
        self.children[command.name] = child = spawn(command, self.layout.run)
        return child

    def _wait_ready(self, server: Postgres | Valkey, give_up: Callable[[], bool]) -> None:
        child = self.children[server.name]
        wait_until(lambda: server.is_ready() or child.exit_code() is not None or give_up(), 300.0, step=0.01)
        if child.exit_code() is not None or not (server.is_ready() or give_up()):
            raise ProcessFailed(f"{child.name} did not start: {child.last_words()}")

    def stop(self) -> None:
        """Stop both (Valkey first) and let the data go."""
        for name in ("valkey", "postgres"):
            child = self.children.pop(name, None)
            if child is not None:
                child.stop()
        if self._owns_lock:
            self.lock.release()

    def destroy(self) -> None:
        """Stop and delete all data (tests and benchmarks, whose data directories are temporary)."""
        self.stop()
        if self.sockets.parent != self.layout.store:
            shutil.rmtree(self.sockets, ignore_errors=True)
        if self.layout.store.parent == SYSTEM_ROOT:
            shutil.rmtree(self.layout.store, ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)
