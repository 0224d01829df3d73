"""How much one sender may ask of us: alerts a minute, bytes, depth; and that the others are served meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from alerts import bodies, rates, senders
from alerts.committer import committer
from alerts.incoming import Incoming
from alerts.ingest import Unavailable
from alerts.intake import Envelope, read_body
from alerts.models import Alert, Delivery
from alerts.replay import replay_delivery
from alerts.safejson import is_deeper
from alerts.senders import sender_of
from opensoar.accounts.models import ApiToken
from opensoar.accounts.services import configure_token
from tests.alerts.inbound import Answer, Inbound
from tests.factories import SYSTEM, make_token

NDJSON = "application/x-ndjson"
SECRET = "a secret of twenty-two"


@pytest.fixture(autouse=True)
def shared() -> Iterator[None]:
    rates.forget()
    yield
    rates.forget()


def limited(**limits: int) -> Inbound:
    return Inbound(make_token(["ingest"], **limits)[1])


def lines_of(count: int) -> str:
    return "\n".join(json.dumps({"title": f"t{n}"}) for n in range(count))


def test_more_than_a_minutes_alerts_are_refused_with_the_time_to_wait(inbound: Inbound) -> None:
    sender = limited(alerts_per_minute=3)
    assert [sender.post({"title": "t"}).status for _ in range(5)] == [200, 200, 200, 429, 429]
    answer = sender.post({"title": "t"})
    wait = int(answer.headers["Retry-After"])
    assert 1 <= wait <= 20
    assert answer.json == {
        "detail": f"At most 3 alerts a minute with this token; send it again in {wait} seconds"
    }
    assert inbound.post({"title": "t"}).status == 200, "another token has its own"
    assert Alert.objects.count() == 4


def test_every_alert_of_a_body_counts(inbound: Inbound) -> None:
    sender = limited(alerts_per_minute=10)
    assert sender.post([{"title": f"t{n}"} for n in range(10)]).json["accepted"] == 10
    assert sender.post({"title": "t"}).status == 429


def test_a_stream_that_was_let_in_is_heard_to_its_end_and_paid_for(inbound: Inbound) -> None:
    sender = limited(alerts_per_minute=100)
    lines = lines_of(600)
    answer = sender.post(lines, content_type=NDJSON)
    assert (answer.status, answer.json["accepted"]) == (200, 600)
    refused = sender.post(lines, content_type=NDJSON)
    assert (refused.status, list(refused.json)) == (429, ["detail"])
    assert 240 < int(refused.headers["Retry-After"]) <= 301, "five minutes' alerts more than there were"
    assert Alert.objects.count() == 600


def test_processes_share_it_and_without_valkey_each_has_its_own(inbound: Inbound, settings: Any) -> None:
    sender = limited(alerts_per_minute=2)
    assert sender.post({"title": "t"}).status == 200
    rates.forget()  # as another process
    assert [sender.post({"title": "t"}).status for _ in range(2)] == [200, 429]
    rates.forget()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert [sender.post({"title": "t"}).status for _ in range(3)] == [200, 200, 429]


def test_a_token_without_a_limit_never_asks(
    inbound: Inbound, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_args: Any, **_named: Any) -> int:
        raise AssertionError

    monkeypatch.setattr(rates, "_take", never)
    assert inbound.post({"title": "t"}).status == 200


@given(per_minute=st.integers(1, 10_000), counts=st.lists(st.integers(1, 50), min_size=1, max_size=80))
def test_a_bucket_gives_a_minutes_alerts_and_no_more(per_minute: int, counts: list[int]) -> None:
    """Whatever the sizes: as long as something is in it, it gives, and what it gave is gone."""
    rates.forget()
    rates._Local.away_until = float("inf")
    sender: Any = type("Sender", (), {"per_minute": per_minute, "token_id": None})()
    given_out, refused = 0, False
    for count in counts:
        try:
            rates.take(sender)
        except rates.TooFast:
            refused = True
            break
        rates.charge(sender, count - 1)
        given_out += count
    if refused:
        assert given_out >= per_minute
    else:
        assert given_out - counts[-1] < per_minute + per_minute / 60 + 1  # and what a second brought


def test_size(inbound: Inbound) -> None:
    sender = limited(max_body_bytes=2_000)
    big = {"title": "t", "padding": "x" * 3_000}
    answer = sender.post(big)
    assert (answer.status, answer.json["detail"]) == (
        413,
        "At most 2000 bytes a body, or 16 MB of application/x-ndjson",
    )
    assert not Delivery.objects.exists()
    lines = "\n".join(map(json.dumps, (big, {"title": "t"})))
    answer = sender.post(lines, content_type="application/x-ndjson")
    assert [result["state"] for result in answer.json["results"]] == ["quarantined", "accepted"]
    assert answer.json["results"][0]["reason"] == "larger than 2000 bytes"
    assert inbound.post(big).status == 200


def test_depth_is_quarantined_and_replayed_once_it_may(inbound: Inbound) -> None:
    sender = limited(max_depth=3)
    deep = {"title": "t", "a": {"b": {"c": {"d": 1}}}}
    answer = sender.post(deep)
    assert (answer.status, answer.json["reason"]) == (
        202,
        "nested deeper than the 3 levels that its token may send",
    )
    assert sender.post({"title": "t", "a": {"b": 1}}).status == 200
    token = ApiToken.objects.get(max_depth=3)
    configure_token(actor=SYSTEM, token=token, max_depth=None)
    assert (
        replay_delivery(actor=SYSTEM, delivery=Delivery.objects.get(state="quarantined")).state == "replayed"
    )


@given(st.recursive(st.none() | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text(max_size=2), inner, max_size=3), max_leaves=12), st.integers(1, 6))  # fmt: skip
def test_depth_is_what_a_person_counts(value: Any, limit: int) -> None:
    def depth(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    assert is_deeper({"": value}, limit) == (depth({"": value}) > limit)


# --- senders that take more than their share -----------------------------------------------------------------


class Held:
    """The input of a request whose sender says nothing until it is let go."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, size: int) -> bytes:
        self.asked.set()
        assert self.go.wait(20)
        piece, self._body = self._body[:size], self._body[size:]
        return piece


