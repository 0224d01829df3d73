"""Connections of the pool, for what runs outside Django's requests."""

from __future__ import annotations

from django.db import connection


def release_connection() -> None:
    """Give the thread's connection back to the pool; a request waits for its commit without one."""
    if not connection.in_atomic_block:
        connection.close()
