"""What tests of ingest ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts import senders
from alerts.committer import committer
from tests.alerts.inbound import Inbound
from tests.factories import make_token


@pytest.fixture
def inbound(fresh_database: str) -> Iterator[Inbound]:
    """A sender with a token of scope ``ingest``, on a database of its own: the committing thread is real."""
    yield Inbound(make_token(["ingest"])[1])
    committer.close()
    senders.forget()
