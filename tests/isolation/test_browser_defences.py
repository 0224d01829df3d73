"""Writes of a browser's session need its CSRF token; even answers of no view carry the headers."""

from __future__ import annotations

import pytest

from tests.isolation.callers import Caller, assert_headers
from tests.isolation.conftest import World, rows
from tests.isolation.routes import SAFE
from tests.isolation.table import INGEST, LISTED, OPEN, TABLE


def test_every_write_of_a_session_without_its_token_is_refused(world: World) -> None:
    caller = Caller("admin", user=world.people["admin"], csrf=True)
    before = rows()
    for route in LISTED:
        entry = TABLE[route.path]
        for method in [m for m in entry.needs if m not in SAFE]:
            sessionless = entry.needs[method] == INGEST or (route.is_api and entry.needs[method] == OPEN)
            if sessionless or route.path in {"livez", "readyz"}:
                continue  # these look at no session, so there is none to ride on
            answer = caller.ask(route, method, world.ours, world.ours.fill(entry.bodies[0]))
            assert answer.status_code == 403, (
                f"{method} {route.path} without a CSRF token: {answer.status_code}"
            )
    for table, texts in rows().items():
        assert texts == before[table], f"a write without a CSRF token changed {table}"


@pytest.mark.parametrize("address", ["/nothing/here", "/alerts", "/api/v1/nothing", "/static/nothing.css"])
def test_answers_of_no_view_carry_the_headers_too(world: World, address: str) -> None:
    for caller in (Caller("nobody"), Caller("admin", user=world.people["admin"])):
        assert_headers("GET", address, caller.client.get(address))
