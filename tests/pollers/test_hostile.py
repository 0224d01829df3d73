"""Vendors' servers that mean harm, are broken or slow: a poll ends in time, takes little memory and holds up no other."""

from __future__ import annotations

import gzip
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.models import Alert, Delivery
from playbooks_engine import failpoints
from playbooks_engine.connectors.services import check_connector
from playbooks_engine.masking import Mask
from playbooks_engine.models import Connector
from playbooks_engine.pollers import KINDS, base, poller, running
from playbooks_engine.pollers import http as http_module
from playbooks_engine.pollers.elastic import Elastic
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import STEP, Deadline, Fixed, Http
from tests.dovecot import Dovecot
from tests.factories import SYSTEM
from tests.fakes.elastic import FakeElastic
from tests.playbooks_engine.engines import eventually
from tests.pollers.conftest import Desk
from tests.pollers.servers import Line, Server, http
from tests.pollers.vendors import VENDORS, iso

ELASTIC, SENTINEL = VENDORS[0], VENDORS[2]
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"


@contextmanager
def soon(seconds: float = 15.0) -> Iterator[None]:
    """What is done inside takes no longer."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def _headers(line: Line) -> None:
    line.say(OK + b"X-Endless: ")
    line.drip()


def _interim(line: Line) -> None:
    line.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


def _packed(line: Line) -> None:
    """A gzip stream whose file name has no end: there is never anything to unpack."""
    line.say(CHUNKED + b"Content-Encoding: gzip\r\n\r\na\r\n\x1f\x8b\x08\x08\0\0\0\0\0\x03\r\n")
    line.drip(b"1\r\nx\r\n")


def _body(line: Line) -> None:
    line.say(CHUNKED + b'\r\n8\r\n{"a": 1}\r\n')
    line.drip(b"1\r\n \r\n")


def _until_closed(line: Line) -> None:
    """Whose end is that of the connection: what came so far would be a whole answer."""
    line.say(OK + b'Connection: close\r\n\r\n{"a": 1}')
    line.drip(b" ")


DRIPS = [_headers, _interim, _packed, _body, _until_closed]


@contextmanager
def conversation(server: Server, seconds: float = 2.0, ca_pem: str | None = None) -> Iterator[Http]:
    deadline = Deadline(seconds)
    made = Http(
        server.url, tls=ssl.create_default_context(cadata=ca_pem), mask=Mask(), login=Fixed({}), deadline=deadline
    )  # fmt: skip
    yield made
    made.close()
    deadline.stop()


@pytest.mark.parametrize("answer", DRIPS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_an_answer_without_an_end(
    answer: Callable[[Line], None], encrypted: bool, tmp_path: Path, settings: Any
) -> None:
    settings.PULL_LOOPBACK = True
    tls, ca_pem = None, None
    if encrypted:
        ca_pem = Dovecot(tmp_path, None).ca_pem
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Server(http(answer), tls) as server, conversation(server, ca_pem=ca_pem) as made, soon():
        with pytest.raises(VendorError, match="in time"):
            made.get("/")
        assert server.connections == 1
        with pytest.raises(VendorError, match="in time"):
            made.get("/")
        assert server.connections == 1, "without time nobody is asked"


def test_a_deadline_that_is_put_off(settings: Any) -> None:
    """It counts from the last page on, also for a connection that was made before."""
    settings.PULL_LOOPBACK = True

    def slow(line: Line) -> None:
        line.wait(0.5)
        line.say(OK + b"Content-Length: 2\r\n\r\n{}")

    with Server(http(slow)) as server, conversation(server, seconds=1.8) as made, soon():
        for _ in range(5):
            assert made.get("/") == {}
            made._deadline.renew(1.8)
        assert server.connections == 1
        made._deadline.renew(0.1)
        with pytest.raises(VendorError, match="in time"):
            made.get("/")


@pytest.mark.parametrize("answer", DRIPS)
def test_a_poll_and_a_look_end_in_time(
    desk: Desk, answer: Callable[[Line], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Elastic, "seconds", 1.0)
    monkeypatch.setattr(base, "LOOK_SECONDS", 1.0)
    with Server(http(answer)) as server:
        connector = desk.connect("elastic", {"url": server.url}, {"api_key": "x" * 20})
        with soon():
            assert desk.poll(connector) == {}
        state = desk.state(connector)
        assert "in time" in state.last_error
        assert (state.failures, state.leased_until) == (1, None)
        with soon():
            found = check_connector(actor=SYSTEM, connector=connector)
        assert not found.healthy
        assert "in time" in found.message


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_ends_before_its_lease(kind: str) -> None:
    assert poller(kind).seconds + 2 * STEP < running.LEASE_SECONDS
    assert running.MARK_SECONDS + 2 * STEP < running.LEASE_SECONDS


def test_a_connector_is_not_polled_twice_by_one_process(desk: Desk) -> None:
    """Though its lease is over while its thread lives."""
    polls, worker = running.Polls(), uuid.uuid4()
    with FakeElastic() as fake:
        first = ELASTIC.connect(desk, fake)
        fake.hang_next(3)
        desk.due(first)
        polls.begin_due(worker)
        eventually(lambda: len(fake.requests) == 1)
        state = desk.state(first)
        state.leased_until = None
        state.save(update_fields=["leased_until"])
        desk.due(first)
        second = ELASTIC.connect(desk, fake)
        polls.begin_due(worker)
        eventually(lambda: desk.state(second).last_ok_at is not None)
        assert desk.state(first).fence == state.fence, "it was not claimed again"
        eventually(lambda: desk.state(first).last_ok_at is not None)
        polls.stop(worker)


def _answers(body: bytes, *headers: bytes) -> Callable[[Line], None]:
    lines = b"".join(header + b"\r\n" for header in (*headers, b"Content-Length: %d" % len(body)))
    return http(lambda line: line.say(OK + lines + b"\r\n" + body))


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (gzip.compress(gzip.compress(b"{}")), b"gzip, gzip", "nobody asked for: gzip, gzip"),
        (b"{}", b"br", "nobody asked for: br"),
        (gzip.compress(b" " * 190_000), b"gzip", "packs more than 100"),
        (b"{}", b"gzip", "cannot be unpacked"),
        (gzip.compress(b"{}")[:-4], b"gzip", "cannot be unpacked"),
        (b" " * 300_000, b"identity", "answers with more than"),
        (gzip.compress(b",".join(b"%d" % number for number in range(50_000))), b"gzip", "answers with more than"),
    ],
    ids=["twice", "other", "bomb", "none", "cut", "large", "large unpacked"],
)  # fmt: skip
def test_what_is_packed_is_not_believed(
    body: bytes, encoding: bytes, words: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PULL_LOOPBACK = True
    monkeypatch.setattr(http_module, "MAX_ANSWER", 200_000)
    server = Server(_answers(body, b"Content-Encoding: " + encoding))
    with server, conversation(server, seconds=20) as made, pytest.raises(VendorError, match=words):
        made.get("/")


def test_what_may_be_packed(settings: Any) -> None:
    settings.PULL_LOOPBACK = True
    page = b'{"value": [' + b", ".join(b'{"id": %d}' % number for number in range(20_000)) + b"]}"
    for encoding, body in (
        (b"gzip", gzip.compress(page)),
        (b"X-GZIP", gzip.compress(page)),
        (b"identity", page),
    ):
        server = Server(_answers(body, b"Content-Encoding: " + encoding))
        with server, conversation(server, seconds=20) as made:
            assert len(made.get("/")["value"]) == 20_000
    with Server(_answers(b"", b"Content-Encoding: gzip")) as server, conversation(server, seconds=20) as made:
        assert made.ask("GET", "/") == b""


def _one_is_bad(connector: Connector, desk: Desk) -> None:
    """The others of its page are stored, the position moves, and it does not come again."""
    states = desk.poll(connector)
    assert states == {"accepted": 2, "quarantined": 1}
    state = desk.state(connector)
    assert (state.failures, state.last_error, state.quarantined) == (0, "", 1)
    assert desk.poll(connector) == {}


def test_one_alert_that_cannot_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Elastic.item

    def item(self: Elastic, found: base.Found) -> Any:
        if b"Rule of b" in found.body:
            raise RecursionError("maximum recursion depth exceeded")
        return read(self, found)

    monkeypatch.setattr(Elastic, "item", item)
    with FakeElastic() as fake:
        for name in ("a", "b", "c"):
            ELASTIC.put(fake, name)
        _one_is_bad(ELASTIC.connect(desk, fake), desk)
    kept = Delivery.objects.get(state="quarantined")
    assert b"Rule of b" in bytes(kept.body), "its bytes are kept, to be tried again"
    assert kept.reason == "RecursionError: maximum recursion depth exceeded"


@pytest.mark.parametrize("kind", ["deep", "surrogate"])
def test_one_alert_that_is_strange_json(desk: Desk, kind: str) -> None:
    strange: Any = "\ud83d"
    if kind == "deep":
        strange = 1
        for _ in range(400):
            strange = {"a": strange}
    with FakeElastic() as fake:
        for name in ("a", "b"):
            ELASTIC.put(fake, name)
        fake.add({"kibana.alert.uuid": "c", "kibana.alert.rule.name": "Rule of c", "x": strange})
        _one_is_bad(ELASTIC.connect(desk, fake), desk)


def test_alerts_of_one_moment_without_an_id_of_their_own(desk: Desk) -> None:
    """Of an index that others than Kibana write; more of them than a page holds, between others."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
    names = [f"a{number:02}" for number in range(11)]
    with FakeElastic() as fake:
        for number, name in enumerate(names):
            at = moment + timedelta(milliseconds={0: -1, 10: 1}.get(number, 0))
            fake.add({"_id": name, "rule.name": f"Rule of {name}"}, at=at, bare=True)
        connector = ELASTIC.connect(desk, fake, overlap=0)
        assert desk.poll(connector) == {"accepted": 11}
        assert desk.poll(connector) == {}
        assert (Alert.objects.count(), Delivery.objects.count()) == (11, 11)


