"""The entities of Sentinel's incidents, which are asked for one incident after the other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from alerts.models import Alert, Delivery
from alerts.senders import MAX_BYTES
from playbooks_engine.connectors.services import check_connector
from playbooks_engine.models import Connector
from playbooks_engine.pollers import sentinel
from tests.factories import SYSTEM
from tests.fakes.sentinel import FakeSentinel
from tests.pollers.conftest import Desk
from tests.pollers.vendors import HOST, VENDORS

VENDOR = next(one for one in VENDORS if one.kind == "sentinel")
NAMES = ["a0", "a1", "a2", "a3", "a4"]


@pytest.fixture
def fake() -> Iterator[FakeSentinel]:
    with FakeSentinel() as server:
        yield server


@pytest.fixture
def connector(desk: Desk, fake: FakeSentinel) -> Connector:
    """One whose pages have three incidents; five wait."""
    for number, name in enumerate(NAMES):
        VENDOR.put(fake, name, ago=600 - number)
    return VENDOR.connect(desk, fake)


def asked(fake: FakeSentinel) -> list[str]:
    """The incidents whose entities were asked for, in order."""
    return [path.split("/")[-2] for path in fake.paths() if path.endswith("/entities")]


def hosts() -> dict[str, str | None]:
    """The machine of each alert."""
    return dict(Alert.objects.values_list("source_id", "hostname"))


def test_each_new_or_changed_incident_is_asked_about_once(
    desk: Desk, fake: FakeSentinel, connector: Connector
) -> None:
    assert desk.poll(connector) == {"accepted": 5}
    assert asked(fake) == NAMES
    desk.poll(connector)
    assert asked(fake) == NAMES, "what is known is left out"
    VENDOR.put(fake, "a3", ago=5)
    assert desk.poll(connector) == {"duplicate": 1}
    assert asked(fake) == [*NAMES, "a3"]
    kept = [orjson.loads(bytes(one.body)) for one in Delivery.objects.filter(state="accepted")]
    assert {one["kind"] for one in kept[0]["properties"]["relatedEntities"]} == {
        "Host", "Account", "Ip", "File", "FileHash",
    }  # fmt: skip


def test_what_fails_is_asked_again_and_what_was_done_is_kept(
    desk: Desk, fake: FakeSentinel, connector: Connector
) -> None:
    fake.fail_next(429, headers={"Retry-After": "900"}, on="a1/entities")
    assert desk.poll(connector) == {"accepted": 1}
    assert hosts() == {"a0": HOST}
    state = desk.state(connector)
    assert "429" in state.last_error
    assert state.next_at > datetime.now(UTC) + timedelta(seconds=895)
    assert asked(fake) == ["a0", "a1"], "nobody is asked until the time is over"
    assert desk.poll(connector) == {"accepted": 4}
    assert hosts() == dict.fromkeys(NAMES, HOST)
    assert asked(fake) == ["a0", "a1", *NAMES[1:]]
    assert desk.state(connector).failures == 0


def test_what_fails_for_ever_holds_nothing_up_for_ever(
    desk: Desk, fake: FakeSentinel, connector: Connector
) -> None:
    fake.fail_next(500, times=100, on="a1/entities")
    for failures in range(1, sentinel.PATIENCE + 1):
        desk.poll(connector)
        state = desk.state(connector)
        assert (state.failures, sorted(hosts())) == (failures, ["a0"])
        assert "a1/entities answers with status 500" in state.last_error
    assert desk.poll(connector) == {"accepted": 4}
    assert hosts() == {**dict.fromkeys(NAMES, HOST), "a1": None}
    assert desk.state(connector).failures == 0


def test_an_incident_that_is_gone_has_no_entities(
    desk: Desk, fake: FakeSentinel, connector: Connector
) -> None:
    fake.fail_next(404, on="a1/entities")
    assert desk.poll(connector) == {"accepted": 5}
    assert hosts() == {**dict.fromkeys(NAMES, HOST), "a1": None}


def test_a_role_that_may_not_ask(
    desk: Desk, fake: FakeSentinel, connector: Connector, caplog: pytest.LogCaptureFixture
) -> None:
    """The incidents come as before; the check says what is missing."""
    fake.fail_next(403, times=6, on="/entities")
    assert desk.poll(connector) == {"accepted": 5}
    assert hosts() == dict.fromkeys(NAMES)
    assert "'a4' of Sentinel is taken without its entities" in caplog.text
    found = check_connector(actor=SYSTEM, connector=connector)
    assert not found.healthy
    assert "entities answers with status 403" in found.message


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"entities": 5}', b'{"entities": [1]}', b"{"])
def test_an_answer_that_makes_no_sense_is_no_empty_list(
    desk: Desk, fake: FakeSentinel, connector: Connector, body: bytes
) -> None:
    fake.fail_next(200, body=body, on="a0/entities")
    assert desk.poll(connector) == {}
    assert desk.state(connector).failures == 1
    assert desk.poll(connector) == {"accepted": 5}
    assert hosts() == dict.fromkeys(NAMES, HOST)


def test_a_page_takes_no_longer_than_it_may(
    desk: Desk, fake: FakeSentinel, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did not come to is listed again; each incident is asked about once all the same."""
    monkeypatch.setattr(sentinel, "ENTITY_SECONDS", 0.0)
    assert desk.poll(connector) == {"accepted": 5}
    assert asked(fake) == NAMES
    assert hosts() == dict.fromkeys(NAMES, HOST)
    assert Delivery.objects.count() == 5


def test_more_entities_than_a_body_may_hold(desk: Desk, fake: FakeSentinel) -> None:
    at = datetime.now(UTC) - timedelta(seconds=60)
    incident = VENDOR.alert("big", at)
    large: dict[str, Any] = {"kind": "Process", "properties": {"commandLine": "x" * 300_000}}
    incident["entities"] = [large, large, large, large, *incident["entities"]]
    fake.add(incident, at=at)
    assert desk.poll(VENDOR.connect(desk, fake)) == {"accepted": 1}
    assert hosts() == {"big": HOST}
    assert 900_000 < len(bytes(Delivery.objects.get().body)) <= MAX_BYTES


@pytest.mark.parametrize("wide", [True, False], ids=["many keys", "deep"])
def test_entities_that_are_refused_do_not_take_the_incident_along(
    desk: Desk, fake: FakeSentinel, wide: bool
) -> None:
    at = datetime.now(UTC) - timedelta(seconds=60)
    incident = VENDOR.alert("odd", at)
    bad: dict[str, Any] = {"kind": "Ip", "properties": {f"k{number}": 1 for number in range(9_000)}}
    if not wide:
        deep: list[Any] = []
        for _ in range(100):
            deep = [deep]
        bad = {"kind": "Ip", "properties": {"deep": deep}}
    incident["entities"] = [*incident["entities"], bad, bad]
    fake.add(incident, at=at)
    assert desk.poll(VENDOR.connect(desk, fake)) == {"accepted": 1}
    assert hosts() == {"odd": HOST}
