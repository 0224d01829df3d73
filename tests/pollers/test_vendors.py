"""What every vendor's poller promises, against a server that speaks as the vendor documents it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from alerts.models import Alert, Delivery, Observable
from playbooks_engine import failpoints
from playbooks_engine.connectors.services import check_connector, update_connector
from playbooks_engine.models import Connector
from playbooks_engine.pollers import running
from playbooks_engine.pollers.http import Http
from tests.factories import SYSTEM, make_partner
from tests.pollers.conftest import Desk, Died, die_at
from tests.pollers.vendors import ADDRESS, HOST, SHA256, USER, VENDORS, Vendor

CANARY = "canary"
NONSENSE = (
    b"<html>", b"[]", b'"x"', b'{"value": 5, "result": 5, "resources": 5, "hits": 5}', b"{", b'{"value": [1]}\n{',
    b'{"resources": [1], "hits": {"hits": [1]}, "value": [1], "messages": [{"type": "FATAL", "text": "no"}]}',
)  # fmt: skip


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.kind)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    found: Vendor = request.param
    return found


@pytest.fixture
def fake(vendor: Vendor) -> Iterator[Any]:
    with vendor.fake() as server:
        yield server


def free(desk: Desk, connector: Connector) -> None:
    """As if the lease of whoever died were over."""
    state = desk.state(connector)
    state.leased_until = None
    state.save(update_fields=["leased_until"])


def test_every_page_once(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake, partner=make_partner("acme"))
    names = [f"a{number:02}" for number in range(8)]
    for number, name in enumerate(names):
        vendor.put(fake, name, ago=600 - number)
    assert desk.poll(connector) == {"accepted": 8}
    assert vendor.stored() == names
    assert desk.poll(connector) == {}, "the overlap is asked for again and left out"
    vendor.put(fake, "b")
    assert desk.poll(connector) == {"accepted": 1}
    alert = Alert.objects.latest("created_at")
    assert (alert.source, alert.partner.slug) == (vendor.kind, "acme")
    state = desk.state(connector)
    assert (state.accepted, state.duplicates, state.quarantined, state.last_error) == (9, 0, 0, "")


def test_who_and_what_it_is_about(desk: Desk, vendor: Vendor, fake: Any) -> None:
    """Machine, person, address and file, wherever the vendor has them."""
    vendor.put(fake, "a")
    assert desk.poll(vendor.connect(desk, fake)) == {"accepted": 1}
    alert = Alert.objects.get()
    assert (alert.hostname or "").partition(".")[0] == HOST
    assert (alert.username or "").partition("@")[0] == USER
    assert ADDRESS in (alert.source_ip, alert.dest_ip)
    assert {("sha256", SHA256), ("ip", ADDRESS)} <= set(Observable.objects.values_list("type", "value"))


def test_many_alerts_of_one_moment(desk: Desk, vendor: Vendor, fake: Any) -> None:
    """More than a page of them; with an overlap of nothing."""
    connector = vendor.connect(desk, fake, overlap=0)
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    names = [f"a{number:02}" for number in range(10)]
    for name in names:
        fake.add(vendor.alert(name, at), at=at)
    desk.poll(connector)
    desk.poll(connector)
    assert vendor.stored() == names
    assert Delivery.objects.count() == 10


def test_what_is_older_than_the_first_hours_is_not_fetched(desk: Desk, vendor: Vendor, fake: Any) -> None:
    if vendor.by_index_time:
        pytest.skip("what the fake is given now is indexed now")
    vendor.put(fake, "old", ago=3 * 3600)
    vendor.put(fake, "new", ago=60)
    desk.poll(vendor.connect(desk, fake, first_hours=1))
    assert vendor.stored() == ["new"]


def test_late_alerts_are_found(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake)
    vendor.put(fake, "first", ago=100)
    desk.poll(connector)
    vendor.put(fake, "late", ago=250)
    assert desk.poll(connector) == {"accepted": 1}
    assert vendor.stored() == ["first", "late"]


def test_an_alert_from_the_future_hides_none(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake)
    vendor.put(fake, "future", ago=-7 * 24 * 3600)
    desk.poll(connector)
    vendor.put(fake, "now", ago=1)
    desk.poll(connector)
    assert "now" in vendor.stored()
    assert Alert.objects.count() == len(vendor.stored())


@pytest.mark.parametrize("point", ["poll.stored", "poll.moved"])
def test_killed_between_page_and_position(desk: Desk, vendor: Vendor, fake: Any, point: str) -> None:
    """Nothing is lost, nothing is twice."""
    connector = vendor.connect(desk, fake)
    names = [f"a{number}" for number in range(7)]
    for number, name in enumerate(names):
        vendor.put(fake, name, ago=600 - number)
    for _ in range(3):
        die_at(point)
        with pytest.raises(Died):
            desk.poll(connector)
        free(desk, connector)
    desk.poll(connector)
    assert vendor.stored() == names
    assert Alert.objects.count() == 7


def test_a_downtime_of_the_vendor(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake)
    vendor.put(fake, "before", ago=200)
    desk.poll(connector)
    fake.fail_next(503, times=2)
    vendor.put(fake, "during", ago=100)
    waits = []
    for failures in (1, 2):
        assert desk.poll(connector) == {}
        state = desk.state(connector)
        assert state.failures == failures
        assert "503" in state.last_error
        waits.append((state.next_at - datetime.now(UTC)).total_seconds())
    assert waits[0] > 40
    assert waits[1] > waits[0]
    connector.refresh_from_db()
    assert connector.health_status == "unhealthy"
    vendor.put(fake, "after", ago=10)
    assert desk.poll(connector) == {"accepted": 2}
    assert vendor.stored() == ["after", "before", "during"]
    state = desk.state(connector)
    assert (state.failures, state.last_error) == (0, "")


def test_a_vendor_that_is_away(desk: Desk, vendor: Vendor) -> None:
    with vendor.fake() as gone:
        connector = vendor.connect(desk, gone)
    assert desk.poll(connector) == {}
    assert "does not answer" in desk.state(connector).last_error


def test_too_many_requests(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake)
    vendor.put(fake, "a")
    desk.poll(connector)
    fake.fail_next(429, headers={"Retry-After": "900"}, times=1)
    desk.poll(connector)
    state = desk.state(connector)
    assert "429" in state.last_error
    assert state.next_at > datetime.now(UTC) + timedelta(seconds=895)
    assert desk.poll(connector) == {}
    assert desk.state(connector).failures == 0


def test_falcon_names_a_time_to_come_back(desk: Desk) -> None:
    vendor = VENDORS[-1]
    with vendor.fake() as fake:
        connector = vendor.connect(desk, fake)
        later = int(datetime.now(UTC).timestamp()) + 900
        fake.fail_next(429, headers={"X-Ratelimit-Retryafter": str(later)})
        desk.poll(connector)
        assert desk.state(connector).next_at > datetime.now(UTC) + timedelta(seconds=890)


def test_a_page_that_fails_is_asked_again_where_it_was(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake)
    names = [f"a{number}" for number in range(7)]
    for number, name in enumerate(names):
        vendor.put(fake, name, ago=600 - number)
    pages = 0

    def fail(point: str, _what: str) -> None:
        nonlocal pages
        pages += point == "poll.moved"
        if pages == 1 and point == "poll.moved":
            fake.fail_next(500, times=1)

    failpoints.hook = fail
    desk.poll(connector)
    assert 0 < len(vendor.stored()) < 7
    desk.poll(connector)
    assert vendor.stored() == names
    assert Delivery.objects.count() == 7


def test_tokens_are_renewed(desk: Desk, vendor: Vendor, fake: Any) -> None:
    if not vendor.has_tokens:
        pytest.skip("this vendor knows no tokens that expire")
    connector = vendor.connect(desk, fake)
    vendor.put(fake, "a")
    desk.poll(connector)
    fake.expire_tokens()
    vendor.put(fake, "b")
    assert desk.poll(connector) == {"accepted": 1}
    assert desk.state(connector).failures == 0


def test_a_change_comes_again_and_is_no_new_alert(desk: Desk, vendor: Vendor, fake: Any) -> None:
    if not vendor.lists_changes:
        pytest.skip("this vendor lists by a time that does not change")
    connector = vendor.connect(desk, fake)
    vendor.put(fake, "a", ago=100)
    desk.poll(connector)
    vendor.put(fake, "a", ago=10)
    assert desk.poll(connector) == {"duplicate": 1}
    assert desk.poll(connector) == {}
    assert Alert.objects.count() == 1


def test_two_workers_at_once(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake)
    for number in range(7):
        vendor.put(fake, f"a{number}", ago=600 - number)
    desk.due(connector)
    claims = running.claim(uuid.uuid4(), 10) + running.claim(uuid.uuid4(), 10)
    assert len(claims) == 1
    # The lease of the first is over while it still lives.
    free(desk, connector)
    claims += running.claim(uuid.uuid4(), 10)

    def run(one: running.Claim) -> None:
        try:
            running.run(one)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(one,)) for one in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(claims) == 2
    assert vendor.stored() == [f"a{number}" for number in range(7)]
    assert Alert.objects.count() == 7
    assert desk.poll(connector) == {}


def test_secrets_are_never_told(
    desk: Desk, vendor: Vendor, fake: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    connector = vendor.connect(desk, fake)
    wrong = {name: f"{CANARY}-{name}" for name in vendor.secrets(fake)}
    update_connector(actor=SYSTEM, connector=connector, secrets=wrong)
    connector.refresh_from_db()
    with caplog.at_level("DEBUG"):
        desk.poll(connector)
        found = check_connector(actor=SYSTEM, connector=connector)
    error = desk.state(connector).last_error
    assert error
    assert not found.healthy
    output = capfd.readouterr()
    assert CANARY not in error + found.message + caplog.text + output.out + output.err


def test_health(desk: Desk, vendor: Vendor, fake: Any) -> None:
    connector = vendor.connect(desk, fake)
    found = check_connector(actor=SYSTEM, connector=connector)
    assert (found.healthy, found.message) == (True, "It answers")


def test_an_answer_that_makes_no_sense(
    desk: Desk, vendor: Vendor, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error, never an empty page, and moves nothing."""
    connector = vendor.connect(desk, fake)
    vendor.put(fake, "a")
    desk.poll(connector)
    before = desk.state(connector).cursor
    ask, body = Http.ask, b""
    with monkeypatch.context() as patch:
        patch.setattr(Http, "ask", lambda *a, **k: ask(*a, **k) if k.get("with_login") is False else body)
        for failures, nonsense in enumerate(NONSENSE, 1):
            body = nonsense
            desk.poll(connector)
            state = desk.state(connector)
            assert (state.failures, state.cursor) == (failures, before), nonsense
            assert state.last_error
    vendor.put(fake, "b")
    assert desk.poll(connector) == {"accepted": 1}
