"""What the chaos runs on: a PostgreSQL that may be killed, Valkey, the simulator, and processes forked on demand.

Everything ends with the process that made the stack: each child asks the kernel to be killed when its parent dies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from opensoar.embedded import Embedded
from opensoar.embedded.postgres import Postgres
from opensoar.embedded.process import Command, die_with_parent, processes, start_time, wait_until, working_in
from tests.chaos.offspring import ISOLATED
from tests.servers import temporary_data_dir

BASE_DIR = Path(__file__).parents[2]
LEASE = 1.5

# Kept by the database itself, so that the engine cannot deceive itself about it: which transaction made an intent
# durable and in which process, and whether a write came with a fence that was not the sequence's any more. Attempts of
# the past are concluded by whoever holds the sequence now: as unknown, or as what verify= found. (A process of its own,
# for an isolated sequence, connects under its parent's name.)
WATCH = """
CREATE TABLE chaos_intent (call_id uuid, pid int, xid xid);
CREATE INDEX ON chaos_intent (call_id);
CREATE TABLE chaos_stale (attempt_id uuid, had bigint, fence bigint, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos_watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE held record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos_intent SELECT NEW.call_id, (SELECT pid FROM playbooks_engine_workerbeat
            WHERE id = NEW.worker_id), pg_current_xact_id()::xid;
    END IF;
    SELECT s.fence, s.isolated OR b.pid IS NULL OR current_setting('application_name') LIKE '%-' || b.pid AS by_holder
        INTO held FROM playbooks_engine_sequence s JOIN playbooks_engine_playbookrun r ON r.sequence_id = s.id
        LEFT JOIN playbooks_engine_workerbeat b ON b.id = s.claimed_by WHERE r.id = NEW.run_id;
    IF NEW.fence <> held.fence AND (TG_OP = 'INSERT' OR OLD.state = 'started' AND NEW.state <> 'unknown' AND NOT (
        held.by_holder AND NEW.state = 'success' AND EXISTS (
            SELECT FROM playbooks_engine_actionresult WHERE id = NEW.call_id AND name LIKE '%verified')))
    THEN
        INSERT INTO chaos_stale VALUES (NEW.id, NEW.fence, held.fence);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chaos_watch BEFORE INSERT OR UPDATE ON playbooks_engine_actionattempt
    FOR EACH ROW EXECUTE FUNCTION chaos_watch();
GRANT SELECT ON chaos_intent, chaos_stale TO PUBLIC;
"""


class CrashSafe(Postgres):
    """Commits reach the kernel before they are answered: ``kill -9`` loses none, and no disk is waited for."""

    def command(self) -> Command:
        command = Postgres.command(self)
        options = ["-c", "fsync=off", "-c", "max_connections=400", "-c", "track_commit_timestamp=on"]
        return dataclasses.replace(command, argv=[*command.argv, *options])


class Stack:
    """A context manager; leaves nothing behind."""

    def __init__(self, playbooks: Path, *, seed: str, mishaps: float, lease: float = LEASE) -> None:
        self.root = temporary_data_dir("chaos-")
        self.seed, self.mishaps = seed, mishaps
        self.embedded = Embedded(self.root / "data")
        plain = self.embedded.postgres
        assert plain is not None
        self.embedded.postgres = CrashSafe(
            *(getattr(plain, field.name) for field in dataclasses.fields(plain))
        )
        self.urls = self.embedded.urls()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENSOAR_", "DATABASE_", "DJANGO_", "PG"))} | {
            "DATABASE_URL": self.urls.database_url,
            "DATABASE_OWNER_URL": self.urls.owner_url,
            "REDIS_URL": self.urls.redis_url,
            "DJANGO_SETTINGS_MODULE": "opensoar.settings",
            "OPENSOAR_DATA_DIR": str(self.root / "data"),
            "OPENSOAR_SECRET_KEY": "chaos-only-" + "k" * 50,
            "OPENSOAR_SECRETS_KEY": "dGVzdHMtb25seS0wMTIzNDU2Nzg5YWJjZGVmZ2hpams=",
            "OPENSOAR_LEASE_SECONDS": str(lease),
            "PLAYBOOK_DIRS": str(playbooks),
            "CHAOS_DIR": str(self.root),
            "CHAOS_ADMIN": self.database_admin_url,
        }  # fmt: skip
        self.forked: set[int] = set()
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[str]] = []

    @property
    def database_admin_url(self) -> str:
        return self.urls.admin_url.replace("/postgres?", "/opensoar?")

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    def __enter__(self) -> Stack:
        try:
            self.embedded.start()
            argv = [sys.executable, str(BASE_DIR / "manage.py"), "migrate", "--verbosity", "0"]
            subprocess.run(argv, env=self.env, cwd=BASE_DIR, check=True)
            with self.connect() as connection:
                connection.execute(WATCH)  # type: ignore[arg-type]
            self._start("tests.chaos.simulator", str(self.root), self.seed, str(self.mishaps))
            self._nursery = self._start("tests.chaos.nursery")
            wait_until(lambda: (self.root / "calls").exists(), 20)
            assert self._ask("ready") == "ready", (self.root / "nursery.log").read_text()[-3000:]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()  # the nursery's children die with it, even those that are stopped
            process.wait()
        for pid in self._own_processes():  # isolated ones
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.embedded.destroy()
        shutil.rmtree(self.root, ignore_errors=True)

    def connect(self) -> psycopg.Connection[Any]:
        """As the superuser, past everything the product does."""
        return psycopg.connect(self.database_admin_url, autocommit=True, application_name="chaos")

    def spawn(self, role: str, *args: object) -> Forked:
        """A process that runs ``roles.<role>(*args)``, forked from one that has loaded everything already."""
        child = Forked(int(self._ask(" ".join(map(str, (role, *args))))))
        self.forked.add(child.pid)
        return child

    def isolated(self) -> list[Forked]:
        """The processes that workers started themselves, and which may outlive them."""
        return [Forked(pid) for pid in self._own_processes() if _read(pid, "comm") == [f"{ISOLATED}\n"]]

    def _own_processes(self) -> Iterator[int]:
        return (pid for pid in processes() if f"CHAOS_DIR={self.root}" in _read(pid, "environ"))

    def wait_for_workers(self, number: int) -> None:
        """Until so many have announced themselves; the playbooks are known then."""
        with self.connect() as connection:
            sql = "SELECT count(*) FROM playbooks_engine_workerbeat"
            up = wait_until(lambda: connection.execute(sql).fetchone()[0] >= number, 30)  # type: ignore[index]
        assert up, (self.root / "worker.log").read_text()[-2000:]

    def crash_postgres(self) -> None:
        """``kill -9`` of every one of its processes at once."""
        postgres = self.embedded.postgres
        assert postgres is not None
        for process in working_in(postgres.layout.postgres):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self.embedded.children["postgres"].popen.wait()

    def restart_postgres(self) -> None:
        """Up again; returns when it answers. From the main thread: see process.spawn."""
        postgres = self.embedded.postgres
        assert postgres is not None
        postgres.prepare()
        self.embedded.spawn(postgres)
        wait_until(postgres.is_ready, 60, step=0.01)

    def flush_broker(self) -> None:
        """Every message is gone."""
        import redis

        with redis.Redis.from_url(self.urls.redis_url) as client:
            client.flushall()

    def _start(self, module: str, *args: str) -> subprocess.Popen[str]:
        with open(self.root / f"{module.rpartition('.')[2]}.log", "a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *args], env=self.env, cwd=BASE_DIR, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, preexec_fn=die_with_parent(signal.SIGKILL),
            )  # fmt: skip
        self._processes.append(process)
        return process

    def _ask(self, line: str) -> str:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        with self._lock:
            self._nursery.stdin.write(line + "\n")
            self._nursery.stdin.flush()
            return self._nursery.stdout.readline().strip()


def works(pid: int) -> bool:
    """Whether a process lives and is not held by SIGSTOP."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TtZX"
    except OSError:
        return False


def _read(pid: int, name: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace").rstrip("\0").split("\0")
    return []


class Forked:
    """A process somewhere below; equal to itself only, whatever its number is used for later."""

    def __init__(self, pid: int) -> None:
        self.pid, self.born = pid, start_time(pid)
        self.application = f"worker-{pid}"  # under which PostgreSQL knows it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Forked) and (self.pid, self.born) == (other.pid, other.born)

    def __hash__(self) -> int:
        return hash((self.pid, self.born))

    def signal(self, number: signal.Signals) -> None:
        """Signal it, if it still lives; never whoever has got its number since."""
        with contextlib.suppress(ProcessLookupError):
            if self.alive():
                os.kill(self.pid, number)

    def alive(self) -> bool:
        return self.born is not None and start_time(self.pid) == self.born

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.alive()
