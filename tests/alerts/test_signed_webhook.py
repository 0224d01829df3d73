"""Signed webhooks: who signs is believed, who repeats creates nothing, who forges is told what was wrong."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import senders, signatures
from alerts.ledger import purge
from alerts.models import Alert, AlertCounter, Delivery, WebhookReceipt
from alerts.signatures import WINDOW, receipt_of, sign
from opensoar.accounts.models import ApiToken, AuditEntry
from opensoar.accounts.services import configure_token
from opensoar.errors import Invalid
from tests.alerts.inbound import Answer, Inbound
from tests.api.clients import client_of
from tests.factories import SYSTEM, make_token, make_user
from tests.threads import at_once

SECRET = "a secret of twenty-two"
BODY = json.dumps({"title": "Beacon", "severity": "high", "hostname": "ws-14"}).encode()


def headers(
    body: bytes, *, at: float | None = None, secret: str = SECRET, timed: bool = True
) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at)) if timed else ""
    signed = {"X-Webhook-Signature": sign(secret.encode(), body, stamp)}
    return signed | ({"X-Webhook-Timestamp": stamp} if timed else {})


@pytest.fixture
def signed(inbound: Inbound) -> Inbound:
    """A sender whose token wants signatures over time and body."""
    return Inbound(make_token(["ingest"], signature="timestamp", signing_secret=SECRET)[1])


def send(inbound: Inbound, body: bytes = BODY, **how: Any) -> Answer:
    extra = {name: how.pop(name) for name in ("content_type", "length") if name in how}
    return inbound.post(body, headers=headers(body, **how), **extra)


def test_who_signs_is_believed(signed: Inbound) -> None:
    answer = send(signed)
    assert (answer.status, answer.json["state"]) == (200, "accepted")
    assert Alert.objects.get().hostname == "ws-14"
    assert bytes(Delivery.objects.get().body) == BODY


def test_the_same_request_creates_nothing(signed: Inbound) -> None:
    first = send(signed, at=(now := time.time()))
    again = send(signed, at=now)
    assert (again.status, again.json["duplicate"], again.json["state"]) == (200, True, "duplicate")
    assert [again.json[name] for name in ("alert_id", "correlation_id", "delivery_id", "title")] == [
        first.json[name] for name in ("alert_id", "correlation_id", "delivery_id", "title")
    ]
    assert again.json["notes"] == ["this signed request was received before; nothing new is stored"]
    assert (Alert.objects.count(), Delivery.objects.count(), AlertCounter.objects.get().duplicate_count) == (
        1,
        1,
        1,
    )
    later = send(signed, at=now - 1)  # said anew, at another time: another alert, as it has no id
    assert later.json["state"] == "accepted"
    assert Alert.objects.count() == 2


def test_of_many_at_once_one_is_stored(signed: Inbound) -> None:
    now = time.time()
    answers = at_once([lambda: send(signed, at=now)] * 8)
    assert all(isinstance(answer, Answer) for answer in answers)
    assert Counter(answer.json["state"] for answer in answers) == {"accepted": 1, "duplicate": 7}
    assert len({answer.json["alert_id"] for answer in answers}) == 1
    assert (Delivery.objects.count(), AlertCounter.objects.get().duplicate_count) == (1, 1)


def test_a_body_of_many_and_a_stream(signed: Inbound) -> None:
    now = time.time()
    lines = b"\n".join(b'{"title": "t%d", "id": "%d"}' % (n, n) for n in range(300))
    array = b"[" + lines.replace(b"\n", b",") + b"]"
    for body, how in ((lines, {"content_type": "application/x-ndjson"}), (array, {})):
        answers = [send(signed, body, at=now, **how).json for _ in range(2)]
        assert [answer["duplicates"] for answer in answers][1] == 300
        assert answers[1]["accepted"] == answers[1]["quarantined"] == 0
        assert len({result["alert_id"] for result in answers[1]["results"]}) == 300
    assert (Alert.objects.count(), Delivery.objects.count()) == (300, 600)
    assert set(AlertCounter.objects.values_list("duplicate_count", flat=True)) == {2}


def test_the_signature_is_over_what_was_sent(signed: Inbound) -> None:
    packed = gzip.compress(BODY)
    signature = headers(packed) | {"Content-Encoding": "gzip"}
    assert signed.post(packed, headers=signature, length=False).status == 200
    assert signed.post(gzip.compress(BODY + b" "), headers=signature).json == {
        "detail": "Invalid webhook signature"
    }


@pytest.mark.parametrize(
    ("age", "status"), [(0, 200), (WINDOW - 1, 200), (WINDOW + 1, 401), (-WINDOW + 1, 200), (-WINDOW - 2, 401)]
)  # fmt: skip
def test_only_what_was_signed_just_now(
    signed: Inbound, monkeypatch: pytest.MonkeyPatch, age: int, status: int
) -> None:
    now = 1_790_000_000.5

    class Clock:
        time = staticmethod(lambda: now)

    monkeypatch.setattr(signatures, "time", Clock)
    answer = send(signed, at=now - age)
    assert answer.status == status
    if status == 401:
        told = "Stale webhook timestamp" if age > 0 else "Webhook timestamp lies"
        assert answer.json["detail"].startswith(told)
        assert not Delivery.objects.exists()


def test_what_is_missing_or_wrong_is_said(signed: Inbound) -> None:
    good = headers(BODY)
    cases: list[tuple[dict[str, str], str]] = [
        ({}, "Webhook signature required: X-Webhook-Timestamp, X-Webhook-Signature"),
        (headers(BODY, timed=False), "Webhook signature required: X-Webhook-Timestamp, X-Webhook-Signature"),
        (
            good | {"X-Webhook-Timestamp": "yesterday"},
            "X-Webhook-Timestamp is not a time in whole seconds since 1970",
        ),
        (good | {"X-Webhook-Timestamp": str(int(time.time()) - 5)}, "Invalid webhook signature"),
        (headers(BODY, secret="another secret, as long"), "Invalid webhook signature"),
        (good | {"X-Webhook-Signature": "sha256="}, "Invalid webhook signature"),
        (good | {"X-Webhook-Signature": "\xff" * 64}, "Invalid webhook signature"),
    ]
    for sent, detail in cases:
        answer = signed.post(BODY, headers=sent)
        assert (answer.status, answer.json) == (401, {"detail": detail})
    assert not Delivery.objects.exists()


def test_no_mutation_of_a_signed_request_is_accepted(signed: Inbound) -> None:
    draw, stamp = random.Random(7), int(time.time())
    good = headers(BODY, at=stamp)
    for _ in range(2_000):
        body, sent = bytearray(BODY), dict(good)
        match draw.randrange(3):
            case 0:
                body[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
            case 1:
                digits = sent["X-Webhook-Signature"]
                place = draw.randrange(7, len(digits))
                other = draw.choice([digit for digit in "0123456789abcdef" if digit != digits[place]])
                sent["X-Webhook-Signature"] = digits[:place] + other + digits[place + 1 :]
            case _:
                sent["X-Webhook-Timestamp"] = str(stamp + draw.choice([-1, 1]) * draw.randrange(1, 200))
        assert signed.post(bytes(body), headers=sent).status == 401
    assert not Delivery.objects.exists()


def test_the_public_form_over_the_body_alone(inbound: Inbound) -> None:
    public = Inbound(make_token(["ingest"], signature="body", signing_secret=SECRET)[1])
    assert [send(public, timed=False).json["state"] for _ in range(2)] == ["accepted", "accepted"]
    assert send(public).status == 200  # with a time as well, where the sender is ahead
    assert send(public, at=time.time() - 900).status == 401
    assert public.post(BODY).json == {"detail": "Webhook signature required: X-Webhook-Signature"}
    assert not WebhookReceipt.objects.exists()


def test_what_could_not_be_stored_is_stored_when_it_comes_again(
    signed: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alerts import committer, ingest

    def away(_batch: Any) -> None:
        raise ingest.Unavailable("the database is away")

    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(committer, "store", away)
        assert send(signed, at=now).status == 503
    assert send(signed, at=now).json["state"] == "accepted"


def test_a_secret_that_does_not_open_is_our_fault(signed: Inbound, settings: Any) -> None:
    settings.SECRETS_KEY = "another key altogether"
    assert send(signed).status == 503
    assert not Delivery.objects.exists()


def test_old_receipts_go(signed: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    send(signed)
    purge.sweep()
    assert WebhookReceipt.objects.count() == 1
    now = time.time() + 2 * WINDOW + 5

    class Clock:
        time = staticmethod(lambda: now)

    monkeypatch.setattr(signatures, "time", Clock)
    purge.sweep()
    assert not WebhookReceipt.objects.exists()


@given(st.binary(min_size=40, max_size=40), st.integers(0, 20_000), st.integers(0, 20_000))
def test_receipts_tell_places_apart_and_sort_by_time(seed: bytes, one: int, other: int) -> None:
    assert (receipt_of(seed, one) == receipt_of(seed, other)) == (one == other)
    assert len(receipt_of(seed, one)) == 32
    assert receipt_of(seed, one)[:8] == seed[:8]


@pytest.mark.django_db
def test_the_secret_is_written_and_never_told() -> None:
    client = client_of(make_user(role="admin"))
    made = client.post(
        "/api/v1/api-keys", {"name": "edr", "signature": "timestamp", "signing_secret": SECRET}, format="json"
    )
    assert (made.status_code, made.json()["signature"]) == (201, "timestamp")
    token = ApiToken.objects.get(name="edr")
    assert SECRET.encode() not in bytes(token.signing_secret or b"")
    assert senders.sender_of(token).signing_key == SECRET.encode()
    listed = client.get("/api/v1/api-keys").content + made.content
    assert SECRET.encode() not in listed
    assert SECRET not in str(list(AuditEntry.objects.values()))
    url = f"/api/v1/api-keys/{token.pk}"
    changed = client.patch(
        url, {"signing_secret": "the next secret of ours", "max_depth": 8}, format="json"
    ).json()
    assert (changed["signature"], changed["max_depth"]) == ("timestamp", 8)
    token.refresh_from_db()
    assert senders.sender_of(token).signing_key == b"the next secret of ours"
    assert AuditEntry.objects.get(action="token_changed").detail["new_secret"] is True
    client.patch(url, {"signature": "none"}, format="json")
    token.refresh_from_db()
    assert token.signing_secret is None
    for wrong in (
        {"signature": "body"},
        {"signing_secret": "short"},
        {"max_depth": 33},
        {"alerts_per_minute": 0},
    ):
        assert client.patch(url, wrong, format="json").status_code == 422, wrong
    # One who may not manage tokens, and a token of another's.
    assert client_of(make_user()).patch(url, {"max_depth": 2}, format="json").status_code == 403


@pytest.mark.django_db
def test_a_signature_without_a_secret_is_refused() -> None:
    token, _text = make_token(["ingest"])
    with pytest.raises(Invalid, match="needs the secret"):
        configure_token(actor=SYSTEM, token=token, signature="timestamp")
