"""Scheduled playbooks fire at their due times: each once, whoever looks, whenever they look, by the database's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.embedded.postgres import OWNER
from playbooks_engine import schedule, sync
from playbooks_engine.models import CronFiring, Playbook, PlaybookRun, Sequence
from playbooks_engine.schedule import Schedule
from playbooks_engine.services import set_enabled
from tests.factories import SYSTEM, make_partner
from tests.playbooks_engine.engines import eventually, running, write
from tests.servers import Servers
from tests.threads import at_once

START = datetime(2026, 5, 1, 8, 0, 30, tzinfo=UTC)
QUARTER = "*/15 * * * *"
#: cron -> whether a moment (of whole minutes) is due: an opinion of its own about a few expressions.
DUE: dict[str, Callable[[datetime], bool]] = {
    "* * * * *": lambda at: True,
    QUARTER: lambda at: at.minute % 15 == 0,
    "7 */2 * * *": lambda at: at.minute == 7 and at.hour % 2 == 0,
    "30 9 * * 5": lambda at: (at.hour, at.minute, at.isoweekday()) == (9, 30, 5),
}

type SetClock = Callable[[datetime], None]


@pytest.fixture
def database_clock(servers: Servers, fresh_database: str) -> Iterator[SetClock]:
    """A database whose clock says what the test says: its ``statement_timestamp()`` comes before PostgreSQL's own."""
    name = connection.settings_dict["NAME"]
    with psycopg.connect(servers.url(OWNER, name), autocommit=True) as owner:
        owner.execute("CREATE SCHEMA clock")
        owner.execute("CREATE TABLE clock.says (at timestamptz NOT NULL)")
        owner.execute("INSERT INTO clock.says VALUES (now())")
        owner.execute(
            "CREATE FUNCTION clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql "
            "AS 'SELECT at FROM clock.says'"
        )
        owner.execute("GRANT USAGE ON SCHEMA clock TO PUBLIC")
        owner.execute("GRANT SELECT ON clock.says TO PUBLIC")
        owner.execute(f'ALTER DATABASE "{name}" SET search_path = clock, pg_catalog, public')
        connection.close()
        yield lambda at: owner.execute("UPDATE clock.says SET at = %s", (at,)) and None


def make_scheduled(cron: str = QUARTER, since: datetime = START, **fields: Any) -> Playbook:
    """As a worker would have synced it at ``since``."""
    fields = {"name": "nightly", "module_path": "p", "function_name": "f", "updated_at": since} | fields
    return Playbook.objects.create(trigger="schedule", cron=cron, **fields)


def firings() -> list[datetime]:
    return sorted(CronFiring.objects.values_list("due_at", flat=True))


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 5, 1, hour, minute, second, tzinfo=UTC)


def test_it_fires_when_it_is_due_and_says_for_when(database_clock: SetClock) -> None:
    worker, acme = Schedule(), make_partner()
    playbook = make_scheduled(priority=0)
    make_scheduled(name="acme's", partner=acme, cron="0 9 * * *")
    for moment, fired in [(START, 0), (at(8, 14, 59), 0), (at(8, 15), 1), (at(8, 15), 0), (at(9, 0), 2)]:
        database_clock(moment)
        assert worker.fire_due() == fired
    assert firings() == [at(8, 15), at(9, 0), at(9, 0)]
    first = Sequence.objects.earliest("id")
    assert (first.event, first.partner_id, first.priority, first.alert_id, first.total) == (
        "schedule", DEFAULT_PARTNER_ID, 0, None, 1,
    )  # fmt: skip
    [run] = first.runs.all()
    assert (run.playbook, run.input) == (playbook, '{"due_at":"2026-05-01T08:15:00+00:00"}')
    assert Sequence.objects.filter(partner=acme).count() == 1


