"""Alerts from files, by the way the webhooks take: what ``manage.py ingest`` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from alerts.committer import chunked, committer, store_stream
from alerts.incoming import Incoming
from alerts.intake import Envelope, read_body, read_item
from alerts.payloads import parse_item
from alerts.senders import Sender
from opensoar.accounts.models import Partner


def ingest_file(
    file: BinaryIO,
    *,
    source: str = "",
    partner: Partner | None = None,
    progress: Callable[[Counter[str]], object] = lambda _states: None,
) -> Counter[str]:
    """Store every alert of ``file``; counts the states. ``source`` and ``partner`` bind all of them when given.

    Raises ``alerts.ingest.Unavailable`` when the database stays away; ``progress`` has seen what was stored before.
    """
    sender = Sender(
        None,
        "ingest",
        partner_id=None if partner is None else partner.pk,
        partner=None if partner is None else partner.public_slug,
        source=source,
    )
    states: Counter[str] = Counter()

    def stored(items: Sequence[Incoming]) -> None:
        states.update(item.outcome.state for item in items if item.outcome is not None)
        progress(states)

    try:
        store_stream(chunked(read_file(file, Envelope(sender))), stored)
    finally:
        committer.close()
    return states


def read_file(file: BinaryIO, envelope: Envelope) -> Iterator[Incoming]:
    """Everything a file holds. NDJSON and CEF or LEEF lines are read line by line, JSON as a whole."""
    first, second = file.readline(), file.readline()
    if not second or parse_item(first.strip()).payload is None:
        yield from read_body(first + second + file.read(), envelope)
        return
    for number, line in enumerate(chain((first, second), file), 1):
        if line := line.strip():
            yield read_item(parse_item(line), envelope, number)
