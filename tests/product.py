"""The product as a person starts it: ``manage.py up`` in a process of its own, on a temporary data directory."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from opensoar.embedded.process import processes
from opensoar.supervisor.instance import read_credentials
from tests.servers import temporary_data_dir

BASE_DIR = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0


class RunningProduct:
    """One data directory and the product that runs on it; a context manager that leaves nothing behind."""

    def __init__(
        self, *, port: int | None = None, playbooks: Path | None = None, env: dict[str, str] | None = None
    ):
        self.root = temporary_data_dir()
        self.data_dir = self.root / "data"
        self.port = port or free_port()
        self.extra = dict(env or {})
        if playbooks is not None:
            self.extra["PLAYBOOK_DIRS"] = str(playbooks)
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> RunningProduct:
        try:
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        """The names and values of credentials.env."""
        return read_credentials(self.data_dir / "credentials.env")

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def client(self, token: str = "OPENSOAR_API_TOKEN") -> httpx.Client:
        """A client of the API that carries a token of credentials.env ("" for none)."""
        headers = {"Authorization": f"Bearer {self.credentials[token]}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def launch(self) -> None:
        """Start ``manage.py up`` without waiting for it."""
        self.lines = []
        self.process = subprocess.Popen(
            self.command(),
            cwd="/",
            env=self.environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def start(self) -> float:
        """Start and wait until it says that it is ready; returns the seconds by its own count."""
        self.launch()
        return self.wait_for(r"\[ *([0-9.]+) s\] Ready", START_SECONDS)

    def wait_for(self, pattern: str, seconds: float = 30.0) -> float:
        """Wait until a line matches; returns its first group as a number, where it has one."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if match := re.search(pattern, line):
                    return float(match[1]) if match.groups() else 0.0
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(
            f"no line matched {pattern!r} (exit {self.process.poll()}):\n{self.output}\n{self.logs()}"
        )

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 40.0) -> int:
        """Signal the supervisor and return its exit status."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        if self._reader is not None:
            self._reader.join(5)
        return code

    def destroy(self) -> None:
        """Stop it and delete its data."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def command(self) -> list[str]:
        argv = [sys.executable, str(BASE_DIR / "manage.py"), "up", "--port", str(self.port)]
        return [*argv, "--data-dir", str(self.data_dir)]

    def environment(self) -> dict[str, str]:
        """The caller's environment without what this test session set for itself."""
        ours = ("OPENSOAR_", "DATABASE_", "REDIS_", "PLAYBOOK_", "DJANGO_", "PYTEST_")
        return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | self.extra

    def pids(self, *words: str) -> list[int]:
        """Processes of this product whose command line holds every one of ``words``."""
        found = []
        for pid in processes():
            with contextlib.suppress(OSError):
                environ = Path(f"/proc/{pid}/environ").read_bytes()
                if f"OPENSOAR_DATA_DIR={self.data_dir}\0".encode() not in environ + b"\0":
                    continue
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if all(word in line for word in words):
                    found.append(pid)
        return sorted(found)

    def record(self, name: str) -> int:
        """The pid of the main process of ``web``, ``worker``, ``postgres`` or ``valkey``."""
        text = (self.data_dir / "run" / f"{name}.pid").read_text()
        match = re.search(r'"pid": (\d+)', text)
        assert match is not None
        return int(match[1])

    def logs(self) -> str:
        """The end of every log, for the message of a failed test."""
        logs = sorted((self.data_dir / "logs").glob("*.log"))
        ends = (log.read_text(errors="replace").splitlines()[-15:] for log in logs)
        return "\n".join(f"--- {log.name}\n" + "\n".join(end) for log, end in zip(logs, ends, strict=True))

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
