"""Whoever has not signed in reads nothing and changes nothing."""

from __future__ import annotations

from tests.isolation.callers import Caller, is_login
from tests.isolation.conftest import World, rows
from tests.isolation.routes import METHODS, SAFE
from tests.isolation.table import LISTED, OPEN, TABLE
from tests.isolation.world import OURS, THEIRS

# Tells apart what is open by the table from what must be refused; a method that a view does not take is refused, too.
REFUSED = {401, 403, 405}


def test_nobody_is_shown_anything_and_nothing_changes(world: World) -> None:
    stranger, before = Caller("nobody"), rows()
    for route in LISTED:
        entry = TABLE[route.path]
        for method in METHODS if route.is_api else ("GET", "POST"):
            for body in entry.bodies if method not in SAFE else ({},):
                answer = stranger.ask(route, method, world.ours, world.ours.fill(body))
                where = f"{method} {route.path}"
                text = answer.content.decode(errors="replace")
                assert OURS not in text, where
                assert THEIRS not in text, where
                assert answer.status_code < 500, where
                if entry.needs.get(method) != OPEN:
                    assert answer.status_code in REFUSED or is_login(answer), f"{where}: {answer.status_code}"
    for table, texts in rows().items():
        new = {text for text in texts - before[table] if ",login_failed," not in text}  # kept on purpose
        assert not new, f"somebody who is not signed in changed {table}"
        assert before[table] <= texts, f"somebody who is not signed in removed from {table}"


def test_a_token_that_nobody_issued_opens_nothing(world: World) -> None:
    for headers in ({"Authorization": "Bearer osr_" + "x" * 43}, {"X-API-Key": "osr_" + "x" * 43}):
        caller = Caller("forger")
        caller.headers = headers
        for route in (r for r in LISTED if r.is_api):
            for method, needed in TABLE[route.path].needs.items():
                if needed != OPEN:
                    assert is_login(caller.ask(route, method, world.ours)), f"{method} {route.path}"
