"""Whatever playbooks are made of and wherever their worker dies: they end as if nothing had happened.

A state machine: alerts arrive, each with a playbook of its own (sequences, gathers, catches, finally blocks, branches,
sleeps, nested at will) and another that follows it; the worker dies at the nth thing that an action does from now, with
all that it runs; people cancel. All on the real engine and database; what actions did is kept apart from both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from alerts.models import Alert
from opensoar.errors import Conflict
from opensoar.ids import uuid7
from playbooks_engine.models import ActionResult, PlaybookRun
from playbooks_engine.services import cancel_run
from playbooks_engine.worker import Engine
from tests.factories import SYSTEM
from tests.playbooks_engine.engines import finished, receive, running, runs_of, write

SOURCE = """
import asyncio
from opensoar import action, playbook, sleep
from tests.playbooks_engine.test_any_playbook import WORLD

@action(idempotent=True)
async def idem(label):
    return await WORLD.act(label)

async def done_already(label):
    return WORLD.result_of(label)

@action(idempotent=False, verify=done_already)
async def once(label):
    return await WORLD.act(label)

@action(retries=1, retry_backoff=0.01)
async def fails(label):
    await WORLD.act(label)
    raise LookupError(label)

async def follow(node):
    kind, *rest = node
    if kind == "idem":
        return await idem(rest[0])
    if kind == "once":
        return await once(rest[0])
    if kind == "catch":
        try:
            await fails(rest[0])
        except LookupError as error:
            return f"caught {error}"
    if kind == "sleep":
        return await sleep(rest[0])
    if kind == "seq":
        return [await follow(child) for child in rest]
    if kind == "gather":
        return await asyncio.gather(*(follow(child) for child in rest))
    if kind == "finally":
        try:
            return await follow(rest[0])
        finally:
            await idem(rest[1])
    if kind == "branch":
        found = await follow(rest[0])
        return [found, await follow(rest[1 + len(str(found)) % 2])]

@playbook(trigger="webhook", order=1)
async def any_playbook(alert):
    return await follow(alert.raw_payload["program"])

@playbook(trigger="webhook", order=2)
async def follower(alert):
    return await idem(alert.raw_payload["name"] + "/follower")
"""


class World:
    """What the actions did, in order, and when their worker dies: before and after acts, by the number of the moment."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.database = ""
        self.all_died = 0  # in all programs together
        self.begin()

    def begin(self) -> None:
        self.done: list[str] = []
        self.acts: Counter[str] = Counter()
        self.deaths: set[int] = set()
        self.died = 0
        self.moment = 0

    def result_of(self, label: str) -> str | None:
        return f"did {label}" if self.acts[label] else None

    async def act(self, label: str) -> str:
        self._may_die()
        await asyncio.sleep(0)
        self.acts[label] += 1
        self.done.append(label)
        self._may_die()
        return f"did {label}"

    def _may_die(self) -> None:
        self.moment += 1
        if self.moment in self.deaths:
            self.died += 1
            self.all_died += 1
            assert self.engine is not None
            with psycopg.connect(self.database, autocommit=True) as apart:
                apart.execute(
                    "UPDATE playbooks_engine_sequence SET state = 'ready', claimed_by = NULL, fence = fence + 1 "
                    "WHERE state = 'running'"
                )
            self.engine._let_go_of_everything()  # a dead worker does nothing more
            self.engine.wake()
            raise asyncio.CancelledError


WORLD = World()
leaves = st.sampled_from([("idem",), ("once",), ("once",), ("catch",), ("sleep", 0.01)])
programs = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda nodes: ("seq", *nodes), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda nodes: ("gather", *nodes), st.lists(inner, min_size=2, max_size=4))
        | st.builds(lambda node: ("finally", node, ""), inner)
        | st.builds(lambda a, b, c: ("branch", a, b, c), inner, inner, inner)
    ),
    max_leaves=8,
)


def labelled(node: tuple[Any, ...], path: str) -> list[Any]:
    """Every act has a name of its own, by its place in the program; long and short ones, for branches."""
    kind, *rest = node
    if kind in {"idem", "once", "catch"}:
        return [kind, path]
    children = [labelled(c, f"{path}.{n}") if isinstance(c, tuple) else c for n, c in enumerate(rest)]
    return [kind, children[0], f"{path}.f"] if kind == "finally" else [kind, *children]