class Trickle:
    """The input of a request that begins as others do and then comes byte after byte."""

    def __init__(self, begin: bytes, rest: bytes) -> None:
        self._begin, self._rest = begin, rest

    def read(self, size: int) -> bytes:
        if self._begin:
            piece, self._begin = self._begin[:size], self._begin[size:]
            return piece
        time.sleep(0.05)
        piece, self._rest = self._rest[:1], self._rest[1:]
        return piece


def stream(sender: Inbound, body: Any, **how: Any) -> Answer:
    return sender.post(b"", content_type=NDJSON, length=False, **{"wsgi.input": body}, **how)


@pytest.mark.parametrize("signed", [False, True])
def test_two_streams_of_a_token_leave_the_other_places_to_others(
    inbound: Inbound, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    monkeypatch.setattr(bodies, "PLACE_WITHIN", 0.1)
    signature: dict[str, Any] = {"signature": "body", "signing_secret": SECRET} if signed else {}
    how = {"headers": {"X-Webhook-Signature": "sha256=forged"}} if signed else {}
    sender = Inbound(make_token(["ingest"], **signature)[1])
    held = [Held(b'{"title": "t"}'), Held(b'{"title": "t"}')]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(stream, sender, one, **how) for one in held]
        assert all(one.asked.wait(20) for one in held)
        third = sender.post('{"title": "t"}', content_type=NDJSON, **how)
        others = inbound.post('{"title": "t"}', content_type=NDJSON)
        for one in held:
            one.go.set()
        first_two = [answer.result().status for answer in answers]
    assert (third.status, third.headers.get("Retry-After"), others.status) == (503, "5", 200)
    assert first_two == ([401, 401] if signed else [200, 200])
    assert sender.post('{"title": "t"}', content_type=NDJSON, **how).status == (401 if signed else 200)


def test_a_stream_that_says_nothing_loses_its_place(
    inbound: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PLACE_WITHIN", 1.0)
    monkeypatch.setattr(bodies, "STALLED", 0.2)
    held = [Held(b'{"title": "t"}'), Held(b'{"title": "t"}')]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(stream, inbound, one) for one in held]
        assert all(one.asked.wait(20) for one in held)
        third = inbound.post('{"title": "t"}', content_type=NDJSON)
        for one in held:
            one.go.set()
        first_two = [answer.result() for answer in answers]
    assert third.status == 200
    assert [(answer.status, answer.json["accepted"]) for answer in first_two] == [(408, 0), (408, 0)]
    assert Alert.objects.count() == 1
    assert bodies._places == []


