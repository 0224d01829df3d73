"""Bring the product up, say what happens, watch over it, take it down."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from opensoar.embedded import Embedded, ProcessFailed, Urls
from opensoar.embedded.layout import DataLock, prepare, write_private
from opensoar.embedded.postgres import Postgres
from opensoar.embedded.process import Child, Command, end_leftovers, process_age
from opensoar.embedded.valkey import Valkey
from opensoar.env import EnvError
from opensoar.supervisor.instance import (
    answers,
    check_port,
    ensure_keys,
    read_credentials,
    set_aside,
)
from opensoar.supervisor.options import BASE_DIR, Options, add_arguments, read_options
from opensoar.supervisor.preparation import Preparation
from opensoar.supervisor.tree import Service, Tree, how, starter

READY_SECONDS = 120.0


class Product:
    """One start: from nothing to a supervised tree."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        self.tree = Tree(say)
        self.data_dir = prepare(options.data_dir)
        self.run_dir = self.data_dir / "run"
        self.lock = DataLock(self.data_dir)
        self.lock.describe(f"pid {os.getpid()}, {options.url}")
        self.credentials = self.data_dir / "credentials.env"
        self.embedded: Embedded | None = None
        self.work: Preparation | None = None
        self.created_admin = self.is_new = False

    def start(self) -> None:
        """Everything up to the moment when the product answers; raises ProcessFailed with one clear line."""
        self.tree.listen()
        for name in end_leftovers(self.run_dir):
            self.say(f"Ended {name}, left over from an earlier start")
        check_port(self.options.host, self.options.port)
        for log in (self.data_dir / "logs").glob("*.log"):
            set_aside(log)
        servers = self._embedded()
        env = self._environment(servers.urls())
        self.work = work = Preparation(self.options, self.data_dir, env, servers.urls(), self.tree)
        web = Service("web", starter(web_command(self.options, env, self.data_dir), self.run_dir))
        worker = Service("worker", starter(worker_command(self.options, env, self.data_dir), self.run_dir))
        work.begin(only="static")  # needs no database: it goes on while that is made
        self._start_servers(servers)
        if not work.steps:
            self.tree.add(web, first=True)  # it loads while the database starts
        servers.wait(lambda: self.tree.stopping)
        self._say_running(servers)
        work.begin()
        work.finish()
        self._tell_commands(env, servers.urls())
        self.created_admin = work.created_admin
        if not self.tree.stopping:
            if web.child is None:
                self.tree.add(web, first=True)
            self.tree.add(worker, after=web)
            self._wait_ready()

    def stop(self) -> None:
        """Web, worker, Valkey, PostgreSQL; then the data are free for the next start."""
        if self.work is not None:
            self.work.cancel()
        self.tree.stop()
        (self.run_dir / "environment.json").unlink(missing_ok=True)
        if self.embedded is not None:
            self.embedded.children.clear()  # the tree has stopped them
            self.embedded.stop()
        self.lock.release()

    def _embedded(self) -> Embedded:
        postgres, valkey = not self.options.database_url, not self.options.redis_url
        self.embedded = Embedded(
            self.data_dir, postgres=postgres, valkey=valkey, say=self.say, lock=self.lock
        )
        self.is_new = self.embedded.postgres is not None and not self.embedded.layout.postgres.exists()
        return self.embedded

    def _start_servers(self, servers: Embedded) -> None:
        servers.launch()
        for server in servers.servers:
            restart = self._restarter(servers, server)
            self.tree.add(Service(server.name, restart, servers.children[server.name]))

    def _say_running(self, servers: Embedded) -> None:
        names = [{"postgres": "PostgreSQL", "valkey": "Valkey"}[s.name] for s in reversed(servers.servers)]
        if names:
            self.say(f"{' and '.join(names)} {'created and ' if self.is_new else ''}running")

    @staticmethod
    def _restarter(embedded: Embedded, server: Postgres | Valkey) -> Callable[[], Child]:
        def restart() -> Child:
            server.prepare()
            return embedded.spawn(server)

        return restart

    def _environment(self, urls: Urls) -> dict[str, str]:
        """What web and worker get: the application's role, never the owner's."""
        options = self.options
        env = dict(os.environ)
        # Containers often forbid bytecode; compiling everything anew would be a tenth of each start.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for name in ("DATABASE_URL_FILE", "REDIS_URL_FILE", "DATABASE_OWNER_URL", "DATABASE_OWNER_URL_FILE"):
            env.pop(name, None)
        env |= {
            "DJANGO_SETTINGS_MODULE": "opensoar.settings",
            "DATABASE_URL": urls.database_url or options.database_url,
            "REDIS_URL": urls.redis_url or options.redis_url,
            "OPENSOAR_DATA_DIR": str(self.data_dir),
            "OPENSOAR_PORT": str(options.port),
            "PLAYBOOK_DIRS": os.pathsep.join(map(str, options.playbook_dirs)),
            "PYTHONUNBUFFERED": "1",
        }
        ensure_keys(self.data_dir, env)
        return env

    def _tell_commands(self, env: dict[str, str], urls: Urls) -> None:
        """What ``manage.py`` needs when it is called beside us (opensoar.env.adopt_running)."""
        names = ("DATABASE_URL", "REDIS_URL", "PLAYBOOK_DIRS", "OPENSOAR_PORT")
        keys = ("OPENSOAR_SECRET_KEY_FILE", "OPENSOAR_SECRETS_KEY_FILE")
        shared = {name: env[name] for name in (*names, *keys) if name in env}
        if urls.owner_url:
            shared["DATABASE_OWNER_URL"] = urls.owner_url
        write_private(self.run_dir / "environment.json", json.dumps(shared) + "\n")

    def _wait_ready(self) -> None:
        """Until /readyz answers and the worker has announced itself; a child that dies meanwhile ends the start."""
        announced = self.run_dir / "worker.ready"
        deadline = time.monotonic() + READY_SECONDS
        missing = {"web", "worker"}
        while missing and not self.tree.stopping:
            if (dead := self.tree.dead()) is not None and dead.child is not None:
                raise ProcessFailed(
                    f"{dead.name} ended while starting ({how(dead.child)}): {dead.child.last_words()}"
                )
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"Not ready after {READY_SECONDS:g} s: {' and '.join(sorted(missing))} (see {self.data_dir / 'logs'})"
                )
            if "worker" in missing and announced.exists():
                missing.remove("worker")
            if "web" in missing and answers(self.options.host, self.options.port, "/readyz"):
                missing.remove("web")
            self.tree.wait(0.03)


