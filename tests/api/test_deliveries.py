"""Deliveries by REST: what was received, what became of it, and a quarantined one tried again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts import api_deliveries
from alerts.ingest import Unavailable
from alerts.models import Alert, Delivery
from alerts.replay import replay_all
from opensoar.accounts.models import AuditEntry
from tests.api.clients import V1, client_of, queries
from tests.factories import SYSTEM, default_partner, make_alert, make_partner, make_token, make_user

pytestmark = pytest.mark.django_db
URL = V1 + "deliveries"


def quarantined(body: bytes = b'{"title": "Beacon", "severity": "high"}', **fields: Any) -> Delivery:
    """A body that was not understood when it came; today it is, unless it is nonsense."""
    return Delivery.objects.create(
        partner_id=fields.pop("partner", default_partner()).pk,
        source=fields.pop("source", "webhook"),
        state="quarantined",
        reason=fields.pop("reason", "a fault that was mended"),
        content_type="application/json",
        body=body,
        **fields,
    )


def test_a_delivery_and_its_body() -> None:
    alert = make_alert("Beacon", payload={"title": "Beacon", "n": 1}, source="elastic")
    client = client_of(make_user(role="viewer"))
    [row] = client.get(URL).json()["deliveries"]
    assert (row["alert_id"], row["source"], row["state"], row["reason"]) == (
        str(alert.pk), "elastic", "accepted", "",
    )  # fmt: skip
    assert (row["size"], row["content_type"], row["partner"], row["token_id"]) == (
        len('{"title": "Beacon", "n": 1}'), "application/json", None, None,
    )  # fmt: skip
    assert "body" not in row
    shown = client.get(f"{URL}/{row['id']}").json()
    assert shown == row | {"body": '{"title": "Beacon", "n": 1}', "payload": {"title": "Beacon", "n": 1}}


def test_a_body_that_is_no_text_is_shown_all_the_same() -> None:
    delivery = quarantined(b"\xff\x00nonsense")
    shown = client_of(make_user()).get(f"{URL}/{delivery.pk}").json()
    assert shown["body"] == "\ufffd\x00nonsense"
    assert (shown["payload"], shown["size"]) == (shown["body"], 10)


def test_filters_and_pages() -> None:
    alert, acme = make_alert(source="splunk"), make_partner("acme")
    token, _text = make_token(["ingest"])
    rows = [
        Delivery.objects.get(),
        quarantined(source="elastic", token_id=token.pk),
        quarantined(partner=acme, received_at=timezone.now() - timedelta(days=2)),
    ]
    client = client_of(make_user())

    def found(**query: Any) -> list[int]:
        answer = client.get(URL, query)
        assert answer.status_code == 200, answer.content
        ids = [one["id"] for one in answer.json()["deliveries"]]
        return [index for pk in ids for index, row in enumerate(rows) if str(row.pk) == pk]

    yesterday = (timezone.now() - timedelta(days=1)).isoformat()
    assert found() == [2, 1, 0]
    assert found(state="quarantined") == [2, 1]
    assert found(source="splunk") == [0]
    assert found(alert_id=str(alert.pk)) == [0]
    assert found(token_id=str(token.pk)) == [1]
    assert found(partner="acme") == [2]
    assert found(received_at__gte=yesterday) == [1, 0]
    assert (
        found(received_at__gte="0001-01-01T00:00:00Z")
        == found(received_at__gte="1960-01-01T00:00:00Z")
        == found()
    )
    assert found(received_at__lt=yesterday) == [2]
    assert found(limit=1, offset=1) == [1]
    page = client.get(URL, {"cursor": "", "limit": "2"}).json()
    assert (page["total"], page["next"]) == (3, str(rows[1].pk))
    assert found(cursor=page["next"]) == [0]
    senseless: list[dict[str, Any]] = [
        {"state": "lost"}, {"alert_id": "x"}, {"limit": 0}, {"received_at__gte": "now"}, {"cursor": "x"},
    ]  # fmt: skip
    for query in senseless:
        assert client.get(URL, query).status_code == 422, query


def test_replay_makes_the_alert() -> None:
    delivery = quarantined()
    answer = client_of(make_user("ada")).post(f"{URL}/{delivery.pk}/replay")
    alert = Alert.objects.get()
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["reason"], answer.json()["alert_id"]) == (
        "replayed", "", str(alert.pk),
    )  # fmt: skip
    assert (alert.title, alert.severity) == ("Beacon", "high")
    entry = AuditEntry.objects.get(action="delivery_replayed")
    assert (entry.actor_name, entry.object_id) == ("ada", str(delivery.pk))


def test_what_is_still_not_understood_stays_with_the_new_reason() -> None:
    delivery = quarantined(b"nonsense", reason="")
    shown = client_of(make_user()).post(f"{URL}/{delivery.pk}/replay").json()
    assert (shown["state"], shown["alert_id"]) == ("quarantined", None)
    assert shown["reason"] != ""
    assert not Alert.objects.exists()


def test_only_what_is_in_quarantine_is_replayed_and_once() -> None:
    make_alert()
    accepted, waiting = Delivery.objects.get(), quarantined()
    client = client_of(make_user())
    assert client.post(f"{URL}/{waiting.pk}/replay").status_code == 200
    for delivery in (accepted, waiting):
        answer = client.post(f"{URL}/{delivery.pk}/replay")
        assert (answer.status_code, answer.json()) == (
            409, {"detail": "Only a delivery in quarantine can be replayed"},
        )  # fmt: skip
    assert Alert.objects.count() == 2


def test_the_command_and_the_path_do_the_same() -> None:
    bodies = [json.dumps({"id": pk, "title": "t", "tags": ["a"]}).encode() for pk in ("1", "2")]
    by_path, by_command = (quarantined(body) for body in bodies)
    client_of(make_user()).post(f"{URL}/{by_path.pk}/replay")
    assert replay_all(actor=SYSTEM) == {"replayed": 1}
    by_path.refresh_from_db()
    by_command.refresh_from_db()
    assert by_path.state == by_command.state == "replayed"
    first, second = Alert.objects.order_by("id").values("title", "tags", "severity", "status", "source")
    assert first == second


def test_when_nothing_can_be_stored_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_named: Any) -> Delivery:
        raise Unavailable("the database is away")

    monkeypatch.setattr(api_deliveries, "replay_delivery", away)
    answer = client_of(make_user()).post(f"{URL}/{quarantined().pk}/replay")
    assert (answer.status_code, answer.json()) == (
        503,
        {"detail": "Nothing can be stored just now; try again"},
    )
    assert answer["Retry-After"] == "5"


def test_those_of_other_partners_are_not_there() -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    foreign = quarantined(partner=theirs)
    client = client_of(make_user(partners=[mine]))
    for query in ({}, {"state": "quarantined"}, {"partner": "theirs"}):
        assert client.get(URL, query).json() == {"deliveries": [], "total": 0}
    for answer in (client.get(f"{URL}/{foreign.pk}"), client.post(f"{URL}/{foreign.pk}/replay")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Delivery not found"})
    assert not Alert.objects.exists()


@pytest.mark.parametrize("pk", ["nonsense", "00000000-0000-0000-0000-000000000000"])
def test_what_is_no_delivery(pk: str) -> None:
    client = client_of(make_user())
    for answer in (client.get(f"{URL}/{pk}"), client.post(f"{URL}/{pk}/replay")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Delivery not found"})


def test_20_take_as_many_queries_as_2() -> None:
    client = client_of(make_user())
    queries(client, "deliveries")

    def grow(count: int) -> tuple[int, ...]:
        for _number in range(count):
            make_alert(partner=make_partner())
        return tuple(queries(client, path) for path in ("deliveries", "deliveries?cursor="))

    few = grow(2)
    assert grow(18) == few
    assert max(few) <= 5