@pytest.mark.parametrize("length", [True, False])
def test_a_body_that_trickles_in_is_not_waited_for(
    inbound: Inbound, monkeypatch: pytest.MonkeyPatch, length: bool
) -> None:
    monkeypatch.setattr(bodies, "GRACE", 0.1)
    begin, rest = lines_of(290).encode(), b" " * 1_000
    how: dict[str, Any] = {"CONTENT_LENGTH": str(len(begin + rest))} if length else {}
    answer = stream(inbound, Trickle(begin, rest), **how)
    assert (answer.status, answer.json["accepted"]) == (408, Alert.objects.count())
    assert answer.json["accepted"] == len(answer.json["results"]) == 250
    whole = inbound.post(b"", length=False, **{"wsgi.input": Trickle(b'{"title": "t"}', rest)}, **how)
    assert (whole.status, whole.json) == (408, {"detail": "The body came too slowly"})
    assert Alert.objects.count() == 250


def test_a_flood_of_one_token_leaves_room_and_turns_to_others(
    inbound: Inbound, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.committer.MAX_WAITING_ALERTS", 1_000)
    flooding, other = (sender_of(make_token(["ingest"])[0]) for _ in range(2))

    def alerts(sender: Any, name: str, count: int) -> list[Incoming]:
        body = json.dumps([{"id": f"{name}-{n}", "title": "t"} for n in range(count)])
        return read_body(body.encode(), Envelope(sender))

    begun, more = alerts(flooding, "begun", 1), alerts(flooding, "more", 1)
    flood = [alerts(flooding, name, 250) for name in ("a", "b")]
    theirs = alerts(other, "theirs", 1)
    with psycopg.connect(fresh_database) as blocker:
        blocker.execute("LOCK TABLE alerts_alert IN ACCESS EXCLUSIVE MODE")
        tickets = [committer.hand_over(begun)]
        deadline = time.monotonic() + 5
        while committer._tickets and time.monotonic() < deadline:
            time.sleep(0.01)
        tickets += [committer.hand_over(items) for items in flood]
        with pytest.raises(Unavailable):
            committer.hand_over(more)
        tickets.append(committer.hand_over(theirs))
        blocker.rollback()
    for ticket in tickets:
        ticket.wait()
    assert transaction_of("theirs-0") == transaction_of("a-0") < transaction_of("b-0")


def transaction_of(source_id: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text::bigint FROM alerts_alert WHERE source_id = %s", [source_id])
        (number,) = cursor.fetchone()
    return int(number)


def test_a_flood_without_tokens_or_with_wrong_ones_leaves_the_database_alone(inbound: Inbound) -> None:
    assert inbound.post({"title": "t"}).status == 200
    with CaptureQueriesContext(connection) as asked:
        assert {Inbound(f"osr_{n}").post({"title": "t"}).status for n in range(500)} == {401}
    assert len(asked) < 250, "none of a thousand: some for the first of each second"
    with CaptureQueriesContext(connection) as asked:
        assert {Inbound("").post({"title": "t"}).status for _ in range(50)} == {401}
    assert len(asked) == 0
    ApiToken.objects.all().delete()
    senders.forget()
    with CaptureQueriesContext(connection) as asked:
        assert {Inbound("").post({"title": "t"}).status for _ in range(50)} == {401}
    assert 1 <= len(asked) < 10


def test_a_new_token_works_at_once_and_in_a_flood_within_two_seconds(inbound: Inbound) -> None:
    assert Inbound("osr_wrong").post({"title": "t"}).status == 401
    assert Inbound(make_token(["ingest"])[1]).post({"title": "t"}).status == 200
    for n in range(100):
        Inbound(f"osr_{n}").post({"title": "t"})
    new = Inbound(make_token(["ingest"])[1])
    made_at = time.monotonic()
    while new.post({"title": "t"}).status != 200:
        assert time.monotonic() - made_at < 2
        for n in range(100):
            Inbound(f"osr_{n}").post({"title": "t"})
