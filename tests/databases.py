"""Databases for tests: one migrated template, cloned in tens of milliseconds. Nothing is ever truncated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from opensoar.embedded.postgres import ADMIN, OWNER
from tests.servers import Servers

TEMPLATE = "opensoar_template"


def create_template(servers: Servers) -> None:
    """A database owned and migrated by the owner's role, as in production; the tests work as the application's.

    It is there already where several sessions share their servers, one after the other.
    """
    servers.start()
    with psycopg.connect(servers.url(ADMIN, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone():
            return
    with empty(servers, TEMPLATE):
        call_command("migrate", verbosity=0, interactive=False)


@contextlib.contextmanager
def empty(servers: Servers, name: str) -> Iterator[None]:
    """A new database ``name`` without a table; inside, Django uses it as the owner, as ``migrate`` does."""
    servers.start()
    _admin(servers, sql.SQL("CREATE DATABASE {} OWNER {}"), name, OWNER)
    password = servers.embedded.layout.secret("postgres_owner")
    with switched_to(NAME=name, USER=OWNER, PASSWORD=password):
        yield


def clone(servers: Servers, name: str) -> None:
    """A new database ``name`` with everything that migrations make."""
    _admin(servers, sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER " + OWNER), name, TEMPLATE)


def drop(servers: Servers, name: str) -> None:
    """Drop ``name``, whoever is still connected."""
    _admin(servers, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), name)


@contextlib.contextmanager
def switched_to(**changes: str) -> Iterator[None]:
    """Inside, every connection that Django opens in any thread is made with these settings (NAME, USER, ...)."""
    shared = connections.settings["default"]  # the one dictionary that all threads' connections read
    before = {name: shared[name] for name in changes}
    connections["default"].close()
    shared.update(changes)
    try:
        yield
    finally:
        connections["default"].close()
        shared.update(before)


def _admin(servers: Servers, statement: sql.SQL, *names: str) -> None:
    with psycopg.connect(servers.url(ADMIN, "postgres"), autocommit=True) as connection:
        connection.execute(statement.format(*map(sql.Identifier, names)))