def test_nothing_fires_for_times_before_it_was_there_and_a_downtime_is_made_up_for_once(
    database_clock: SetClock,
) -> None:
    playbook = make_scheduled(since=at(8, 16))
    database_clock(at(8, 20))
    assert Schedule().fire_due() == 0
    database_clock(at(12, 50))
    assert [Schedule().fire_due() for _ in range(3)] == [1, 0, 0]
    assert firings() == [at(12, 45)]
    Playbook.objects.filter(pk=playbook.pk).update(enabled=False)
    database_clock(at(13, 20))
    assert Schedule().fire_due() == 0
    Playbook.objects.filter(pk=playbook.pk).update(enabled=True, updated_at=at(13, 20))
    assert Schedule().fire_due() == 0
    database_clock(at(13, 30))
    assert Schedule().fire_due() == 1


def test_a_change_is_obeyed_by_who_remembers_the_old_one(database_clock: SetClock) -> None:
    worker = Schedule()
    playbook = make_scheduled(cron="0 20 * * *")
    database_clock(START)
    assert worker.fire_due() == 0
    Playbook.objects.filter(pk=playbook.pk).update(cron="1 8 * * *", updated_at=START)
    database_clock(at(8, 1))
    assert worker.fire_due() == 1
    Playbook.objects.filter(pk=playbook.pk).update(missing_since=START)
    database_clock(at(8, 1) + timedelta(days=1))
    assert worker.fire_due() == 0


def test_a_look_that_finds_nothing_due_is_one_query(
    database_clock: SetClock, django_assert_num_queries: Any
) -> None:
    worker = Schedule()
    database_clock(START)
    with django_assert_num_queries(1):
        assert worker.fire_due() == 0
    for number in range(20):
        make_scheduled(name=f"p{number}")
    worker.fire_due()
    with django_assert_num_queries(1):
        assert worker.fire_due() == 0


def test_workers_that_look_at_once_fire_once(database_clock: SetClock) -> None:
    workers = [Schedule() for _ in range(4)]
    for number in range(3):
        make_scheduled(name=f"p{number}")
    for round_number in range(1, 9):
        database_clock(at(8, 0) + timedelta(minutes=15 * round_number, seconds=round_number))
        results = at_once([worker.fire_due for worker in workers])
        assert sum(results) == 3  # type: ignore[arg-type]
    assert firings() == sorted([at(8, 0) + timedelta(minutes=15 * n) for n in range(1, 9)] * 3)
    assert PlaybookRun.objects.count() == Sequence.objects.count() == 24


steps = st.lists(
    st.one_of(
        st.tuples(st.just("look"), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.integers(1, 3 * 3600)),
        st.tuples(st.just("wait"), st.sampled_from([1, 29, 30, 60, 15 * 60, 24 * 3600])),
        st.tuples(st.just("restart"), st.integers(0, 1)),
        st.tuples(st.just("switch"), st.booleans()),
        st.tuples(st.just("cron"), st.sampled_from(sorted(DUE))),
    ),
    max_size=25,
)


def test_whatever_the_interleaving_it_fires_at_exactly_the_due_times(database_clock: SetClock) -> None:
    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cron=st.sampled_from(sorted(DUE)), moves=steps)
    def holds(cron: str, moves: list[tuple[str, Any]]) -> None:
        Sequence.objects.all().delete()
        Playbook.objects.all().delete()
        workers = [Schedule(), Schedule()]
        now = since = START
        enabled, expected = True, []
        playbook = make_scheduled(cron)
        database_clock(now)
        for move, value in moves:
            if move == "wait":
                now += timedelta(seconds=value)
                database_clock(now)
            elif move == "restart":
                workers[value] = Schedule()
            elif move in ("switch", "cron"):
                enabled, cron = (value, cron) if move == "switch" else (enabled, value)
                since = now
                Playbook.objects.filter(pk=playbook.pk).update(enabled=enabled, cron=cron, updated_at=now)
            else:
                due = last_due(cron, now)
                fires = enabled and due > since
                if fires:
                    expected.append(due)
                    since = due
                assert workers[value].fire_due() == int(fires)
        assert firings() == expected
        assert PlaybookRun.objects.count() == len(expected)

    holds()


