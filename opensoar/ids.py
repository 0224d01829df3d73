"""Identifiers: UUIDv7, so that primary keys sort by time of creation."""

from __future__ import annotations

import uuid

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> uuid.UUID:
    """A new time-ordered id."""
    return _uuid7()
