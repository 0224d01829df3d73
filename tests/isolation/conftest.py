"""One database with two customers in it, made once; every test's changes are rolled back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from playbooks_engine.models import WorkerBeat
from tests import databases
from tests.factories import make_user
from tests.isolation.callers import Caller, address, routes_for, text_of
from tests.isolation.world import OURS, ROLES, THEIRS, Customer, make_customer, missing
from tests.servers import Servers

NAME = "test_isolation"


class World:
    """Two customers. ``before`` is what the first one's people were answered when the second did not exist."""

    def __init__(self) -> None:
        self.people = {role: make_user(f"{role}-of-all", role) for role in ROLES}
        WorkerBeat.objects.create(
            host="worker", pid=1, generation=1_000_000
        )  # so that nobody waits for a reload
        self.ours = make_customer(OURS, 1, alerts=2)
        with rolled_back():
            self.before = {caller.name: everything(caller, self.ours) for caller in callers_of(self.ours)}
        self.theirs = make_customer(THEIRS, 2, alerts=5)
        self.nobodys = missing(self.theirs)


def callers_of(customer: Customer) -> list[Caller]:
    """The customer's people who may most and who do most, and a token that may do everything."""
    people = {role: Caller(role, user=customer.people[role]) for role in ("admin", "analyst")}
    return [*people.values(), Caller("token", token=customer.token)]


def everything(caller: Caller, customer: Customer) -> dict[str, str]:
    """What every address that can be read answers."""
    return {
        address(route, customer): text_of(caller.ask(route, "GET", customer))
        for route in routes_for(caller.name)
        if "GET" in route.methods
    }


@contextlib.contextmanager
def rolled_back() -> Iterator[None]:
    """Nothing that happens inside stays."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(scope="package")
def database(servers: Servers, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    databases.clone(servers, NAME)
    with django_db_blocker.unblock(), databases.switched_to(NAME=NAME):
        yield World()
    databases.drop(servers, NAME)


@pytest.fixture
def world(database: World) -> Iterator[World]:
    """The two customers."""
    with rolled_back():
        yield database


Rows = dict[str, set[str]]


def rows(mark: str = "", *others: str) -> Rows:
    """Every row of every table as text; with ``mark`` only those that hold it or one of ``others``."""
    found: Rows = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table not in PASSING:
                cursor.execute(f'SELECT t::text FROM "{table}" t')
                texts = {text for (text,) in cursor.fetchall()}
                found[table] = {
                    text for text in texts if not mark or any(word in text for word in (mark, *others))
                }
    return found


# Who signed in and how often somebody failed to.
PASSING = {"django_session", "accounts_loginthrottle"}
