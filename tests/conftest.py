"""What every test may ask for: a database it can roll back, one of its own, the product running as a whole."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from opensoar.embedded.postgres import APP
from tests import databases
from tests.product import RunningProduct
from tests.servers import DATABASE, Servers
from tests.servers import servers as session_servers


def pytest_configure(config: pytest.Config) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # argon2 is slow on purpose
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


# Files that start the product, or a browser: they come first, so that no process is left alone with one at the end.
LONG = ("tests/e2e/", "tests/pollers/", "tests/test_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    for item in items:
        marker = item.get_closest_marker("django_db")
        if "tests/e2e/" in item.nodeid:
            item.add_marker("e2e")
        if marker is not None and marker.kwargs.get("transaction"):
            raise pytest.UsageError(
                f"{item.nodeid}: use the fixture fresh_database; tests do not truncate tables"
            )


class Scheduling(LoadFileScheduling):
    """A file's tests in one process, and all that share the demo in one too: it is started once."""

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The running PostgreSQL and Valkey of this session."""
    session_servers.start()
    return session_servers


@pytest.fixture(scope="session")
def django_db_setup(servers: Servers, django_db_blocker: DjangoDbBlocker) -> None:
    """What pytest-django's ``db`` works on: a clone of the migrated template, used as the application's role."""
    with django_db_blocker.unblock():
        databases.create_template(servers)
    databases.clone(servers, DATABASE)


@pytest.fixture
def fresh_database(
    servers: Servers, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """A database for this test alone, where commits, threads and processes are real; yields its URL (role: app).

    Use it instead of ``django_db``, never with it.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    databases.clone(servers, name)
    with django_db_blocker.unblock(), databases.switched_to(NAME=name):
        yield servers.url(APP, name)
    databases.drop(servers, name)


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningProduct]:
    """The whole product, started by ``manage.py up`` on an empty data directory; shared by the session's tests."""
    with RunningProduct() as product:
        yield product
