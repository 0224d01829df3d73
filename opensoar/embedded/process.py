"""Child processes that never outlive their supervisor, and the clearing away of those that did.

Three nets, because each has a hole: the kernel signals a child when its parent dies (Linux, only the
direct child), a death pipe tells every descendant (``opensoar.deathwatch``), and a record of pid and
start time lets the next start end what is left (a pid alone may belong to somebody else by then).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from opensoar.embedded.service_user import ServiceUser

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: never between fork and exec


class ProcessFailed(RuntimeError):
    """A service could not be started or prepared; the text is one line that names it and the cure."""


class ProcessId(NamedTuple):
    """A process that cannot be mistaken for another: its pid and when the kernel started it (clock ticks)."""

    pid: int
    start_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How one service is started and stopped. ``user`` is None for the invoking user."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    log: Path
    user: ServiceUser | None = None
    cwd: str = "/"
    stdin: bytes = b""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    death_signal: signal.Signals = signal.SIGTERM
    death_pipe: Path | None = None  # where web and worker processes learn that nobody watches them any more


@dataclass(slots=True)
class Child:
    """A running service: its process, its record on disk and the writing end of its death pipe."""

    command: Command
    popen: subprocess.Popen[bytes]
    ident: ProcessId
    record: Path
    started_at: float
    log_start: int = 0  # where its lines begin in the log
    death_fd: int | None = field(default=None)

    @property
    def name(self) -> str:
        return self.command.name

    def last_words(self) -> str:
        """The line of its log that best says why it ended, and where the rest is."""
        time.sleep(0.05)  # what a dying process wrote last may still be on its way
        try:
            with open(self.command.log, "rb") as log:
                log.seek(self.log_start)
                lines = log.read().decode(errors="replace").strip().splitlines()[-40:]
        except OSError:
            lines = []
        return f"{telling_line(lines) or 'it said nothing'} (log: {self.command.log})"

    def exit_code(self) -> int | None:
        """The exit status once it has ended (negative: the signal), else None."""
        return self.popen.poll()

    def release(self) -> None:
        """End what the dead main process left in its session, and forget the record."""
        if self.death_fd is not None:
            os.close(self.death_fd)
            self.death_fd = None
        _end_session(self.ident.pid, since=self.ident.start_time, grace=6.0)
        if self.command.death_pipe is not None:
            self.command.death_pipe.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def stop(self, seconds: float | None = None) -> None:
        """Ask it to stop, wait, and end it hard (with its session) when it does not."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(self.command.stop_signal)
        try:
            self.popen.wait(self.command.stop_seconds if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.release()


def spawn(command: Command, run_dir: Path) -> Child:
    """Start ``command`` in a session of its own. Call it from the main thread: the kernel ties the
    death signal to the thread that forked."""
    death_fd = _open_death_pipe(command.death_pipe)
    env = dict(command.env)
    if command.death_pipe is not None:
        env["OPENSOAR_DEATH_PIPE"] = str(command.death_pipe)
    user = command.user
    with open(command.log, "ab") as log:
        log_start = log.tell()
        try:
            popen = subprocess.Popen(
                command.argv,
                stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=command.cwd,
                env=env,
                start_new_session=True,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                umask=0o077 if user else -1,
                preexec_fn=die_with_parent(command.death_signal),
            )
        except OSError as error:
            raise ProcessFailed(
                f"{command.name}: {command.argv[0]} cannot be started ({error.strerror})"
            ) from None
    if popen.stdin is not None:
        with contextlib.suppress(BrokenPipeError), popen.stdin:
            popen.stdin.write(command.stdin)
    ident = ProcessId(popen.pid, start_time(popen.pid) or 0)
    record = run_dir / f"{command.name}.pid"
    record.write_text(json.dumps({"pid": ident.pid, "start_time": ident.start_time, "boot": boot_id()}))
    return Child(command, popen, ident, record, time.monotonic(), log_start, death_fd)


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before it becomes its program, so that the kernel sends ``number`` when we die."""
    if _libc is None:
        return None
    parent = os.getpid()
    return lambda: bind_to_parent(parent, number)


def bind_to_parent(parent: int, number: signal.Signals | None) -> None:
    """Have the kernel send us ``number`` when the thread of ``parent`` that started us ends; None undoes it.

    Does nothing where there is no such service; ends at once where the parent is gone already.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(number or 0))
    if os.getppid() != parent:  # it died before this: the signal will never come
        os._exit(1)


