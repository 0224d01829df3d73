"""`manage.py up`: what a person sees and what dies with what. Each test starts the real product."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opensoar.embedded import Embedded
from opensoar.embedded.process import boot_id, start_time
from tests.product import RunningProduct, free_port
from tests.servers import temporary_data_dir

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def product() -> Iterator[RunningProduct]:
    """One installation that the tests of this file stop, kill and start again."""
    with RunningProduct() as running:
        yield running


@pytest.fixture
def running(product: RunningProduct) -> RunningProduct:
    """The installation, running; whatever the test before did to it."""
    if product.process is None or product.process.poll() is not None:
        product.start()
    return product


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def ready(product: RunningProduct) -> bool:
    try:
        with product.client("") as client:
            return client.get("/readyz").status_code == 200
    except Exception:
        return False


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_first_start_says_where_it_is_and_who_may_enter(running: RunningProduct) -> None:
    assert f"Ready: {running.url}" in running.output
    path = running.data_dir / "credentials.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    known = running.credentials
    assert set(known) == {
        "OPENSOAR_URL",
        "OPENSOAR_ADMIN_USERNAME",
        "OPENSOAR_ADMIN_PASSWORD",
        "OPENSOAR_INGEST_TOKEN",
        "OPENSOAR_API_TOKEN",
    }
    assert known["OPENSOAR_URL"] == running.url
    assert f"Admin user: admin   password: {known['OPENSOAR_ADMIN_PASSWORD']}" in running.output
    for secret in (running.data_dir / "secrets").iterdir():
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_second_start_on_the_same_data_is_refused(running: RunningProduct) -> None:
    other = subprocess.run(
        [*running.command(), "--port", str(free_port())],
        env=running.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert other.returncode == 1
    assert other.stderr.strip().splitlines() == [
        f"OpenSOAR: OpenSOAR already runs on {running.data_dir} (pid {running.process and running.process.pid}, {running.url})"
    ]
    assert ready(running)


def test_a_taken_port_ends_the_start_before_anything_is_made() -> None:
    root = temporary_data_dir()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        port = holder.getsockname()[1]
        refused = RunningProduct(port=port)
        refused.launch()
        assert refused.process is not None
        assert refused.process.wait(60) == 1
        assert eventually(lambda: bool(refused.lines), 5)
        assert refused.lines == [
            f"OpenSOAR: Port {port} on 127.0.0.1 is taken: stop what uses it or choose another, PORT={port + 1}"
        ]
        assert not (refused.data_dir / "instance.json").exists()
        refused.destroy()
    root.rmdir()


def test_commands_typed_beside_it_use_its_servers(running: RunningProduct) -> None:
    code = "from opensoar.accounts.models import User; print(User.objects.get().username)"
    env = running.environment() | {"OPENSOAR_DATA_DIR": str(running.data_dir)}
    argv = [*running.command()[:2], "shell", "--no-imports", "-v", "0", "-c", code]
    said = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "admin"


@pytest.mark.parametrize("name", ["web", "worker", "valkey", "postgres"])
def test_a_killed_child_is_started_again(running: RunningProduct, name: str) -> None:
    before = running.record(name)
    os.kill(before, signal.SIGKILL)
    running.wait_for(rf"{name} ended \(killed by SIGKILL\).*Next try in")
    running.wait_for(rf"{name} is started again")
    assert running.record(name) != before
    assert eventually(lambda: ready(running)), running.logs()
    running.lines.clear()


def test_no_orphan_serves_when_a_main_process_is_killed(running: RunningProduct) -> None:
    """granian's and Dramatiq's children outlive their parents unless somebody tells them."""
    for name, words in (("web", "opensoar.wsgi"), ("worker", "opensoar.worker")):
        family = set(running.pids(words))
        assert len(family) > 1
        os.kill(running.record(name), signal.SIGKILL)
        running.wait_for(rf"{name} is started again")
        assert eventually(lambda: not family & set(running.pids(words)))  # noqa: B023 - called at once
        running.lines.clear()
    assert eventually(lambda: ready(running)), running.logs()


def test_a_killed_serving_process_is_replaced(running: RunningProduct) -> None:
    serving = [pid for pid in running.pids("opensoar.wsgi") if pid != running.record("web")]
    os.kill(serving[-1], signal.SIGKILL)
    running.wait_for(r"web is started again")
    assert eventually(lambda: ready(running)), running.logs()
    running.lines.clear()


def test_nothing_survives_a_killed_supervisor_and_the_next_start_is_clean(running: RunningProduct) -> None:
    before = running.credentials
    assert running.process is not None
    everything = [running.record(name) for name in ("web", "worker", "valkey", "postgres")]
    everything += running.pids("opensoar.wsgi") + running.pids("opensoar.worker")
    running.process.kill()
    running.process.wait(10)
    assert eventually(lambda: not listening(running.port), 10)
    assert eventually(lambda: all(start_time(pid) is None for pid in everything), 15)
    running.start()
    assert running.credentials == before
    assert "password" not in running.output  # shown once


def test_everything_killed_at_once_leaves_a_clean_next_start(running: RunningProduct) -> None:
    assert running.process is not None
    victims = running.pids("opensoar.wsgi") + running.pids("opensoar.worker")
    victims += [running.record("valkey"), running.record("postgres"), running.process.pid]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    running.process.wait(10)
    running.start()
    assert ready(running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_of_it(running: RunningProduct, number: signal.Signals) -> None:
    pids = [running.record(name) for name in ("web", "worker", "valkey", "postgres")]
    pids += running.pids("opensoar.wsgi") + running.pids("opensoar.worker")
    assert running.stop(number) == 0
    assert running.lines[-1].endswith("Stopped")
    assert all(start_time(pid) is None for pid in pids)
    assert not listening(running.port)
    assert not list((running.data_dir / "run").glob("*.pid"))


def test_a_stale_record_that_names_a_stranger_harms_nobody(product: RunningProduct) -> None:
    if product.process is not None and product.process.poll() is None:
        product.stop()
    stranger = subprocess.Popen(["sleep", "120"])
    try:
        run = product.data_dir / "run"
        (run / "web.pid").write_text(json.dumps({"pid": stranger.pid, "start_time": 1, "boot": boot_id()}))
        (run / "worker.pid").write_text("not json")
        product.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_port_is_followed_by_credentials_env(product: RunningProduct) -> None:
    if product.process is not None and product.process.poll() is None:
        product.stop()
    before = product.credentials
    product.port = free_port()
    product.start()
    assert product.credentials == before | {"OPENSOAR_URL": product.url}
    assert ready(product)


def test_outside_servers_take_the_place_of_the_embedded_ones() -> None:
    root = temporary_data_dir()
    outside = Embedded(root / "servers", fast=True)
    urls = outside.start()
    try:
        env = {
            "DATABASE_URL": urls.database_url,
            "DATABASE_OWNER_URL": urls.owner_url,
            "REDIS_URL": urls.redis_url,
        }
        with RunningProduct(env=env) as running:
            assert ready(running)
            assert not (running.data_dir / "run" / "postgres.pid").exists()
            assert not (running.data_dir / "run" / "valkey.pid").exists()
            assert "create_admin" in running.output
            web = Path(f"/proc/{running.record('web')}/environ").read_bytes()
            assert b"DATABASE_OWNER_URL" not in web  # the owner's rights are for migrations alone
            assert running.stop() == 0
    finally:
        outside.destroy()
        root.rmdir()