def web_command(options: Options, env: dict[str, str], data_dir: Path) -> Command:
    """granian: one process per OPENSOAR_WEB_PROCESSES, each with OPENSOAR_WEB_THREADS threads."""
    argv = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--host",
        options.host,
        "--port",
        str(options.port),
    ]
    argv += ["--workers", str(options.web_processes), "--blocking-threads", str(options.web_threads)]
    argv += ["--workers-kill-timeout", "10", "--no-ws", "--log-level", "warning", "opensoar.wsgi:application"]
    return _product_command("web", argv, env, data_dir, stop_seconds=15.0)


def worker_command(options: Options, env: dict[str, str], data_dir: Path) -> Command:
    """Dramatiq: its threads only hand sequences to the event loop, so two are enough."""
    argv = [sys.executable, "-m", "dramatiq", "opensoar.worker"]
    argv += [f"--processes={options.worker_processes}", "--threads=2", "--worker-shutdown-timeout=30000"]
    ready = data_dir / "run" / "worker.ready"
    ready.unlink(missing_ok=True)
    env = env | {"OPENSOAR_READY_FILE": str(ready)}
    return _product_command("worker", argv, env, data_dir, stop_seconds=45.0)  # calls under way may finish


def _product_command(
    name: str, argv: list[str], env: dict[str, str], data_dir: Path, *, stop_seconds: float
) -> Command:
    return Command(
        name=name,
        argv=argv,
        env=env,
        log=data_dir / "logs" / f"{name}.log",
        cwd=str(BASE_DIR),
        stop_seconds=stop_seconds,
        death_pipe=data_dir / "run" / f"{name}.death",
    )


def progress() -> Callable[[str], None]:
    """Lines with the seconds since the command was typed; a closed output ends the talking, never the product."""
    began = time.monotonic() - process_age()

    def say(text: str) -> None:
        try:
            print(f"[{time.monotonic() - began:6.2f} s] {text}", flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - stays for the rest of the process

    return say


def introduce(product: Product, say: Callable[[str], None]) -> None:
    """What a person needs now: where it is, who may enter (the password once), where scripts find the rest."""
    options = product.options
    say(f"Ready: {options.url}")
    known = read_credentials(product.credentials)
    if product.created_admin:
        name, password = known["OPENSOAR_ADMIN_USERNAME"], known["OPENSOAR_ADMIN_PASSWORD"]
        say(f"Admin user: {name}   password: {password}   (shown once)")
    if product.work is not None and (demo := product.work.demo):
        say(f"Demo users: {demo['users']}   password: {demo['password']}   (shown once)")
    if known:
        say(f"For scripts: {product.credentials}")
    elif options.database_url:
        say("Create the first admin with: manage.py create_admin")
    say("Ctrl-C stops everything")


def main(argv: list[str] | None = None) -> int:
    """Run the product until a signal; 0 after a clean stop, 1 with one line of explanation otherwise."""
    parser = argparse.ArgumentParser(prog="manage.py up", description="Run OpenSOAR with everything it needs")
    add_arguments(parser)
    say = progress()
    product: Product | None = None
    status = 1
    try:
        product = Product(read_options(vars(parser.parse_args(argv))), say)
        product.start()
        if not product.tree.stopping:
            introduce(product, say)
            product.tree.run()
        say("Stopping")
        status = 0
    except (ProcessFailed, EnvError) as error:
        print(f"OpenSOAR: {error}", file=sys.stderr, flush=True)
    finally:
        if product is not None:
            product.stop()
    if status == 0:
        say("Stopped")
    return status
