"""Work that costs little more for many than for one: a thread takes what has come together, as the journal's does."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from django.db import connection

from playbooks_engine.journal import CONNECTION_ERRORS, batches

logger = logging.getLogger(__name__)
BATCH = 50  # items at the most


class Batcher[Item, Result]:
    """Answers items with what ``work`` makes of them, many at once."""

    def __init__(self, name: str, work: Callable[[list[Item]], Sequence[Result | Exception]]) -> None:
        """``work`` gives an answer, or an exception, per item. Where it raises, each item is tried alone."""
        self._name = name
        self._work = work
        self._queue: queue.SimpleQueue[tuple[Item, Future[Result]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Do what was submitted, then end the thread; waits ``timeout`` seconds at the most."""
        self._queue.put(None)
        self._thread.join(timeout)

    def submit(self, item: Item) -> Future[Result]:
        """Have ``item`` answered."""
        answer: Future[Result] = Future()
        answer.set_running_or_notify_cancel()  # whoever waits for it may go; the work is done all the same
        self._queue.put((item, answer))
        return answer

    def _run(self) -> None:
        for batch in batches(self._queue, BATCH):
            self._answer(batch)
        connection.close()

    def _answer(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._work([item for item, _answer in batch])
        except Exception as error:
            away = isinstance(error, CONNECTION_ERRORS)
            if away:
                connection.close()
            if away or len(batch) == 1:
                for _item, answer in batch:
                    answer.set_exception(error)
                return
            # Something about one of them; alone, only that one fails.
            logger.warning("%s: %d together failed; one by one", self._name, len(batch), exc_info=True)
            for single in batch:
                self._answer([single])
            return
        for (_item, answer), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