def expected(node: list[Any], acts: Counter[str]) -> Any:
    """What it returns, and which acts it takes, if nobody dies."""
    kind, *rest = node
    if kind in {"idem", "once"}:
        acts[rest[0]] += 1
        return f"did {rest[0]}"
    if kind == "catch":
        acts[rest[0]] += 2  # one retry
        return f"caught {rest[0]}"
    if kind == "sleep":
        return None
    if kind in {"seq", "gather"}:
        return [expected(child, acts) for child in rest]
    if kind == "finally":
        value = expected(rest[0], acts)
        acts[rest[1]] += 1
        return value
    found = expected(rest[0], acts)
    return [found, expected(rest[1 + len(str(found)) % 2], acts)]


@pytest.fixture
def engine(fresh_database: str, tmp_path: Path) -> Iterator[Engine]:
    write(tmp_path, "any", SOURCE)
    WORLD.database = fresh_database
    with running(tmp_path, lease=15) as engine:
        WORLD.engine = engine
        yield engine
    connection.close()


@dataclass
class Arrived:
    """An alert with its playbook, and what is to come of it."""

    name: str
    alert: Alert
    program: list[Any]
    value: Any
    wanted: Counter[str]
    cancelled: bool = False


class Machine(RuleBasedStateMachine):
    """See above; every end of a program checks all that has arrived."""

    def __init__(self) -> None:
        super().__init__()
        WORLD.begin()
        self.arrived: list[Arrived] = []

    @rule(program=programs)
    def arrive(self, program: tuple[Any, ...]) -> None:
        name = f"{len(self.arrived)}"
        program_ = labelled(program, f"{name}/0")
        wanted: Counter[str] = Counter()
        value = expected(program_, wanted)
        wanted[f"{name}/follower"] += 1
        alert = receive(program=program_, name=name, source_id=str(uuid7()))
        self.arrived.append(Arrived(name, alert, program_, value, wanted))

    @rule(moments=st.integers(1, 8))
    def the_worker_will_die(self, moments: int) -> None:
        WORLD.deaths.add(WORLD.moment + moments)

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def a_person_cancels(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.arrived))
        run = runs_of(one.alert)[0]
        with contextlib.suppress(Conflict):  # it has ended
            cancel_run(actor=SYSTEM, run=run)
            one.cancelled = True

    @rule()
    def all_ends(self) -> None:
        for one in self.arrived:
            self._check(one, finished(one.alert))

    def teardown(self) -> None:
        self.all_ends()

    def _check(self, one: Arrived, runs: list[PlaybookRun]) -> None:
        run, follower = runs
        acts = Counter(label for label in WORLD.done if label.startswith(f"{one.name}/"))
        if not (one.cancelled and run.state == "cancelled"):
            assert (run.state, run.result_value) == ("success", one.value), run.traceback
            assert acts >= one.wanted, f"not done: {one.wanted - acts}"
        assert follower.state == "success"
        repeated = dict(ActionResult.objects.filter(run__in=runs).values_list("input", "repeated"))
        for label in acts - one.wanted:
            assert repeated[f'{{"label":"{label}"}}'], f"{label} was done again, and nobody says so"
        assert set(acts) <= set(one.wanted), "a way was taken that the results do not lead to"
        for label in labels_of(one.program, "once"):
            assert acts[label] <= one.wanted[label], f"{label} must be done once"
        own = [label for label in WORLD.done if label.startswith(f"{one.name}/")]
        first = own.index(f"{one.name}/follower")
        assert set(own[first:]) == {f"{one.name}/follower"}, "what follows waits until all has ended"
        if not WORLD.died:
            assert not any(repeated.values())
        assert [r.deaths for r in runs] == [0, 0]


@pytest.mark.usefixtures("engine")
def test_it_ends_as_if_nothing_had_happened() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25, stateful_step_count=8, deadline=None, derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip
    assert WORLD.all_died > 10, "workers died"


def labels_of(node: list[Any], kind: str) -> Iterator[str]:
    """The acts of one kind."""
    if node[0] == kind:
        yield node[1]
    for child in node[1:]:
        if isinstance(child, list):
            yield from labels_of(child, kind)