def run_once(command: Command, *, timeout: float = 120.0) -> None:
    """Run a short command to its end; raise :class:`ProcessFailed` with the last line of what it said."""
    user = command.user
    done = subprocess.run(
        command.argv,
        input=command.stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=command.cwd,
        env=dict(command.env),
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
        umask=0o077 if user else -1,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        with open(command.log, "ab") as log:
            log.write(done.stdout)
        said = telling_line(done.stdout.decode(errors="replace").strip().splitlines())
        raise ProcessFailed(
            f"{command.name}: {said or f'exit status {done.returncode}'} (log: {command.log})"
        )


def telling_line(lines: list[str]) -> str:
    """The last line that names an error: an exception's, else PostgreSQL's or a logger's, else the last one."""
    for pattern in (
        r"^[\w.]+(Error|Exception|Exit|Interrupt)\b",
        r"\b(FATAL|PANIC):",
        r"\b(ERROR|CRITICAL)\b",
    ):
        for line in reversed(lines):
            if re.search(pattern, line):
                return line.strip()
    return lines[-1].strip() if lines else ""


def end_leftovers(run_dir: Path) -> list[str]:
    """End what an earlier supervisor left running, by the records in ``run_dir``; returns the names ended."""
    ended = []
    for record in sorted(run_dir.glob("*.pid"), key=_stop_order):
        try:
            data = json.loads(record.read_text())
            ident, boot = ProcessId(int(data["pid"]), int(data["start_time"])), data["boot"]
        except (ValueError, KeyError, TypeError, OSError):
            record.unlink(missing_ok=True)
            continue
        if boot == boot_id():
            alive = is_alive(ident)
            first = signal.SIGINT if record.stem == "postgres" else signal.SIGTERM
            if alive:
                end(ident, first, grace=10.0)
            if _end_session(ident.pid, since=ident.start_time, grace=2.0) or alive:
                ended.append(record.stem)
        record.unlink(missing_ok=True)
    for pipe in run_dir.glob("*.death"):
        pipe.unlink(missing_ok=True)
    return ended


def end(ident: ProcessId, first: signal.Signals, *, grace: float) -> None:
    """Signal a process that is not our child, wait ``grace`` seconds for it, then kill it."""
    for number, seconds in ((first, grace), (signal.SIGKILL, 5.0)):
        if not is_alive(ident):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(ident.pid, number)
        if wait_until(lambda: not is_alive(ident), seconds):
            return


def wait_until(condition: Callable[[], bool], seconds: float, *, step: float = 0.02) -> bool:
    """Poll ``condition`` until it holds; False when ``seconds`` have passed first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(step)
    return True


def is_alive(ident: ProcessId) -> bool:
    """Whether this very process still runs (a zombie does not)."""
    return start_time(ident.pid) == ident.start_time


def start_time(pid: int) -> int | None:
    """When the kernel started ``pid`` (clock ticks since boot), or None where it is gone or a zombie."""
    stat = _stat(pid)
    return None if stat is None or stat[0] in "ZX" else int(stat[19])


def process_age() -> float:
    """Seconds since this process was started; what it has executed since makes no difference."""
    ticks = start_time(os.getpid())
    if ticks is None:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def boot_id() -> str:
    """What tells one boot of the machine from the next; start times repeat across boots."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def processes() -> Iterator[int]:
    """Every pid that /proc shows."""
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                yield int(entry)


def working_in(directory: Path) -> list[ProcessId]:
    """Processes whose working directory is ``directory``: how a postmaster and its backends are told apart
    from strangers that got their pid."""
    wanted = str(directory)
    found = []
    for pid in processes():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd") == wanted and (ticks := start_time(pid)) is not None:
                found.append(ProcessId(pid, ticks))
    return found


def _open_death_pipe(path: Path | None) -> int | None:
    """A named pipe, so that processes which granian or multiprocessing start without our descriptors find it too."""
    if path is None:
        return None
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(reader)


def _end_session(sid: int, *, since: int, grace: float) -> bool:
    """End every process of the session ``sid`` that started at or after ``since``; True where there was one."""
    members = [member for member in _session_members(sid) if member.start_time >= since]
    if not members:
        return False
    if not wait_until(lambda: not any(is_alive(member) for member in members), grace):
        for member in members:
            end(member, signal.SIGKILL, grace=5.0)
    return True


def _session_members(sid: int) -> list[ProcessId]:
    found = []
    for pid in processes():
        stat = _stat(pid)
        if stat is not None and stat[0] not in "ZX" and int(stat[3]) == sid:
            found.append(ProcessId(pid, int(stat[19])))
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on (the name before it may hold blanks and brackets)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _stop_order(record: Path) -> int:
    order = ["web", "worker", "valkey", "postgres"]
    return order.index(record.stem) if record.stem in order else -1
