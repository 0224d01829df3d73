"""Polls in real processes: a worker begins them by itself, and kill -9 at any point loses and doubles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import Alert, Delivery
from playbooks_engine.models import PollState
from playbooks_engine.pollers import running
from tests.fakes.elastic import FakeElastic
from tests.playbooks_engine import engines
from tests.pollers.conftest import Desk
from tests.pollers.vendors import VENDORS

ELASTIC = VENDORS[0]
# Polls what is due, and dies at the point whose number it is given, counted over all pages.
WORKER = """
import os, signal, sys, uuid
import django
django.setup()
from playbooks_engine import failpoints
from playbooks_engine.pollers import running
left = int(sys.argv[1])
def strike(point, what):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
failpoints.hook = strike
for claim in running.claim(uuid.uuid4(), 10):
    running.run(claim)
"""


def test_a_worker_polls_by_itself_and_hands_over_at_its_end(desk: Desk, tmp_path: Path) -> None:
    with FakeElastic() as fake:
        ELASTIC.put(fake, "a")
        connector = ELASTIC.connect(desk, fake)
        with engines.running(tmp_path) as engine:
            engines.eventually(Alert.objects.exists)
            engines.eventually(lambda: desk.state(connector).leased_until is None)
            assert ELASTIC.stored() == ["a"]
            # As if a poll hung while the worker stops.
            held = timezone.now() + timedelta(minutes=5)
            PollState.objects.update(leased_until=held, leased_by=engine.beat.worker_id)
        assert desk.state(connector).leased_until is None, "others go on at once"


@pytest.mark.parametrize("first", [1, 2])
def test_killed_again_and_again(desk: Desk, fresh_database: str, first: int) -> None:
    names = [f"a{number}" for number in range(8)]
    with FakeElastic() as fake:
        for number, name in enumerate(names):
            ELASTIC.put(fake, name, ago=600 - number)
        connector = ELASTIC.connect(desk, fake)
        deaths = 0
        for strike in (first, 1, 3, 2, 99):
            desk.due(connector)
            deaths += _worker(fresh_database, strike) == -signal.SIGKILL
            PollState.objects.update(leased_until=None)  # as if the lease were over
        assert deaths >= 3
        assert ELASTIC.stored() == names
        assert Alert.objects.count() == 8
        assert Delivery.objects.count() >= 8
        assert desk.poll(connector) == {}


def _worker(database: str, strike: int) -> int:
    env: dict[str, Any] = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "opensoar.settings", "DATABASE_URL": database,
        "OPENSOAR_PULL_LOOPBACK": "true",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", WORKER, str(strike)], env=env, timeout=90, check=False
    ).returncode


def test_no_more_polls_at_once_than_threads(desk: Desk) -> None:
    with FakeElastic() as fake:
        for _ in range(7):
            desk.due(ELASTIC.connect(desk, fake))
        first, second = running.claim(uuid.uuid4(), 4), running.claim(uuid.uuid4(), 4)
        assert (len(first), len(second)) == (4, 3)
        assert not {one.connector_id for one in first} & {one.connector_id for one in second}
        assert running.claim(uuid.uuid4(), 4) == []
        assert running.claim(uuid.uuid4(), 0) == []


def test_back_off() -> None:
    for failures in range(100):
        pause = running.back_off(60, failures, None)
        assert 48 <= pause <= running.MAX_BACK_OFF * 1.2
    assert running.back_off(60, 0, 5_000) >= 5_000
    assert running.back_off(60, 0, 0) >= 48
