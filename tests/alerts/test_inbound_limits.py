"""How much one token may deliver: alerts a minute, bytes, depth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import rates
from alerts.models import Alert, Delivery
from alerts.replay import replay_delivery
from alerts.safejson import is_deeper
from opensoar.accounts.models import ApiToken
from opensoar.accounts.services import configure_token
from tests.alerts.inbound import Inbound
from tests.factories import SYSTEM, make_token


@pytest.fixture(autouse=True)
def shared() -> Iterator[None]:
    rates.forget()
    yield
    rates.forget()


def limited(**limits: int) -> Inbound:
    return Inbound(make_token(["ingest"], **limits)[1])


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


def test_a_stream_ends_with_what_was_stored(inbound: Inbound) -> None:
    sender = limited(alerts_per_minute=400)
    lines = "\n".join(json.dumps({"title": f"t{n}"}) for n in range(1_000))
    answer = sender.post(lines, content_type="application/x-ndjson")
    assert answer.status == 429
    assert answer.json["accepted"] == len(answer.json["results"]) == Alert.objects.count()
    assert 400 <= answer.json["accepted"] < 1_000
    assert "Retry-After" in answer.headers


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
            rates.take(sender, count)
        except rates.TooFast:
            refused = True
            break
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
