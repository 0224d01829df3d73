"""Watching over the children: who died is started again, with growing pauses, and a stop ends all in order."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from opensoar.embedded import ProcessFailed
from opensoar.embedded.process import Child, Command, spawn
from opensoar.supervisor.instance import set_aside

FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS = 0.5, 30.0, 60.0
HOUSEKEEPING_SECONDS = 60.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Service:
    """One child of the tree and what is known of its health."""

    name: str
    start: Callable[[], Child]
    child: Child | None = None
    pause: float = FIRST_PAUSE
    due: float | None = None  # when to start it again (monotonic)


@dataclass(slots=True)
class Tree:
    """The supervised services, in the order in which they are stopped."""

    say: Callable[[str], None]
    services: list[Service] = field(default_factory=list)
    stopping: bool = False
    _signals: int = 0
    _wakeup: tuple[int, int] = (-1, -1)

    def listen(self) -> None:
        """Turn signals into wake-ups of :meth:`run`: nothing is polled while all is well."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._wakeup = (read, write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask_to_stop)

    def add(self, service: Service, *, first: bool = False, after: Service | None = None) -> None:
        """Start a service unless it runs, and watch over it; its place is its turn when all are stopped."""
        if service.child is None:
            service.child = service.start()
        place = 0 if first else len(self.services) if after is None else self.services.index(after) + 1
        self.services.insert(place, service)

    def dead(self) -> Service | None:
        """A service that has ended, if there is one."""
        return next(
            (s for s in self.services if s.child is not None and s.child.exit_code() is not None), None
        )

    def wait(self, seconds: float) -> None:
        """Sleep until a signal comes (a child's death is one), at most ``seconds``."""
        select.select([self._wakeup[0]], [], [], max(seconds, 0.0))
        try:
            os.read(self._wakeup[0], 1024)
        except BlockingIOError:
            return

    def run(self) -> None:
        """Watch until asked to stop."""
        housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
        while not self.stopping:
            now = time.monotonic()
            for service in self.services:
                self._care(service, now)
            if now >= housekeeping:
                housekeeping = now + HOUSEKEEPING_SECONDS
                for service in self.services:
                    if service.child is not None:
                        set_aside(service.child.command.log)
            due = [service.due for service in self.services if service.due is not None]
            self.wait(min([housekeeping, *due]) - time.monotonic())

    def stop(self) -> None:
        """End all services in order; a second signal meanwhile ends them hard."""
        self.stopping = True
        for service in self.services:
            child, service.child = service.child, None
            if child is None:
                continue
            began = self._signals
            child.popen.send_signal(child.command.stop_signal)
            deadline = time.monotonic() + child.command.stop_seconds
            while child.exit_code() is None and time.monotonic() < deadline and self._signals == began:
                self.wait(min(0.5, deadline - time.monotonic()))
            child.stop(0.0 if child.exit_code() is None else None)

    def _care(self, service: Service, now: float) -> None:
        child = service.child
        if child is not None and child.exit_code() is not None:
            self._bury(service, child, now)
        elif child is None and service.due is not None and now >= service.due and not self.stopping:
            try:
                service.child, service.due = service.start(), None
            except ProcessFailed as error:
                self._postpone(service, str(error))
            else:
                self.say(f"{service.name} is started again")

    def _bury(self, service: Service, child: Child, now: float) -> None:
        if now - child.started_at >= STEADY_SECONDS:
            service.pause = FIRST_PAUSE
        service.child = None
        child.release()
        self._postpone(service, f"{service.name} ended ({how(child)}): {child.last_words()}")

    def _postpone(self, service: Service, what: str) -> None:
        service.due = time.monotonic() + service.pause
        self.say(f"{what}. Next try in {service.pause:g} s")
        service.pause = min(service.pause * 2, LONGEST_PAUSE)

    def _ask_to_stop(self, *_: object) -> None:
        self._signals += 1
        self.stopping = True


def how(child: Child) -> str:
    """How a child ended, in words."""
    code = child.exit_code() or 0
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def starter(command: Command, run_dir: Path) -> Callable[[], Child]:
    """A function that starts ``command``, again and again."""
    return lambda: spawn(command, run_dir)
