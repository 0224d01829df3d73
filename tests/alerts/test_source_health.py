"""Sources that fall silent: what is usual is learnt, a silence is one alert, its end is told by itself."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.intake import OWN_SOURCE
from alerts.ledger import health, rhythm
from alerts.ledger.rhythm import DAY, HOUR
from alerts.models import Alert, Delivery, SourceHealth, SourceHour, SweepState
from alerts.services import claim_alert
from opensoar.accounts.models import DEFAULT_PARTNER_ID, Partner
from opensoar.ids import uuid7
from tests.alerts.inbound import PATH, Inbound
from tests.api.clients import client_of, queries
from tests.factories import actions, entries, make_alert, make_partner, make_token, make_user

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)  # a Monday, 00:00


def id_at(moment: datetime) -> Any:
    """A new id of that moment."""
    milliseconds = int(moment.timestamp() * 1000)
    return type(uuid7())(int=(milliseconds << 80) | (uuid7().int & ((1 << 80) - 1)))


def deliver(
    times: Iterable[datetime], source: str = "edr", partner: Partner | None = None, **fields: Any
) -> None:
    alert_id = fields.pop("alert_id", None)
    state = "duplicate" if alert_id else "quarantined"
    Delivery.objects.bulk_create(
        Delivery(
            id=id_at(at), partner_id=partner.pk if partner else DEFAULT_PARTNER_ID, source=source, state=state,
            alert_id=alert_id, body=b"x", received_at=at, **fields,
        )
        for at in times
    )  # fmt: skip


class Clock:
    """The time that sweeps see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = MONDAY
        monkeypatch.setattr(health.timezone, "now", lambda: self.at)

    def sweep(self, at: datetime) -> None:
        self.at = at
        SweepState.objects.update(due_at=at)
        while health.sweep():
            pass


