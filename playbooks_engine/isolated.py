"""A process of its own for runs that must not share one (see isolation.py, which starts it)."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from opensoar.embedded.process import bind_to_parent

IDLE_SECONDS = 2.0  # how long it waits for more before it ends


def main() -> None:
    """Take what must run alone, one sequence at a time, until nothing is left or the worker that started it is gone.

    Its successor starts one of its own: workers that die again and again leave no crowd behind.
    """
    parent = os.getppid()
    bind_to_parent(parent, signal.SIGKILL)  # while it loads it holds nothing: it need not even finish that
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opensoar.settings")
    import django

    django.setup()
    from django.conf import settings

    from opensoar import deathwatch
    from playbooks_engine.journal import bound_transactions
    from playbooks_engine.worker import Engine

    deathwatch.install()
    bound_transactions(settings.LEASE_SECONDS)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine = Engine(
        directories=settings.PLAYBOOK_DIRS, lease=settings.LEASE_SECONDS, capacity=1, isolated=True
    )
    deathwatch.on_death(engine.release_now)
    bind_to_parent(parent, None)
    engine.start()
    idle_since = time.monotonic()
    while not stop.wait(0.1) and time.monotonic() - idle_since < IDLE_SECONDS:
        if os.getppid() != parent:
            engine.capacity = 0  # what is under way ends here, what waits is another's
        if not engine.is_idle:
            idle_since = time.monotonic()
    engine.stop(timeout=15)
    if engine.has_busy_threads:  # Python would wait for them, and that of a blocking action may never end
        logging.shutdown()
        os._exit(0)


if __name__ == "__main__":
    main()
