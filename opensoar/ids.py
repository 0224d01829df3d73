"""Identifiers: UUIDv7, so that primary keys sort by time of creation."""

from __future__ import annotations

import uuid
from datetime import datetime

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> uuid.UUID:
    """A new time-ordered id."""
    return _uuid7()


def first_id_at(moment: datetime) -> uuid.UUID:
    """The smallest id that :func:`uuid7` gives at ``moment`` (aware): newer rows have greater ones.

    Before 1970 there was none: the smallest of all.
    """
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62)
