"""What every installation does now and then beside playbooks, a portion at a time, in threads that claims do not wait for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor

from django.db import connection

from alerts.ledger import health, purge
from incidents import retention, suggestion_store
from playbooks_engine.journal import CONNECTION_ERRORS

logger = logging.getLogger(__name__)
MINUTE = 60.0  # between two looks for something to archive or delete, or a source that is silent
SUGGEST_SECONDS = 1.0  # between two looks for alerts to group
SUGGEST_SHARE = 4  # while there are more: this many times as long is paused as was worked


class Chore:
    """One of them. Two processes may be at it at once: what it does sees to that."""

    def __init__(
        self,
        name: str,
        portion: Callable[[], int | bool],
        helpers: Executor,
        *,
        every: float,
        share: float = 0,
    ) -> None:
        """``portion`` says whether there may be more; ``every``: seconds between two looks once there is not.

        ``share``: while there is more, so many times as long is paused as a portion took, so that a storm is served
        first and the chore lags behind.
        """
        self.name, self.portion, self.helpers, self.every, self.share = name, portion, helpers, every, share
        self._at = 0.0  # monotonic time of the next look

    def look(self) -> None:
        """Begin a portion if it is time."""
        if time.monotonic() >= self._at:
            self._at = float("inf")
            self.helpers.submit(self._do)

    def _do(self) -> None:
        began, more = time.monotonic(), False
        try:
            more = bool(self.portion())
        except CONNECTION_ERRORS as error:
            logger.warning("%s: the database is away: %s", self.name, error)
        except Exception:
            logger.exception("%s failed", self.name)
        finally:
            connection.close()
            now = time.monotonic()
            self._at = now + (self.share * (now - began) if more else self.every)


def chores(helpers: Executor) -> list[Chore]:
    """All of them."""
    return [
        Chore("retention", retention.sweep, helpers, every=MINUTE),
        Chore("purge", purge.sweep, helpers, every=MINUTE),
        Chore("source health", health.sweep, helpers, every=MINUTE),
        Chore("suggestions", suggestion_store.advance, helpers, every=SUGGEST_SECONDS, share=SUGGEST_SHARE),
    ]
