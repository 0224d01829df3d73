"""The position of a poller that asks by time: whatever happens while it polls, every alert and every change is stored."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks_engine.pollers.base import Credentials, Found, Session
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.timed import TimePoller, TimeSettings

BEGIN = datetime(2026, 11, 24, 12, tzinfo=UTC)
OVERLAP = 30


class Vendor(TimePoller):
    """Rows in memory. ``order``: ``time`` (keys of the time, which never changes), ``made`` or ``newest`` (by offset)."""

    kind = source = "memory"
    settings, credentials = TimeSettings, Credentials

    def __init__(self, order: str) -> None:
        self.order = order
        self.oldest_first = order == "time"  # type: ignore[misc]
        self.rows: dict[str, tuple[int, datetime, datetime]] = {}  # version, made, time that counts
        self.age = 0  # tokens of another age have expired
        self.most = 1_000  # so many of a page are completed at once

    def listing(self, session: Session, since: datetime, token: Any) -> tuple[Sequence[Found], Any]:
        if token is not None and token[0] != self.age:
            raise VendorError("expired", status=410)
        rows = [(name, *row) for name, row in self.rows.items() if row[2] >= since]
        key = {"time": 3, "made": 2, "newest": 3}[self.order]
        rows.sort(key=lambda row: (row[key], row[0]), reverse=self.order == "newest")
        size = session.settings.page_size
        if self.order == "time":
            rows = [row for row in rows if token is None or [row[3].timestamp(), row[0]] > token[1]]
            page, following = rows[:size], len(rows) > size
            mark: Any = [page[-1][3].timestamp(), page[-1][0]] if page else None
        else:
            start = token[1] if token is not None else 0
            page, following, mark = rows[start : start + size], len(rows) > start + size, start + size
        found = [Found(b"{}", id=name, version=str(version), at=at) for name, version, _, at in page]
        return found, [self.age, mark] if following else None

    def completed(self, session: Session, new: list[Found]) -> list[Found]:
        return new[: self.most]

    def look(self, session: Session) -> dict[str, Any]:
        return {}


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "late", "change", "page", "page", "slow", "killed", "expire", "edit"]),
              st.integers(0, 1_000)),
    max_size=60,
)  # fmt: skip


@pytest.mark.parametrize("order", ["time", "made", "newest"])
@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_every_alert_and_every_change(order: str, steps: list[tuple[str, int]]) -> None:
    vendor, cursor, now, version = Vendor(order), {}, BEGIN, 1
    stored: Counter[tuple[str, str]] = Counter()

    def fetch(*, killed: bool = False) -> bool:
        nonlocal cursor
        session = Session(
            connector_id=uuid.UUID(int=0), version=version, settings=TimeSettings(overlap=OVERLAP, page_size=3),
            credentials=Credentials(), start=BEGIN - timedelta(hours=1), now=now,
        )  # fmt: skip
        page = vendor.fetch(session, cursor)
        stored.update((one.id, one.version) for one in page.items)
        if not killed:
            cursor = page.cursor
        return page.more

    for step, number in steps:
        now += timedelta(seconds=number % 7)
        if step == "add":
            vendor.rows[f"r{len(vendor.rows)}"] = (1, now, now)
        elif step == "late":
            at = now - timedelta(seconds=number % (OVERLAP + 1))
            vendor.rows[f"r{len(vendor.rows)}"] = (1, now, at)
        elif step == "change" and vendor.rows and order != "time":
            name = sorted(vendor.rows)[number % len(vendor.rows)]
            vendor.rows[name] = (vendor.rows[name][0] + 1, vendor.rows[name][1], now)
        elif step in ("page", "slow", "killed"):
            vendor.most = 1 + number % 2 if step == "slow" else 1_000
            fetch(killed=step == "killed")
        elif step == "expire":
            vendor.age += 1
        elif step == "edit":
            version += 1
    for _ in range(2):
        while fetch():
            pass
    assert {(name, str(row[0])) for name, row in vendor.rows.items()} <= set(stored)
    if order == "time" and not {"killed"} & {step for step, _ in steps}:
        assert set(stored.values()) <= {1}, "nothing is handed over twice"


@pytest.mark.parametrize("order", ["time", "made", "newest"])
def test_what_is_remembered_stays_small(order: str) -> None:
    vendor, cursor, more, pages = Vendor(order), {}, True, 0
    for number in range(200):
        at = BEGIN - timedelta(seconds=3_000 - 10 * number)
        vendor.rows[f"r{number:03}"] = (1, at, at)
    while more:
        session = Session(
            connector_id=uuid.UUID(int=0), version=1, settings=TimeSettings(overlap=OVERLAP, page_size=10),
            credentials=Credentials(), start=BEGIN - timedelta(hours=1), now=BEGIN,
        )  # fmt: skip
        page = vendor.fetch(session, cursor)
        cursor, more, pages = page.cursor, page.more, pages + 1
        assert len(cursor["seen"]) <= 10 + OVERLAP / 10 + 1
    assert pages == 20


def test_a_token_that_expires_again_ends_the_poll_and_not_the_next_one() -> None:
    vendor = Vendor("made")
    for number in range(9):
        vendor.rows[f"r{number}"] = (1, BEGIN, BEGIN)

    def session() -> Session:
        return Session(
            connector_id=uuid.UUID(int=0), version=1, settings=TimeSettings(overlap=OVERLAP, page_size=3),
            credentials=Credentials(), start=BEGIN - timedelta(hours=1), now=BEGIN,
        )  # fmt: skip

    one = session()
    first = vendor.fetch(one, {})
    vendor.age += 1
    again = vendor.fetch(one, first.cursor)
    assert (list(again.items), again.more) == ([], True)
    second = vendor.fetch(one, again.cursor)
    vendor.age += 1
    with pytest.raises(VendorError, match="expired"):
        vendor.fetch(one, second.cursor)
    another = vendor.fetch(session(), second.cursor)
    assert another.more
    assert vendor.fetch(session(), another.cursor).items is not None
