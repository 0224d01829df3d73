"""Boots and stops the engine inside a Dramatiq worker process."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from dramatiq import Broker, Middleware, Worker

from opensoar import deathwatch

if TYPE_CHECKING:
    from playbooks_engine.worker import Engine

_engine: Engine | None = None


def running_engine() -> Engine | None:
    """This process's engine; ``None`` in a process that is no worker."""
    return _engine


class EngineMiddleware(Middleware):
    """One engine per worker process: loads the playbooks at boot, hands its claims back at shutdown."""

    def after_process_boot(self, broker: Broker) -> None:
        """Start the engine; a database that is not there yet ends the process, and its supervisor tries again."""
        global _engine
        # Imported here: Django sets the broker, and with it this middleware, before models can be loaded.
        from django.conf import settings

        from playbooks_engine import bell
        from playbooks_engine.journal import bound_transactions
        from playbooks_engine.worker import Engine

        deathwatch.install()
        bound_transactions(settings.LEASE_SECONDS)
        _engine = Engine(
            directories=settings.PLAYBOOK_DIRS, lease=settings.LEASE_SECONDS, capacity=settings.WORKER_RUNS
        )
        deathwatch.on_death(_engine.release_now)
        _engine.start()
        bell.listen(_engine.wake)
        deathwatch.announce_ready()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Rule 13 of docs/engine.md: exit within 30 s, others go on within 2 s."""
        if _engine is not None:
            _engine.stop(timeout=25)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Python waits for every thread before it ends, and that of a blocking action may never end."""
        if _engine is not None and _engine.has_busy_threads:
            logging.shutdown()
            os._exit(0)