@pytest.mark.parametrize("beside", ["a0", None])
def test_a_position_from_before_goes_on(desk: Desk, beside: str | None) -> None:
    """When pages went by search_after it said which alert of the moment was the last, if it had an id."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
    with FakeElastic() as fake:
        connector = ELASTIC.connect(desk, fake, overlap=0)
        for number in range(7):
            fake.add(ELASTIC.alert(f"a{number}", moment), at=moment)
        state = desk.state(connector)
        text = iso(moment)
        walk = {
            "since": text,
            "begun": iso(datetime.now(UTC)),
            "token": [text, beside],
            "version": connector.version,
        }
        state.cursor = {"since": text, "walk": walk}
        state.save(update_fields=["cursor"])
        assert desk.poll(connector) == {"accepted": 7}
        assert desk.poll(connector) == {}
        assert ELASTIC.stored() == [f"a{number}" for number in range(7)]


def test_a_next_page_that_leads_elsewhere_is_asked_for_anew_once(desk: Desk) -> None:
    """What a walk remembers may have been good once; the pages are begun anew, and what is known stays known."""
    with SENTINEL.fake() as fake, FakeElastic() as other:
        connector = SENTINEL.connect(desk, fake)
        for number in range(7):
            SENTINEL.put(fake, f"a{number}", ago=600 - number)
        fake.links_to = other.url

        def mend(point: str, _what: str) -> None:
            if point == "poll.moved":
                fake.links_to = ""

        failpoints.hook = mend
        assert desk.poll(connector) == {"accepted": 7}
        assert SENTINEL.stored() == [f"a{number}" for number in range(7)]
        assert desk.state(connector).failures == 0
        failpoints.hook = None
        fake.links_to = other.url
        SENTINEL.put(fake, "a0", ago=0)
        for number in range(3):
            SENTINEL.put(fake, f"b{number}", ago=1)
        desk.poll(connector)
        assert "another server" in desk.state(connector).last_error
        assert other.requests == []
