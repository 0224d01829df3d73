"""The inbound door: who may come in, what is read, what is answered."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts import events, senders, webhooks
from alerts.committer import committer
from alerts.events import CreatedAlert
from alerts.models import Alert, Delivery
from alerts.wrappers import why_no_alert
from opensoar.accounts.models import ApiToken, AuditEntry, Partner, ProductSettings
from opensoar.accounts.services import revoke_token
from tests import databases
from tests.alerts.inbound import PATH, Inbound
from tests.factories import SYSTEM, make_partner, make_token, make_user
from tests.product import RunningProduct

ALERT = {"id": "a-1", "title": "Beacon", "severity": "high", "src_ip": "8.8.8.8", "source": "edr"}
NDJSON = "application/x-ndjson"


# --- credentials ------------------------------------------------------------------------------------------


def test_without_a_token(inbound: Inbound) -> None:
    answer = Inbound("").post(ALERT)
    assert (answer.status, answer.json) == (401, {"detail": "API key required"})
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert not Delivery.objects.exists()


def test_before_the_first_token_it_says_how_to_make_one(inbound: Inbound) -> None:
    ApiToken.objects.all().delete()
    senders.forget()
    for sender in (Inbound(""), Inbound("osr_nonsense")):
        answer = sender.post(ALERT)
        assert answer.status == 401
        assert "manage.py create_token" in answer.json["detail"]


def test_wrong_token(inbound: Inbound) -> None:
    answer = Inbound("osr_nonsense").post(ALERT)
    assert (answer.status, answer.json) == (401, {"detail": "Invalid or revoked API key"})


def test_expired_token(inbound: Inbound) -> None:
    token, text = make_token(["ingest"])
    assert Inbound(text).post(ALERT).status == 200
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    time.sleep(1)
    assert Inbound(text).post(ALERT).json == {"detail": "API key expired"}


def test_a_revoked_token_is_dead_within_a_second(inbound: Inbound) -> None:
    token, text = make_token(["ingest"])
    assert Inbound(text).post(ALERT).status == 200
    revoke_token(actor=SYSTEM, token=token)
    revoked_at = time.monotonic()
    while Inbound(text).post(ALERT).status == 200:
        assert time.monotonic() - revoked_at < 1
        time.sleep(0.02)
    assert Inbound(text).post(ALERT).json == {"detail": "Invalid or revoked API key"}


@pytest.mark.parametrize("query", ["token=x", "api_key=x", "ACCESS_TOKEN=x", "a=b&token="])
def test_a_token_in_the_address_is_refused(inbound: Inbound, query: str) -> None:
    answer = inbound.post(ALERT, query=query)
    assert answer.status == 401
    assert "header" in answer.json["detail"]


@pytest.mark.parametrize(
    ("scope", "status"), [("read", 403), ("write", 403), ("ingest", 200), ("admin", 200)]
)
def test_scopes(inbound: Inbound, scope: str, status: int) -> None:
    assert Inbound(make_token([scope])[1]).post(ALERT).status == status


def test_the_other_header(inbound: Inbound) -> None:
    assert Inbound("").post(ALERT, headers={"X-API-Key": inbound.token}).status == 200


def test_basic_authentication_with_the_token_as_password(inbound: Inbound) -> None:
    nobody = Inbound("")
    for text, status in ((f"sns:{inbound.token}", 200), (inbound.token, 401), ("sns:wrong", 401), (":", 401)):
        encoded = base64.b64encode(text.encode()).decode()
        assert nobody.post({"title": "t"}, headers={"Authorization": f"Basic {encoded}"}).status == status
    assert nobody.post({"title": "t"}, headers={"Authorization": "Basic %"}).status == 401


def test_a_session_token_is_no_key(inbound: Inbound) -> None:
    _token, text = make_token(["admin"], kind=ApiToken.Kind.SESSION, user=make_user(role="admin"))
    assert Inbound(text).post(ALERT).status == 401


def test_last_use_is_noted(inbound: Inbound) -> None:
    inbound.post(ALERT)
    committer.close()  # it is noted after the answer
    assert ApiToken.objects.get().last_used_at is not None


def test_plain_http_where_tls_is_promised(inbound: Inbound, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert inbound.post(ALERT).status == 403
    assert inbound.post(ALERT, headers={"X-Forwarded-Proto": "https"}).status == 200


# --- answers ----------------------------------------------------------------------------------------------


def test_one_alert(inbound: Inbound) -> None:
    answer = inbound.post(ALERT)
    alert = Alert.objects.get()
    assert answer.status == 200
    assert answer.json == {
        "alert_id": str(alert.pk),
        "correlation_id": str(alert.correlation_id),
        "title": "Beacon",
        "severity": "high",
        "playbooks_triggered": [],
        "message": "Alert ingested. 0 playbook(s) triggered.",
        "duplicate": False,
        "state": "accepted",
        "delivery_id": str(Delivery.objects.get().pk),
    }


def test_a_repeat(inbound: Inbound) -> None:
    first, second = inbound.post(ALERT), inbound.post(ALERT)
    assert second.json["duplicate"] is True
    assert second.json["alert_id"] == first.json["alert_id"]
    assert Alert.objects.get().counter.duplicate_count == 2


def test_many_alerts(inbound: Inbound) -> None:
    answer = inbound.post([ALERT, {"id": "a-2", "title": "Two"}, ALERT, "nonsense"])
    assert answer.status == 200
    assert {k: v for k, v in answer.json.items() if k != "results"} == {
        "accepted": 2,
        "duplicates": 1,
        "quarantined": 1,
    }
    assert [r["state"] for r in answer.json["results"]] == [
        "accepted",
        "accepted",
        "duplicate",
        "quarantined",
    ]
    bodies = [bytes(d.body) for d in Delivery.objects.order_by("id")]
    assert bodies == [
        json.dumps(ALERT).encode(),
        b'{"id": "a-2", "title": "Two"}',
        json.dumps(ALERT).encode(),
        b'"nonsense"',
    ]


def test_ndjson(inbound: Inbound) -> None:
    lines = [json.dumps({"id": f"n-{n}", "title": f"Line {n}"}) for n in range(700)]
    answer = inbound.post("\n\n".join([*lines, "nonsense"]), content_type=NDJSON, length=False)
    assert (answer.json["accepted"], answer.json["quarantined"]) == (700, 1)
    assert [r["title"] for r in answer.json["results"][:700]] == [f"Line {n}" for n in range(700)]
    assert bytes(Delivery.objects.order_by("id").first().body) == lines[0].encode()  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods(inbound: Inbound, method: str) -> None:
    answer = inbound.post(b"", method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/api/v1/webhooks/", "/api/v1/webhooks/x", PATH + "/a/b", PATH + "x"])
def test_other_paths(inbound: Inbound, path: str) -> None:
    assert inbound.post(ALERT, path=path).status == 404


def test_headers(inbound: Inbound) -> None:
    for answer in (inbound.post(ALERT), inbound.post(ALERT, method="GET"), Inbound("").post(ALERT)):
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_same_door_in_django(inbound: Inbound, client: Client) -> None:
    headers = {"Authorization": f"Bearer {inbound.token}", "Accept": "text/html"}
    url = reverse("webhook")
    answer = client.post(url, json.dumps(ALERT), content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (200, "Beacon")
    by_source = reverse("webhook-source", args=["elastic"])
    answer = client.post(by_source, json.dumps(ALERT), content_type="text/plain", headers=headers)
    assert answer.json()["message"] == "Elastic alert ingested. 0 playbook(s) triggered."
    assert client.get(url).status_code == 405
    assert client.post(url, b"{}", content_type="application/json").status_code == 401


# --- bodies -----------------------------------------------------------------------------------------------


def test_without_a_length(inbound: Inbound) -> None:
    assert inbound.post(ALERT, length=False).status == 200


def test_gzip(inbound: Inbound) -> None:
    answer = inbound.post(gzip.compress(json.dumps(ALERT).encode()), headers={"Content-Encoding": "gzip"})
    assert answer.json["title"] == "Beacon"
    assert bytes(Delivery.objects.get().body) == json.dumps(ALERT).encode()


def test_gzip_of_ndjson_in_two_members(inbound: Inbound) -> None:
    half = gzip.compress(b'{"id": 1, "title": "a"}\n{"id": 2, ') + gzip.compress(b'"title": "b"}\n')
    answer = inbound.post(half, content_type=NDJSON, headers={"Content-Encoding": "gzip"})
    assert [r["title"] for r in answer.json["results"]] == ["a", "b"]


@pytest.mark.parametrize("content_type", ["application/json", NDJSON])
@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_what_cannot_be_unpacked_is_kept(inbound: Inbound, encoding: str, content_type: str) -> None:
    answer = inbound.post(b"not packed", content_type=content_type, headers={"Content-Encoding": encoding})
    assert answer.status == 202
    delivery = Delivery.objects.get()
    assert (bytes(delivery.body), delivery.state) == (b"not packed", "quarantined")
    assert delivery.reason


def test_gzip_that_ends_early_keeps_what_came(inbound: Inbound) -> None:
    whole = gzip.compress(b'{"id": 1, "title": "a"}\n{"id": 2, "title": "b"', compresslevel=0)
    answer = inbound.post(whole[:-12], content_type=NDJSON, headers={"Content-Encoding": "gzip"})
    assert (answer.json["accepted"], answer.json["quarantined"]) == (1, 1)
    assert Delivery.objects.get(state="quarantined").reason == "the gzip stream ends early"


def test_a_bomb_is_too_large(inbound: Inbound) -> None:
    bomb = gzip.compress(b" " * (webhooks.MAX_BYTES + 1))
    assert inbound.post(bomb, headers={"Content-Encoding": "gzip"}).status == 413
    bomb = gzip.compress(b" " * (webhooks.MAX_STREAM_BYTES + 1))
    assert inbound.post(bomb, content_type=NDJSON, headers={"Content-Encoding": "gzip"}).status == 413


@pytest.mark.parametrize("length", [True, False])
def test_one_megabyte_an_alert(inbound: Inbound, length: bool) -> None:
    def of_size(size: int) -> bytes:
        return b'{"title": "%s"}' % (b"x" * (size - 13))

    assert inbound.post(of_size(webhooks.MAX_BYTES), length=length).status == 200
    answer = inbound.post(of_size(webhooks.MAX_BYTES + 1), length=length)
    assert answer.status == 413
    assert "1 MB" in answer.json["detail"]
    assert Delivery.objects.count() == 1


def test_a_large_line_does_not_take_the_others_with_it(inbound: Inbound) -> None:
    large = b'{"title": "%s"}' % (b"x" * webhooks.MAX_BYTES)
    answer = inbound.post(b'{"title": "a"}\n' + large + b'\n{"title": "b"}', content_type=NDJSON)
    assert [r["state"] for r in answer.json["results"]] == ["accepted", "quarantined", "accepted"]


def test_a_stream_past_the_limit_says_what_it_stored(
    inbound: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_ITEMS", 10)
    body = "\n".join(json.dumps({"id": n, "title": "x"}) for n in range(12))
    answer = inbound.post(body, content_type=NDJSON)
    assert (answer.status, answer.json["accepted"]) == (413, Alert.objects.count())


def test_a_body_that_is_cut_is_not_answered_as_stored(inbound: Inbound) -> None:
    assert inbound.post(b'{"title": "a"}', CONTENT_LENGTH="500").status == 400
    assert not Delivery.objects.exists()


def test_a_stream_that_is_cut_says_what_it_stored(inbound: Inbound) -> None:
    lines = "\n".join(json.dumps({"title": f"t{n}"}) for n in range(300))
    answer = inbound.post(lines, content_type=NDJSON, CONTENT_LENGTH=str(len(lines) + 1))
    assert (answer.status, answer.json["detail"]) == (400, "The body ended early")
    assert answer.json["accepted"] == Alert.objects.count() == 250
    assert [result["title"] for result in answer.json["results"]] == [f"t{n}" for n in range(250)]


def test_an_empty_body(inbound: Inbound) -> None:
    for content_type in ("application/json", NDJSON):
        assert inbound.post(b"", content_type=content_type).status == 202


# --- partner, source, key ---------------------------------------------------------------------------------


def test_an_unknown_partner_is_made_with_an_audit_entry(inbound: Inbound) -> None:
    inbound.post({"title": "t", "tenant": "Acme Ltd"})
    inbound.post({"title": "t", "customer": "acme-ltd"})
    partner = Partner.objects.get(slug="acme-ltd")
    assert Alert.objects.filter(partner=partner).count() == 2
    entry = AuditEntry.objects.get(action="partner_created")
    assert (entry.actor_kind, entry.object_id) == ("token", str(partner.pk))


def test_an_unknown_partner_is_quarantined_where_the_settings_refuse(inbound: Inbound) -> None:
    ProductSettings.objects.update(create_unknown_partners=False)
    answer = inbound.post({"title": "t", "tenant": "Nobody"})
    assert (answer.status, answer.json["reason"]) == (202, "unknown partner: Nobody")
    assert not Alert.objects.exists()


def test_a_bound_token_decides_the_partner(inbound: Inbound) -> None:
    acme = make_partner("acme")
    sender = Inbound(make_token(["ingest"], partner=acme)[1])
    answer = sender.post({"title": "t", "tenant": "globex"})
    assert answer.json["notes"][-1] == "the payload's partner is ignored: the token is bound to one"
    assert not any("partner" in note for note in sender.post({"title": "t", "tenant": "acme"}).json["notes"])
    assert set(Alert.objects.values_list("partner__slug", flat=True)) == {"acme"}
    assert not Partner.objects.filter(slug="globex").exists()


@pytest.mark.parametrize(
    ("bound", "path", "named", "expected"),
    [
        ("", "", None, "webhook"),
        ("", "", "edr", "edr"),
        ("", "/elastic", "edr", "elastic"),
        ("", "/NewThing/", None, "newthing"),
        ("", "/generic", "edr", "edr"),
        ("siem", "/elastic", "edr", "siem"),
    ],
)
def test_the_source(inbound: Inbound, bound: str, path: str, named: str | None, expected: str) -> None:
    sender = Inbound(make_token(["ingest"], source=bound)[1])
    payload = {"title": "t", "severity": "low"} | ({"source": named} if named else {})
    answer = sender.post(payload, path=PATH + path)
    assert Alert.objects.get().source == Delivery.objects.get().source == expected
    notes = answer.json.get("notes", [])
    assert any("is ignored" in note for note in notes) is (
        named is not None
        and named != expected
        and "elastic" not in path  # whose normaliser reads no such word
    )
    assert any("newthing" in note for note in notes) is ("NewThing" in path)


def test_an_idempotency_key_tells_repeats_of_its_own_token(inbound: Inbound) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = inbound.post({"title": "t"}, headers=key)
    assert inbound.post({"title": "t"}, headers=key).json["alert_id"] == first.json["alert_id"]
    assert inbound.post({"title": "t"}).json["duplicate"] is False
    other = Inbound(make_token(["ingest"])[1])
    assert other.post({"title": "t"}, headers=key).json["duplicate"] is False


def test_an_idempotency_key_of_a_body_with_many_alerts(inbound: Inbound) -> None:
    for expected in ((2, 0), (0, 2)):
        answer = inbound.post([{"title": "a"}, {"title": "b"}], headers={"Idempotency-Key": "k"})
        assert (answer.json["accepted"], answer.json["duplicates"]) == expected


# --- faults -----------------------------------------------------------------------------------------------


def test_while_the_database_is_away(inbound: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    with databases.switched_to(HOST="127.0.0.1", PORT="1"):
        answer = inbound.post(ALERT)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert inbound.post(ALERT).json["state"] == "accepted"


def test_when_too_much_is_waiting(inbound: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.committer.MAX_WAITING_ALERTS", 0)
    for content_type in ("application/json", NDJSON):
        answer = inbound.post(ALERT, content_type=content_type)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert not Delivery.objects.exists()


@contextmanager
def refused(first: int, last: int) -> Iterator[None]:
    """The database takes no alert with an id from ``first`` to ``last``."""

    def refuse(batch: list[CreatedAlert]) -> None:
        if any(first <= int(one.subject["source_id"]) <= last for one in batch):
            raise psycopg.errors.SerializationFailure("not now")

    events.alert_created.in_transaction(refuse)
    try:
        yield
    finally:
        events.alert_created._now.remove(refuse)


@pytest.mark.parametrize(
    "count", [550, 1_200]
)  # one is read by the committing thread, one by the request's own
def test_an_array_that_is_stored_in_part_says_which(inbound: Inbound, count: int) -> None:
    array = [{"id": n, "title": f"t{n}"} for n in range(count)]
    with refused(500, count):
        answer = inbound.post(array)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json["detail"].startswith("Not all of it is stored")
    assert [result["title"] for result in answer.json["results"]] == [f"t{n}" for n in range(500)]
    assert answer.json["accepted"] == Alert.objects.count() == 500
    rest = inbound.post(array[answer.json["accepted"] :])
    assert (rest.json["accepted"], rest.json["duplicates"]) == (count - 500, 0)


def test_an_array_of_which_nothing_is_stored(inbound: Inbound) -> None:
    with refused(0, 9):
        answer = inbound.post([{"id": n, "title": "t"} for n in range(10)])
        one = inbound.post({"id": 1, "title": "t"})
    assert (answer.status, answer.json["accepted"], answer.json["results"]) == (503, 0, [])
    assert (one.status, list(one.json)) == (503, ["detail"])
    assert not Delivery.objects.exists()


def test_what_a_stream_counts_are_its_first_alerts(inbound: Inbound) -> None:
    """Those behind a gap may be stored, but are not counted: the sender goes on behind what is."""
    lines = "\n".join(json.dumps({"id": n, "title": f"t{n}"}) for n in range(1_000))
    with refused(250, 499):
        answer = inbound.post(lines, content_type=NDJSON)
    titles = [result["title"] for result in answer.json["results"]]
    assert (answer.status, answer.json["accepted"]) == (503, len(titles))
    assert titles == [f"t{n}" for n in range(len(titles))]
    assert len(titles) <= 250


# --- what must not lead anywhere ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:a&Token=1f",
            True,
        ),
        ("https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription", True),
        ("http://sns.eu-west-1.amazonaws.com/", False),
        ("https://evil.example/?.amazonaws.com", False),
        ("https://sns.eu-west-1.amazonaws.com.evil.example/", False),
        ("https://evil.example\\@sns.eu-west-1.amazonaws.com/", False),
        ("https://sns.eu-west-1.amazonaws.com@evil.example/", False),
        ("https://evil.example#.sns.eu-west-1.amazonaws.com/", False),
        ("https://bucket.s3.amazonaws.com/", False),
        ("https://sns.eu-west-1.amazonaws.com/ or https://evil.example/", False),
        ("https://sns.eu-west-1.amazonaws.com/\n", False),
    ],
)
def test_only_an_address_of_amazon_is_one_to_open(url: str, shown: bool) -> None:
    reason = why_no_alert({"Type": "SubscriptionConfirmation", "TopicArn": "a", "SubscribeURL": url})
    assert reason is not None
    assert (url in reason) is shown
    assert ("evil.example" in reason) is False


# --- through the server -----------------------------------------------------------------------------------


def test_chunked_and_gzip_through_granian(stack: RunningProduct) -> None:
    def chunks(data: bytes, size: int = 7) -> Iterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    one = json.dumps({"id": "granian-1", "title": "Chunked"}).encode()
    with stack.client("OPENSOAR_INGEST_TOKEN") as client:
        chunked = client.post(PATH, content=chunks(one))
        packed = client.post(PATH, content=chunks(gzip.compress(one)), headers={"Content-Encoding": "gzip"})
        stream = client.post(PATH, content=chunks(one + b"\n" + one), headers={"Content-Type": NDJSON})
        large = client.post(PATH, content=b" " * (webhooks.MAX_BYTES + 1))
        # Too much only with the last chunk: the server hangs up on who is refused and goes on sending.
        endless = client.post(PATH, content=chunks(b" " * (webhooks.MAX_BYTES + 1), 1 << 16))
    assert (chunked.status_code, chunked.json()["title"]) == (200, "Chunked")
    assert packed.json()["duplicate"] is True
    assert stream.json()["duplicates"] == 2
    assert (large.status_code, endless.status_code) == (413, 413)
    assert isinstance(large, httpx.Response)
