"""What must be done before the product can serve: migrations, static files, playbooks, the first admin."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from opensoar.embedded import ProcessFailed, Urls
from opensoar.embedded.process import die_with_parent, telling_line
from opensoar.supervisor import stamps
from opensoar.supervisor.instance import read_credentials, update_url
from opensoar.supervisor.options import BASE_DIR, Options
from opensoar.supervisor.tree import Tree


class Preparation:
    """The steps that this start needs, run by ``manage.py prepare``; none where nothing has changed."""

    def __init__(self, options: Options, data_dir: Path, env: dict[str, str], urls: Urls, tree: Tree) -> None:
        self.options, self.tree = options, tree
        self.credentials = data_dir / "credentials.env"
        self.log = data_dir / "logs" / "prepare.log"
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self.created_admin = False
        self.demo: dict[
            str, str
        ] = {}  # who can sign in to the demo that this start loaded, with which password
        self._stamps = stamps.Stamps(data_dir)
        self._now = stamps.current(options)
        # Migrations are the owner's; nothing else ever gets that URL.
        owner = urls.owner_url or os.environ.get("DATABASE_OWNER_URL") or options.database_url
        self._env = env | {"DATABASE_URL": owner, "OPENSOAR_DB_POOL": "0"}
        self._running: list[tuple[subprocess.Popen[bytes], bytearray]] = []
        self._embedded = bool(urls.database_url)
        self.steps = self._needed()
        self._left = list(self.steps)
        if self.steps:
            self._stamps.forget()

    def begin(self, only: str | None = None) -> None:
        """Start the step ``only``, or all that are left, in one process: loading Django is the costly part."""
        steps = [step for step in self._left if only in (None, step)]
        self._left = [step for step in self._left if step not in steps]
        if not steps or self.tree.stopping:
            return
        argv = [sys.executable, str(BASE_DIR / "manage.py"), "prepare", *steps]
        argv += ["--credentials", str(self.credentials), "--url", self.options.url]
        argv += ["--demo"] if self.options.demo and only is None else []
        with open(self.log, "ab") as errors:
            process = subprocess.Popen(
                argv,
                env=self._env,
                cwd=BASE_DIR,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._running.append((process, bytearray()))

    def finish(self) -> None:
        """Wait for all that was begun, telling what gets done; note that it need not be done again."""
        while any(process.poll() is None for process, _ in self._running):
            self._listen()
            if self.tree.stopping:
                self.cancel()
                return
            self.tree.wait(0.1)
        self._listen()
        if any(process.returncode for process, _ in self._running):
            with open(self.log, "rb") as log:
                log.seek(self._log_start)
                said = telling_line(log.read().decode(errors="replace").strip().splitlines())
            raise ProcessFailed(f"The preparation failed: {said} (log: {self.log})")
        update_url(self.credentials, self.options.url)
        if self._embedded:
            self._stamps.note(self._now)

    def cancel(self) -> None:
        """End what still runs; a migration that is cut off rolls back."""
        for process, _ in self._running:
            if process.poll() is None:
                process.terminate()
                process.wait()

    def _needed(self) -> list[str]:
        if not self._embedded:
            # What happened to somebody else's database cannot be known, and its first admin is made there.
            return [step for step in stamps.STEPS if step != "admin"]
        steps = self._stamps.changed(self._now)
        if "admin" not in steps and not read_credentials(self.credentials):
            steps.append("admin")
        return steps

    def _listen(self) -> None:
        for process, heard in self._running:
            assert process.stdout is not None
            heard += process.stdout.read() or b""
            *lines, rest = heard.split(b"\n")
            heard[:] = rest
            for line in lines:
                self._understand(bytes(line))

    def _understand(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return  # something printed by a library
        if not isinstance(message, dict):
            return
        self.created_admin = self.created_admin or bool(message.get("created_admin"))
        self.demo = message.get("demo") or self.demo
        if message.get("done"):
            self.tree.say(str(message["done"]))
