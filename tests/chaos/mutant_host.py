"""The tests of one mutant after the other, each in a fork of one process: it keeps the servers, the migrated template
and everything imported that no mutant changes. Runs in a copy of the tree, started by mutants.py: a line on standard
input, a verdict on standard output.
"""

from __future__ import annotations

import os
import signal
import sys
import time

# Imported here for the forks.
import dramatiq  # noqa: F401
import httpx  # noqa: F401
import hypothesis  # noqa: F401
import psycopg_pool  # noqa: F401
import pytest
import rest_framework  # noqa: F401

from tests.servers import DATABASE, servers

PATIENCE = 600.0  # a mutant that hangs is noticed by the tests' own limits, or by this
ARGUMENTS = ("-q", "-x", "-p", "no:cacheprovider", "--timeout", "60", "-W", "ignore::pytest.PytestWarning")


def main() -> None:
    """Until standard input ends; the arguments are the tests."""
    servers.start()
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(_tests())
        print("survived" if _waited(child) == 0 else "killed", flush=True)


def _tests() -> int:
    from tests import databases

    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    servers.stop = lambda: None  # type: ignore[method-assign]  # they are the host's
    databases.drop(servers, DATABASE)
    return int(pytest.main([*ARGUMENTS, *sys.argv[1:]]))


def _waited(child: int) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


if __name__ == "__main__":
    main()
