"""The parts under `manage.py up`: servers, records of processes, the death pipe, stamps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from opensoar.embedded import Embedded, ProcessFailed
from opensoar.embedded.layout import SOCKET_PATH_LIMIT, DataLock, prepare
from opensoar.embedded.postgres import ADMIN, APP, MAX_CONNECTIONS, OWNER
from opensoar.embedded.process import (
    Command,
    ProcessId,
    is_alive,
    spawn,
    start_time,
    telling_line,
    wait_until,
)
from opensoar.supervisor.instance import check_port, read_credentials, update_url, write_credentials
from opensoar.supervisor.options import BASE_DIR, read_options
from opensoar.supervisor.stamps import STEPS, Stamps, current
from tests.product import free_port
from tests.servers import Servers, temporary_data_dir


@pytest.fixture
def data_dir() -> Iterator[Path]:
    root = temporary_data_dir()
    yield prepare(root / "data")
    shutil.rmtree(root, ignore_errors=True)


def command(data_dir: Path, *argv: str, **changes: object) -> Command:
    values: dict[str, object] = {"name": "web", "argv": list(argv), "env": dict(os.environ)}
    return Command(**(values | {"log": data_dir / "logs" / "web.log"} | changes))  # type: ignore[arg-type]


def test_the_application_writes_rows_and_the_owner_makes_tables(servers: Servers) -> None:
    database = "test_roles"
    with psycopg.connect(servers.url(ADMIN, "postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {database} OWNER {OWNER}")
        assert admin.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert admin.execute("SHOW max_connections").fetchone() == (str(MAX_CONNECTIONS),)
        roles = admin.execute(
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = ANY(%s)",
            ([APP, OWNER],),
        ).fetchall()
        assert roles == [(False,), (False,)]
    with psycopg.connect(servers.url(OWNER, database)) as owner:
        owner.execute("CREATE TABLE t (id serial PRIMARY KEY, a int)")
        owner.execute("CREATE EXTENSION pg_trgm")
    with psycopg.connect(servers.url(APP, database), autocommit=True) as app:
        app.execute("INSERT INTO t (a) VALUES (1)")
        assert app.execute("SELECT id, a FROM t").fetchall() == [(1, 1)]
        for refused in ("CREATE TABLE u (a int)", "TRUNCATE t", "DROP TABLE t", "ALTER TABLE t ADD b int"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(refused)


def test_nobody_enters_without_the_password(servers: Servers) -> None:
    url = servers.url(APP, "postgres")
    for wrong in (url.replace("opensoar_app:", "opensoar_app:x"), url.replace(APP, "postgres")):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
    sockets = servers.embedded.layout.store / "sock"
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(servers.embedded.layout.postgres.stat().st_mode) == 0o700


def test_a_deep_data_directory_still_gets_short_sockets() -> None:
    root = temporary_data_dir()
    deep = root / ("d" * 60) / ("e" * 60)
    servers = Embedded(deep, fast=True, valkey=False)
    try:
        urls = servers.start()
        assert servers.postgres is not None
        sockets = servers.postgres.sockets
        assert len(os.fsencode(sockets / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT
        with psycopg.connect(urls.database_url) as app:
            assert app.execute("SELECT current_user").fetchone() == (APP,)
    finally:
        servers.destroy()
        shutil.rmtree(root, ignore_errors=True)
    assert not sockets.exists()


def test_lost_passwords_are_made_anew_and_data_kept() -> None:
    root = temporary_data_dir()
    try:
        servers = Embedded(root / "data", fast=True, valkey=False)
        with psycopg.connect(servers.start().owner_url) as owner:
            owner.execute("CREATE TABLE kept (a int)")
        servers.stop()
        shutil.rmtree(root / "data" / "secrets")
        servers = Embedded(root / "data", fast=True, valkey=False)
        with psycopg.connect(servers.start().owner_url) as owner:
            assert owner.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        servers.destroy()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_data_that_the_service_user_cannot_reach_lie_elsewhere() -> None:
    """Root's servers run as another user, who cannot enter a private directory; an ordinary user's can."""
    root = temporary_data_dir()
    root.chmod(0o700)
    said: list[str] = []
    servers = Embedded(root / "data", fast=True, valkey=False, say=said.append)
    store = servers.layout.store
    try:
        servers.start()
        assert stat.S_IMODE(root.stat().st_mode) == 0o700  # nobody's mode was loosened
        if os.geteuid() != 0:
            assert store.parent == root / "data"
            assert said == []
        else:
            assert store.parent == Path("/var/lib/opensoar")
            assert (store / "belongs-to").read_text() == f"{root / 'data'}\n"
            assert len(said) == 1
            assert str(store) in said[0]
            assert servers.layout.postgres.stat().st_uid != 0
    finally:
        servers.destroy()
        shutil.rmtree(root, ignore_errors=True)
    assert not store.exists()


def test_one_data_directory_has_one_holder(data_dir: Path) -> None:
    lock = DataLock(data_dir)
    with pytest.raises(ProcessFailed, match=rf"already runs on .* \(pid {os.getpid()}\)"):
        DataLock(data_dir)
    lock.release()
    DataLock(data_dir).release()


def test_a_child_dies_with_the_thread_of_its_parent(data_dir: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from opensoar.embedded.process import Command, spawn\n"
        f"data = Path({str(data_dir)!r})\n"
        "log = data / 'logs' / 'web.log'\n"
        "child = spawn(Command(name='web', argv=['sleep', '60'], env=dict(os.environ), log=log), data / 'run')\n"
        "print(child.ident.pid, child.ident.start_time, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, timeout=30
    )
    pid, ticks = map(int, said.stdout.split())
    assert wait_until(lambda: not is_alive(ProcessId(pid, ticks)), 5)


def test_the_death_pipe_reaches_grandchildren_and_gives_them_time_to_let_go(data_dir: Path) -> None:
    let_go = data_dir / "let-go"
    code = (
        "import multiprocessing, os, time\n"
        "from pathlib import Path\n"
        "from opensoar import deathwatch\n"
        "def serve():\n"
        "    deathwatch.install()\n"
        f"    deathwatch.on_death(Path({str(let_go)!r}).touch)\n"
        f"    Path({str(data_dir / 'pid')!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "context = multiprocessing.get_context('spawn')\n"
        "if __name__ == '__main__':\n"
        "    context.Process(target=serve).start()\n"
        "    time.sleep(60)\n"
    )
    script = data_dir / "main.py"
    script.write_text(code)
    env = os.environ | {"PYTHONPATH": str(BASE_DIR)}
    asked = command(data_dir, sys.executable, str(script), env=env, death_pipe=data_dir / "run" / "web.death")
    child = spawn(asked, data_dir / "run")
    assert wait_until(lambda: (data_dir / "pid").exists() and (data_dir / "pid").read_text() != "", 20)
    grandchild = int((data_dir / "pid").read_text())
    child.popen.kill()
    child.popen.wait()
    assert start_time(grandchild) is not None
    child.release()
    assert start_time(grandchild) is None
    assert let_go.exists()


def test_a_child_that_ignores_its_signal_is_ended_with_its_session(data_dir: Path) -> None:
    trapped = data_dir / "trapped"
    script = f"trap '' TERM; (trap '' TERM; sleep 60) & touch {trapped}; while :; do sleep 1; done"
    child = spawn(command(data_dir, "/bin/sh", "-c", script, stop_seconds=0.3), data_dir / "run")
    assert json.loads((data_dir / "run" / "web.pid").read_text())["pid"] == child.ident.pid
    os.kill(child.ident.pid, 0)
    assert wait_until(trapped.exists, 20)  # a busy machine may signal before the shell has set its trap
    child.stop()
    assert child.exit_code() == -signal.SIGKILL
    assert not list((data_dir / "run").glob("*.pid"))


@pytest.mark.parametrize(
    ("lines", "telling"),
    [
        ([], ""),
        (["one", "two"], "two"),
        (["app.NotFoundError: no x", "[ERROR] Unexpected exit", "[INFO] bye"], "app.NotFoundError: no x"),
        (["2026 FATAL:  could not map memory", "2026 LOG:  shut down"], "2026 FATAL:  could not map memory"),
        (["[ERROR] no", "[INFO] bye"], "[ERROR] no"),
    ],
)
def test_the_line_that_says_why(lines: list[str], telling: str) -> None:
    assert telling_line(lines) == telling


def test_a_port_that_is_free_passes() -> None:
    check_port("127.0.0.1", free_port())
    with pytest.raises(ProcessFailed, match="cannot be listened on"):
        check_port("192.0.2.1", free_port())  # an address of the documentation, on no machine


def test_credentials_follow_the_address_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "credentials.env"
    update_url(path, "http://127.0.0.1:1")
    assert not path.exists()
    write_credentials(path, {"OPENSOAR_URL": "http://127.0.0.1:1", "OPENSOAR_API_TOKEN": "a=b"})
    update_url(path, "http://127.0.0.1:2")
    assert read_credentials(path) == {"OPENSOAR_URL": "http://127.0.0.1:2", "OPENSOAR_API_TOKEN": "a=b"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_what_changed_is_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    monkeypatch.setenv("OPENSOAR_STATIC_ROOT", str(tmp_path / "static"))
    options = read_options({"playbook_dirs": str(playbooks), "data_dir": tmp_path})
    (tmp_path / "run").mkdir()
    stamps = Stamps(tmp_path)
    assert stamps.changed(current(options)) == list(STEPS)
    stamps.note(current(options))
    assert stamps.changed(current(options)) == ["static"]  # its manifest is not there
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "staticfiles.json").touch()
    assert stamps.changed(current(options)) == []
    (playbooks / "new.py").write_text("pass\n")
    assert stamps.changed(current(options)) == ["playbooks"]
    stamps.path.write_text("[]")
    assert stamps.changed(current(options)) == list(STEPS)