@pytest.fixture
def clock(db: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    SweepState.objects.create(name="source health")
    return Clock(monkeypatch)


def every(minutes: float, start: datetime, end: datetime) -> list[datetime]:
    count = int((end - start).total_seconds() / 60 / minutes)
    return [start + timedelta(minutes=minutes * n) for n in range(count)]


def silences() -> list[Alert]:
    return list(Alert.objects.filter(source="opensoar").order_by("id"))


def test_a_silence_is_one_alert_and_ends_by_itself(clock: Clock) -> None:
    acme, end = make_partner("acme"), MONDAY + timedelta(days=3)
    deliver(every(10, MONDAY, end), partner=acme)
    clock.sweep(end)
    row = SourceHealth.objects.get()
    assert (row.source, row.partner, row.usual_gap, row.silent_since) == ("edr", acme, 900.0, None)
    last = end - timedelta(minutes=10)
    clock.sweep(last + timedelta(minutes=45))
    assert silences() == []
    for minutes in (46, 47, 90, 290):
        clock.sweep(last + timedelta(minutes=minutes))
    [alert] = silences()
    assert (alert.partner, alert.severity, alert.status, alert.rule_name) == (
        acme,
        "medium",
        "new",
        "Source silent",
    )
    assert alert.title == "edr is silent: no alert since 2026-10-07 23:50 UTC"
    assert alert.description is not None
    assert "Its usual gap is 15 minutes" in alert.description
    back = last + timedelta(hours=5)
    deliver([back], partner=acme)
    clock.sweep(back + timedelta(minutes=2))
    alert.refresh_from_db()
    assert (alert.status, alert.determination, alert.resolve_reason) == (
        "resolved", "benign", "edr speaks again, after 5 hours.",
    )  # fmt: skip
    # It falls silent again: that is another one.
    clock.sweep(back + timedelta(minutes=46))
    assert [one.status for one in silences()] == ["resolved", "new"]


def test_whoever_took_it_up_is_told_that_it_is_over(clock: Clock) -> None:
    end = MONDAY + timedelta(days=3)
    deliver(every(10, MONDAY, end))
    clock.sweep(end)
    clock.sweep(end + timedelta(hours=1))
    [alert] = silences()
    claim_alert(actor=make_user("ada").actor, alert=alert)
    deliver([end + timedelta(hours=2)])
    clock.sweep(end + timedelta(hours=2, minutes=1))
    alert.refresh_from_db()
    assert (alert.status, alert.determination) == ("in_progress", "unknown")
    assert actions(alert)[-1] == "comment"
    assert entries(alert)[-1].actor_name == "source health"


def test_what_a_silence_teaches_is_bounded(clock: Clock) -> None:
    """After a failure of two days the next one is noticed as fast; who really speaks more seldom is believed in time."""
    end = MONDAY + timedelta(days=3)
    deliver(every(10, MONDAY, end))
    clock.sweep(end)
    clock.sweep(end + timedelta(minutes=40))
    assert len(silences()) == 1
    back = end + timedelta(days=2)
    deliver(every(10, back, back + timedelta(days=2)))
    clock.sweep(back + timedelta(days=2))
    assert SourceHealth.objects.get().usual_gap == 900


def test_it_takes_ten_alerts_and_two_days_to_know_a_source(clock: Clock) -> None:
    deliver(every(10, MONDAY, MONDAY + timedelta(days=1)), source="young")
    deliver([MONDAY + timedelta(days=n) for n in range(5)], source="seldom")
    for days in (5, 30):
        clock.sweep(MONDAY + timedelta(days=days))
    assert set(SourceHealth.objects.values_list("source", "usual_gap")) == {("young", None), ("seldom", None)}
    assert silences() == []


def test_nights_are_usual_and_a_rhythm_of_the_week_sharpens_it(clock: Clock) -> None:
    """Alerts from 8 to 17 on working days: no night and no weekend is called silent, a Wednesday morning is."""
    for day in range(28):
        if day % 7 < 5:
            morning = MONDAY + timedelta(days=day, hours=8)
            deliver(every(7, morning, morning + timedelta(hours=9)))
        clock.sweep(MONDAY + timedelta(days=day, hours=17, minutes=30))
        if day >= 7:  # the first weekend may come as a surprise
            clock.sweep(MONDAY + timedelta(days=day, hours=23))
            clock.sweep(MONDAY + timedelta(days=day + 1, hours=7, minutes=59))
    assert len(silences()) <= 1
    before = len(silences())
    row = SourceHealth.objects.get()
    assert len(row.quiet_hours) == 168 - 5 * 9
    assert row.usual_gap == 900
    wednesday = MONDAY + timedelta(days=30)
    for day in (28, 29):
        morning = MONDAY + timedelta(days=day, hours=8)
        deliver(every(7, morning, morning + timedelta(hours=9)))
        clock.sweep(morning + timedelta(hours=9, minutes=5))
        clock.sweep(morning + timedelta(hours=23))
    assert len(silences()) == before
    clock.sweep(wednesday + timedelta(hours=8, minutes=50))
    assert len(silences()) == before + 1


def test_while_nobody_looked_nobody_was_silent(clock: Clock) -> None:
    end = MONDAY + timedelta(days=3)
    deliver(every(10, MONDAY, end))
    clock.sweep(end)
    SweepState.objects.update(due_at=end)
    clock.at = end + timedelta(hours=9)
    health.sweep()
    assert silences() == []
    deliver([end + timedelta(hours=9, minutes=5)])
    clock.sweep(end + timedelta(hours=9, minutes=6))
    row = SourceHealth.objects.get()
    assert (row.usual_gap, row.unwatched) == (900.0, False), "nine hours without a look are no gap"
    clock.sweep(end + timedelta(hours=10))
    assert len(silences()) == 1


def test_what_was_silent_long_before_it_was_first_read_is_shown_only(clock: Clock) -> None:
    deliver(every(10, MONDAY, MONDAY + timedelta(days=3)))
    clock.sweep(MONDAY + timedelta(days=20))
    assert SourceHealth.objects.get().silent_since is not None
    assert silences() == []


def test_counts_are_exact_however_they_are_read(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ROWS", 7)
    alert, draw = make_alert(source="other"), random.Random(3)
    Delivery.objects.filter(alert_id=alert.pk).delete()
    expected: Counter[tuple[str, datetime, bool]] = Counter()
    for source in ("a", "b"):
        for bad in (False, True):
            times = [MONDAY + timedelta(minutes=draw.randrange(600)) for _ in range(40)]
            deliver(times, source=source, alert_id=None if bad else alert.pk)
            expected.update((source, at.replace(minute=0), bad) for at in times)
    deliver([MONDAY], source="opensoar")
    for hours in (2, 5, 11):
        clock.sweep(MONDAY + timedelta(hours=hours))
    found = {
        (row.source, row.hour): (row.count, row.quarantined)
        for row in SourceHour.objects.order_by("source", "hour")
    }
    hours_seen = {(source, hour) for source, hour, _bad in expected}
    assert found == {
        (source, hour): (
            expected[source, hour, True] + expected[source, hour, False],
            expected[source, hour, True],
        )
        for source, hour in hours_seen
    }


def test_old_hours_go(clock: Clock) -> None:
    deliver([MONDAY])
    clock.sweep(MONDAY + timedelta(hours=1))
    clock.sweep(MONDAY + timedelta(weeks=6))
    assert not SourceHour.objects.exists()
    clock.sweep(MONDAY + timedelta(days=91))
    assert not SourceHealth.objects.exists()


def test_page_and_api_show_what_one_may_see(clock: Clock) -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    end = MONDAY + timedelta(days=3)
    deliver(every(10, MONDAY, end), partner=mine)
    deliver(every(10, MONDAY, end), source="waf", partner=theirs)
    clock.sweep(end)
    clock.sweep(end + timedelta(hours=2))
    ada = make_user("ada", partners=[mine])
    [row] = client_of(ada).get("/api/v1/sources/health").json()
    assert (row["source"], row["partner"], row["state"], row["usual_gap"]) == ("edr", "mine", "silent", 900.0)
    assert (row["alerts_24h"], row["quarantined_24h"], row["quarantined_share"]) == (132, 132, 1.0)
    assert row["usual_24h"] == 144
    client = client_of(ada)
    client.force_login(ada)
    page = client.get("/deliveries/sources/")
    assert page.status_code == 200
    assert b"edr" in page.content
    assert b"waf" not in page.content


@pytest.mark.django_db
def test_20_sources_take_as_many_queries_as_2() -> None:
    client = client_of(make_user())
    now = datetime.now(UTC)

    def grow(count: int) -> int:
        for _number in range(count):
            SourceHealth.objects.create(partner=make_partner(), source="edr", first_at=now, last_at=now)
        return queries(client, "sources/health")

    assert grow(2) == grow(18) <= 4


# --- the functions behind it ----------------------------------------------------------------------------------


def test_hours_of_the_week() -> None:
    assert rhythm.hour_of_week(int(MONDAY.timestamp()) // HOUR) == 0
    assert rhythm.hour_of_week(int((MONDAY + timedelta(days=6, hours=23)).timestamp()) // HOUR) == 167


moments = st.floats(0, 60 * DAY)
quiets = st.frozensets(st.integers(0, 167), max_size=160)


@given(start=moments, first=st.floats(0, 20 * DAY), second=st.floats(0, 20 * DAY), quiet=quiets)
def test_waiting_adds_up(start: float, first: float, second: float, quiet: frozenset[int]) -> None:
    middle, end = start + first, start + first + second
    whole = rhythm.waited(start, end, quiet)
    assert whole == pytest.approx(
        rhythm.waited(start, middle, quiet) + rhythm.waited(middle, end, quiet), abs=1e-3
    )
    assert -1e-6 <= whole <= end - start + 1e-3
    assert rhythm.waited(start, end, frozenset()) == pytest.approx(end - start, abs=1e-6)


@given(last=moments, usual=st.floats(900, 5 * DAY), quiet=st.frozensets(st.integers(0, 167), max_size=100))
def test_silent_is_when_three_usual_gaps_were_waited(
    last: float, usual: float, quiet: frozenset[int]
) -> None:
    at = rhythm.silent_at(last, usual, quiet)
    assert rhythm.waited(last, at, quiet) == pytest.approx(3 * usual, abs=1e-2)


@given(st.lists(st.floats(901, 30 * DAY), max_size=60), st.floats(0, 30 * DAY))
def test_a_usual_gap_covers_nearly_all_of_the_time(lengths: list[float], short: float) -> None:
    watched = sum(lengths) + short
    usual = rhythm.usual_gap([(0, length) for length in lengths], frozenset(), watched=watched)
    assert usual == rhythm.SHORTEST or usual in lengths
    assert usual >= rhythm.SHORTEST
    assert sum(length for length in lengths if length > usual) <= 0.05 * watched + 1e-6


def test_random_arrivals_are_not_called_silent() -> None:
    """A hundred sources for a month, exponential gaps of 20 minutes: hardly one false alarm in all of it."""
    draw, wrong = random.Random(11), 0
    for _source in range(100):
        gaps = [draw.expovariate(1 / 1200) for _ in range(2_160)]
        long = [(0.0, gap) for gap in gaps if gap > rhythm.LONG]
        usual = rhythm.usual_gap(long, frozenset(), watched=sum(gaps))
        wrong += sum(gap > rhythm.TIMES * usual for gap in gaps)
    assert wrong <= 3


def test_no_token_speaks_in_our_name(inbound: Inbound) -> None:
    for number, (token, path) in enumerate(
        [
            (inbound.token, PATH),
            (make_token(["ingest"])[1], f"{PATH}/{OWN_SOURCE}"),
            (make_token(["ingest"], source=OWN_SOURCE)[1], PATH),
        ]
    ):
        body = {"id": number, "title": "Source elastic is silent", "source": OWN_SOURCE}
        answer = Inbound(token).post(body, path=path)
        assert Alert.objects.get(pk=answer.json["alert_id"]).source == "webhook"
        assert any("no token speaks for it" in note for note in answer.json["notes"])
