"""The journal's grouping of statements: few round trips, and never another order than each run's own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playbooks_engine.journal import execute

lines = st.lists(
    st.tuples(st.integers(0, 4).map(lambda n: UUID(int=n)), st.sampled_from("ABCD")), max_size=40
)


class Book:
    """A cursor that keeps what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[tuple[Any, ...]]]] = []

    def executemany(self, sql: str, many: list[tuple[Any, ...]]) -> None:
        self.asked.append((sql, many))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(lines)
def test_every_owner_keeps_its_order_and_nothing_is_lost(given_lines: list[tuple[UUID, str]]) -> None:
    book = Book()
    execute(book, [(owner, (sql, (owner, n))) for n, (owner, sql) in enumerate(given_lines)])  # type: ignore[arg-type]
    done = [(sql, *params) for sql, many in book.asked for params in many]
    for owner in {owner for owner, _ in given_lines}:
        own = [(sql, owner, n) for n, (whose, sql) in enumerate(given_lines) if whose == owner]
        assert [line for line in done if line[1] == owner] == own
    assert len(done) == len(given_lines)


def test_what_many_runs_do_alike_is_one_statement_each() -> None:
    book = Book()
    steps = [(UUID(int=n), (sql, (n,))) for n in range(50) for sql in ("insert call", "insert attempt")]
    execute(book, steps)  # type: ignore[arg-type]
    assert [(sql, len(many)) for sql, many in book.asked] == [("insert call", 50), ("insert attempt", 50)]


def test_a_runs_later_step_does_not_slip_into_an_earlier_group_of_others() -> None:
    one, other = UUID(int=1), UUID(int=2)
    book = Book()
    execute(book, [(other, ("again", (2,))), (one, ("wait", (1,))), (one, ("again", (1,)))])  # type: ignore[arg-type]
    assert [sql for sql, _ in book.asked] == ["again", "wait", "again"]
