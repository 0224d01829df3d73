"""The parts of one installation that belong to the product itself: keys, the port, credentials.env, log files."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from opensoar.embedded import ProcessFailed
from opensoar.embedded.layout import write_private
from opensoar.env import env_list

LOG_BYTES = 20_000_000  # a log file past this is set aside (one generation is kept)


def ensure_keys(data_dir: Path, env: dict[str, str]) -> None:
    """Name the key files in ``env`` unless keys are given; a missing file is made with a fresh key."""
    kinds: tuple[tuple[str, str, Callable[[], str]], ...] = (
        ("OPENSOAR_SECRET_KEY", "django_secret_key", lambda: secrets.token_urlsafe(64)),
        (
            "OPENSOAR_SECRETS_KEY",
            "connector_key",
            lambda: base64.urlsafe_b64encode(os.urandom(32)).decode(),
        ),
    )
    for variable, name, make in kinds:
        if env.get(variable) or env.get(f"{variable}_FILE"):
            continue
        path = data_dir / "secrets" / name
        if not path.exists():
            write_private(path, make() + "\n")
        env[f"{variable}_FILE"] = str(path)


def check_port(host: str, port: int) -> None:
    """Raise :class:`ProcessFailed` unless ``host:port`` can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            raise ProcessFailed(
                f"Port {port} may not be used by this user: choose another, PORT=8001"
            ) from None
        except OSError as error:
            if error.errno == 98 or "in use" in str(error):
                raise ProcessFailed(
                    f"Port {port} on {host} is taken: stop what uses it or choose another, PORT={port + 1}"
                ) from None
            raise ProcessFailed(f"{host}:{port} cannot be listened on: {error.strerror}") from None


def answers(host: str, port: int, path: str) -> bool:
    """Whether ``GET path`` is answered 200, asked under a name that OPENSOAR_ALLOWED_HOSTS admits.

    By hand: the standard library's client loads certificates, four times the memory of the whole supervisor.
    """
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    allowed = [name.lstrip(".") for name in env_list("OPENSOAR_ALLOWED_HOSTS") if name != "*"]
    name = allowed[0] if allowed else "localhost"
    try:
        with socket.create_connection((address, port), timeout=2) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            return client.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def read_credentials(path: Path) -> dict[str, str]:
    """The names and values of credentials.env; empty where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def write_credentials(path: Path, values: dict[str, str]) -> None:
    """Write credentials.env, readable for its owner alone."""
    write_private(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def update_url(path: Path, url: str) -> None:
    """Follow a changed port in credentials.env; everything else in it stays."""
    values = read_credentials(path)
    if values and values.get("OPENSOAR_URL") != url:
        write_credentials(path, values | {"OPENSOAR_URL": url})


def set_aside(log: Path) -> None:
    """Copy a log that has grown too large to ``<name>.1`` and empty it; whoever appends to it goes on doing so."""
    try:
        if log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
    except OSError:
        return