def last_due(cron: str, now: datetime) -> datetime:
    """Minute by minute backwards."""
    moment = now.replace(second=0, microsecond=0)
    while not DUE[cron](moment):
        moment -= timedelta(minutes=1)
    return moment


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("cron", [QUARTER, "30 2 * * *", "0 */2 * * *", "0 1,2,3 * * *", "30 1 * * 0"])
def test_forwards_and_backwards_agree_where_clocks_change(zone: str, cron: str, settings: Any) -> None:
    settings.TIME_ZONE = zone
    for day in (
        datetime(2026, 3, 28, tzinfo=UTC),
        datetime(2026, 10, 24, tzinfo=UTC),
        datetime(2026, 4, 4, tzinfo=UTC),
    ):
        forwards, moment = set(), day
        while (moment := schedule.after(cron, moment)) <= day + timedelta(days=2):
            forwards.add(moment.astimezone(UTC))
        looks = (day + timedelta(minutes=5 * n) for n in range(2 * 24 * 12 + 1))
        backwards = {schedule.latest(cron, look).astimezone(UTC) for look in looks}
        assert {due for due in backwards if due > day} == forwards


def test_the_time_zone_is_the_installation_s(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    due = schedule.after("0 9 * * *", datetime(2026, 7, 1, 0, tzinfo=UTC))
    assert (
        due
        == datetime(2026, 7, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))
        == datetime(2026, 7, 1, 7, tzinfo=UTC)
    )
    assert schedule.latest("0 9 * * *", due) == due


def test_what_the_files_say_is_synced_and_counts_from_then(tmp_path: Path, database_clock: SetClock) -> None:
    def file(cron: str, **more: Any) -> None:
        options = "".join(f", {name}={value!r}" for name, value in more.items())
        write(
            tmp_path,
            "nightly",
            f"""
            from opensoar import playbook
            @playbook("schedule", cron={cron!r}{options})
            async def nightly(input): ...
            @playbook("webhook", lane="hostname")
            async def by_host(alert): ...
            """,
        )
        sync.sync_playbooks([str(tmp_path)])

    database_clock(START)
    file(QUARTER)
    playbook = Playbook.objects.get(name="nightly")
    assert (playbook.trigger, playbook.cron, playbook.updated_at) == ("schedule", QUARTER, START)
    assert Playbook.objects.get(name="by_host").lane == "hostname"

    # In the second when it is due somebody edits the description: that firing is not lost.
    database_clock(at(8, 15))
    Playbook.objects.update(isolated_since=START)
    file(QUARTER, description="edited")
    playbook.refresh_from_db()
    assert (playbook.description, playbook.updated_at, playbook.isolated_since) == ("edited", START, None)
    assert Schedule().fire_due() == 1

    database_clock(at(8, 31))
    file("30 * * * *", description="edited")
    playbook.refresh_from_db()
    assert (playbook.cron, playbook.updated_at) == ("30 * * * *", at(8, 31))
    assert Schedule().fire_due() == 0


@pytest.mark.usefixtures("fresh_database")
def test_through_the_engine(tmp_path: Path) -> None:
    write(
        tmp_path,
        "nightly",
        """
        from opensoar import playbook
        @playbook("schedule", cron="* * * * *")
        async def nightly(input):
            return input["due_at"]
        """,
    )
    with running(tmp_path):
        playbook = eventually(lambda: Playbook.objects.filter(name="nightly").first())
        set_enabled(actor=SYSTEM, playbook=playbook, enabled=False)
        set_enabled(actor=SYSTEM, playbook=playbook, enabled=True)
        # It was due a moment ago, as it is every minute: it has been there for longer than that.
        Playbook.objects.update(updated_at=playbook.updated_at - timedelta(minutes=2))
        run = eventually(lambda: PlaybookRun.objects.filter(state="success").first())
    assert datetime.fromisoformat(run.result_value) == CronFiring.objects.latest("due_at").due_at
