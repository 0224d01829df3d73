"""Whatever a playbook is made of and wherever its worker dies: it ends as if nothing had happened.

Hypothesis writes playbooks (sequences, gathers, catches, finally blocks, branches, sleeps, nested at will) and the
moments at which the run is taken from its worker. They run on the real engine and database; what their actions did is
kept apart from both.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playbooks_engine.models import ActionResult, PlaybookRun
from playbooks_engine.worker import Engine
from tests.playbooks_engine.engines import finished, receive, running, write

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

@playbook(trigger="webhook")
async def any_playbook(alert):
    return await follow(alert.raw_payload["program"])
"""


class World:
    """What the actions did, and when their worker dies: before and after acts, by the number of the moment."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.database = ""
        self.begin([])

    def begin(self, deaths: list[int]) -> None:
        self.acts: Counter[str] = Counter()
        self.deaths = set(deaths)
        self.died = 0
        self._moments = itertools.count()

    def result_of(self, label: str) -> str | None:
        return f"did {label}" if self.acts[label] else None

    async def act(self, label: str) -> str:
        self._may_die()
        await asyncio.sleep(0)
        self.acts[label] += 1
        self._may_die()
        return f"did {label}"

    def _may_die(self) -> None:
        if next(self._moments) in self.deaths:
            self.died += 1
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


def labelled(node: tuple[Any, ...], path: str = "0") -> list[Any]:
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


@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(program=programs, deaths=st.lists(st.integers(0, 12), max_size=3))
def test_it_ends_as_if_nothing_had_happened(
    engine: Engine, program: tuple[Any, ...], deaths: list[int]
) -> None:
    program_ = labelled(program)
    wanted: Counter[str] = Counter()
    value = expected(program_, wanted)
    WORLD.begin(deaths)
    (run,) = finished(receive(program=program_))
    assert (run.state, run.result_value) == ("success", value), run.traceback
    repeated = dict(ActionResult.objects.filter(run=run).values_list("input", "repeated"))
    for label, times in wanted.items():
        assert WORLD.acts[label] >= times, f"{label} was not done"
        if WORLD.acts[label] > times:
            assert repeated[f'{{"label":"{label}"}}'], f"{label} was done again, and nobody says so"
    assert set(WORLD.acts) <= set(wanted), "a way was taken that the results do not lead to"
    for label in labels_of(program_, "once"):
        assert WORLD.acts[label] == wanted[label], f"{label} must be done once"
    if not WORLD.died:
        assert WORLD.acts == wanted
        assert not any(repeated.values())
    assert PlaybookRun.objects.get(pk=run.pk).deaths == 0


def labels_of(node: list[Any], kind: str) -> Iterator[str]:
    """The acts of one kind."""
    if node[0] == kind:
        yield node[1]
    for child in node[1:]:
        if isinstance(child, list):
            yield from labels_of(child, kind)
