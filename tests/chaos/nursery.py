"""Forks processes that have Django and the engine loaded, so that a killed worker is replaced in milliseconds.

Reads ``role arguments…`` lines, answers each with the pid. It has no thread, no connection and no loop of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

import django

from opensoar.embedded.process import die_with_parent


def main() -> None:
    django.setup()
    from tests.chaos import roles

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for exit codes: the kernel buries the dead
    before = die_with_parent(signal.SIGKILL)
    assert before is not None
    for line in sys.stdin:
        role, *args = line.split()
        if role == "ready":
            print("ready", flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                before()
                roles.become(role, args)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
