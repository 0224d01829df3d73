"""Each role may do what the table says, and nothing else."""

from __future__ import annotations

import pytest

from opensoar.accounts.permissions import ROLES
from tests.isolation.callers import Caller, is_login, may
from tests.isolation.conftest import World, rolled_back, rows
from tests.isolation.routes import SAFE
from tests.isolation.table import LISTED, OPEN, SIGNED_IN, STAFF, TABLE


@pytest.mark.parametrize("role", list(ROLES))
def test_a_role_may_do_what_the_table_says(world: World, role: str) -> None:
    caller = Caller(role, user=world.people[role])
    wrong = []
    for route in LISTED:
        entry = TABLE[route.path]
        for method, needed in entry.needs.items():
            if may(role, needed) and (route.is_borrowed or needed == OPEN):
                continue  # these ask more of a request than who sends it
            if route.is_borrowed and role != "lead":
                continue  # one who may not is enough: these views know only "may" and "may not"
            with rolled_back():
                body = world.ours.fill(entry.bodies[0]) if method not in SAFE else {}
                answer = caller.ask(route, method, world.ours, body)
            refused = answer.status_code in {401, 403} or (needed == STAFF and is_login(answer))
            if refused == may(role, needed):
                wrong.append(f"{method} {route.path}: {answer.status_code} though it needs {needed}")
    assert not wrong, "\n".join(wrong)


def test_a_viewer_writes_nothing(world: World) -> None:
    caller = Caller("viewer", user=world.people["viewer"])
    before = rows()
    for route in LISTED:
        entry = TABLE[route.path]
        for method, needed in entry.needs.items():
            for body in entry.bodies if method not in SAFE and needed not in {OPEN, SIGNED_IN} else ():
                answer = caller.ask(route, method, world.ours, world.ours.fill(body))
                where = f"{method} {route.path}"
                if needed == "observables:read":
                    assert answer.status_code == 200, where  # a preview
                else:
                    assert answer.status_code in {401, 403} or is_login(answer), (
                        f"{where}: {answer.status_code}"
                    )
    for table, texts in rows().items():
        assert texts == before[table], f"a viewer changed {table}"
