"""What tests of pollers ask for."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from alerts.models import Alert
from opensoar.accounts.models import Partner
from playbooks_engine import failpoints
from playbooks_engine.connectors.services import create_connector
from playbooks_engine.models import Connector, PollState
from playbooks_engine.pollers import running, tokens
from tests import dovecot
from tests.factories import SYSTEM

_names = itertools.count(1)


class Desk:
    """Connectors that are polled as workers poll them, on a database of its own."""

    def connect(
        self, kind: str, config: dict[str, Any], secrets: dict[str, Any], partner: Partner | None = None
    ) -> Connector:
        """A connector, made by the service."""
        return create_connector(
            actor=SYSTEM,
            kind=kind,
            name=f"{kind} {next(_names)}",
            config=config,
            secrets=secrets,
            partner=partner,
        )

    def due(self, connector: Connector) -> None:
        """As if its interval were over."""
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE playbooks_engine_pollstate SET next_at = statement_timestamp() - interval '1 second'"
                " WHERE connector_id = %s", (connector.pk,),
            )  # fmt: skip

    def poll(self, connector: Connector, worker: uuid.UUID | None = None) -> Counter[str]:
        """Claim it and poll it once, whatever it waits for."""
        self.due(connector)
        (claim,) = running.claim(worker or uuid.uuid4(), 10)
        assert claim.connector_id == connector.pk
        return running.run(claim)

    def state(self, connector: Connector) -> PollState:
        return PollState.objects.get(connector=connector)

    def titles(self) -> list[str]:
        """Every alert's title, as often as there are alerts."""
        return sorted(Alert.objects.values_list("title", flat=True))


@pytest.fixture
def desk(fresh_database: str, settings: Any) -> Iterator[Desk]:
    settings.PULL_LOOPBACK = True
    yield Desk()
    failpoints.hook = None
    tokens.forget()


@pytest.fixture(scope="session")
def _dovecot() -> Iterator[dovecot.Dovecot]:
    if dovecot.find() is None:
        pytest.skip(dovecot.MISSING)
    with dovecot.running() as server:
        yield server


@pytest.fixture
def mailbox(_dovecot: dovecot.Dovecot) -> dovecot.Dovecot:
    """A running Dovecot whose INBOX is empty."""
    _dovecot.empty()
    return _dovecot


class Died(BaseException):
    """A process that was killed, as far as one process can tell."""


def die_at(point: str) -> None:
    """The next poll that reaches ``point`` ends there as if killed."""

    def strike(reached: str, _what: str) -> None:
        if reached == point:
            failpoints.hook = None
            raise Died

    failpoints.hook = strike
