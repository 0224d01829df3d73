"""What cannot be understood is kept, says why, and can be tried again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alerts import events, senders, sources
from alerts.events import CreatedAlert
from alerts.models import Alert, Delivery
from alerts.replay import replay_all, replay_delivery
from opensoar.accounts.models import DEFAULT_PARTNER_ID, AuditEntry, Partner, ProductSettings
from opensoar.errors import Conflict, NotFound
from tests.alerts.inbound import PATH, Inbound
from tests.alerts.test_awkward_payloads import AWKWARD
from tests.factories import SYSTEM, make_partner, make_token, make_user

HOSTILE = {
    "nonsense": b"nonsense",
    "half": b'{"title": "t"',
    "array of nothing": b"[1, 2]",
    "empty array": b"[]",
    "text": b'"text"',
    "null": b"null",
    "not UTF-8": b'{"title": "\xff\xfe"}',
    "UTF-16": '{"title": "t"}'.encode("utf-16"),
    "lone surrogate": b'{"title": "\\ud800"}',
    "NaN": b'{"title": "t", "score": NaN}',
    "deep": b"[" * 5000 + b"]" * 5000,
    "deep object": b'{"a":' * 500 + b"1" + b"}" * 500,
    "long number": b'{"id": ' + b"9" * 4000 + b"}",
    "NUL bytes": b"\0\0\0",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_understood_is_kept_with_the_reason(inbound: Inbound, name: str) -> None:
    answer = inbound.post(HOSTILE[name])
    delivery = Delivery.objects.get()
    assert (answer.status, answer.json["state"], answer.json["alert_id"]) == (202, "quarantined", None)
    assert answer.json["reason"] == delivery.reason != ""
    assert answer.json["message"] == f"Stored in quarantine: {delivery.reason}"
    assert (bytes(delivery.body), delivery.state, delivery.alert_id) == (HOSTILE[name], "quarantined", None)


@pytest.mark.parametrize("path", [PATH, PATH + "/elastic", PATH + "/%00%ff"])
def test_awkward_payloads_become_alerts(inbound: Inbound, path: str) -> None:
    for payload, _expected, note in AWKWARD.values():
        body = json.dumps(payload).encode()
        answer = inbound.post(body, path=path)
        assert (answer.status, answer.json["state"]) == (200, "accepted")
        assert (
            note is None or note in answer.json["notes"] or "elastic" in path
        )  # whose normaliser reads less
        assert bytes(Delivery.objects.get(pk=answer.json["delivery_id"]).body) == body
    assert Alert.objects.count() == len(AWKWARD)


@pytest.mark.parametrize(
    "content_type", ["", "text/plain; charset=utf-7", "application/x-www-form-urlencoded", "é\0"]
)
def test_the_content_type_is_a_hint(inbound: Inbound, content_type: str) -> None:
    answer = inbound.post({"title": "+ADw-script+AD4-"}, content_type=content_type)
    assert (answer.status, answer.json["title"]) == (200, "+ADw-script+AD4-")


def test_a_normaliser_that_fails_costs_no_alert(inbound: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(payload: dict[str, Any]) -> Any:
        raise RecursionError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(sources, "get", lambda _slug: fail)
        answer = inbound.post({"id": 7, "title": "Beacon"})
    assert answer.status == 202
    assert answer.json["reason"] == "The alert could not be read: RecursionError: a fault of ours"
    replayed = replay_delivery(actor=SYSTEM, delivery=Delivery.objects.get())
    assert (replayed.state, replayed.reason) == ("replayed", "")
    alert = Alert.objects.get()
    assert (alert.pk, alert.title, alert.created_at) == (replayed.alert_id, "Beacon", replayed.received_at)
    assert inbound.post({"id": 7, "title": "Beacon"}).json["duplicate"] is True


# --- replay -----------------------------------------------------------------------------------------------


def quarantined(inbound: Inbound, body: Any, **options: Any) -> Delivery:
    answer = inbound.post(body, **options)
    return Delivery.objects.get(pk=answer.json["delivery_id"], state="quarantined")


def test_a_partner_that_was_refused_is_taken_later(inbound: Inbound) -> None:
    ProductSettings.objects.update(create_unknown_partners=False)
    delivery = quarantined(inbound, {"id": 1, "title": "t", "tenant": "acme", "source": "edr"})
    still = replay_delivery(actor=SYSTEM, delivery=delivery)
    assert (still.state, still.reason) == ("quarantined", "unknown partner: acme")
    make_partner("acme")
    assert replay_all(actor=SYSTEM) == {"quarantined": 1}  # the refusal is remembered for a few seconds
    senders.forget()
    assert replay_all(actor=SYSTEM) == {"replayed": 1}
    alert = Alert.objects.get()
    assert (alert.partner, alert.source) == (Partner.objects.get(slug="acme"), "edr")
    assert [
        e.detail["state"] for e in AuditEntry.objects.filter(action="delivery_replayed").order_by("id")
    ] == [
        "quarantined",
        "quarantined",
        "replayed",
    ]


def test_what_stays_nonsense_stays_with_the_new_reason(inbound: Inbound) -> None:
    delivery = quarantined(inbound, b"nonsense")
    Delivery.objects.filter(pk=delivery.pk).update(reason="an old reason")
    after = replay_delivery(actor=SYSTEM, delivery=delivery)
    assert (after.state, after.alert_id) == ("quarantined", None)
    assert after.reason not in {"", "an old reason"}
    assert Delivery.objects.count() == 1


def test_a_replay_of_a_known_alert_is_a_duplicate_of_it(inbound: Inbound) -> None:
    delivery = quarantined(inbound, b'{"id": 1, "title": "t"}', headers={"Content-Encoding": "br"})
    first = inbound.post({"id": 1, "title": "t"})
    after = replay_delivery(actor=SYSTEM, delivery=delivery)
    assert (after.state, str(after.alert_id)) == ("replayed", first.json["alert_id"])
    assert Alert.objects.get().counter.duplicate_count == 2


def test_a_body_of_several_alerts(inbound: Inbound) -> None:
    body = b'[{"id": 1, "title": "a"}, {"id": 2, "title": "b"}]'
    delivery = quarantined(inbound, body, headers={"Content-Encoding": "br"})
    after = replay_delivery(actor=SYSTEM, delivery=delivery)
    assert (after.state, bytes(after.body)) == ("replayed", body)
    assert set(Alert.objects.values_list("title", flat=True)) == {"a", "b"}
    assert Delivery.objects.exclude(alert_id=None).count() == 2


def test_only_what_is_in_quarantine_is_replayed(inbound: Inbound) -> None:
    inbound.post({"title": "t"})
    with pytest.raises(Conflict):
        replay_delivery(actor=SYSTEM, delivery=Delivery.objects.get())


def test_a_foreign_delivery_is_not_there(inbound: Inbound) -> None:
    acme, globex = make_partner("acme"), make_partner("globex")
    delivery = quarantined(Inbound(make_token(["ingest"], partner=acme)[1]), b"nonsense")
    with pytest.raises(NotFound):
        replay_delivery(actor=make_user(partners=[globex]).actor, delivery=delivery)
    assert replay_all(actor=make_user(partners=[globex]).actor) == {}
    assert replay_delivery(actor=make_user(partners=[acme]).actor, delivery=delivery).partner_id == acme.pk


def test_an_alert_without_its_playbooks_gets_them(inbound: Inbound) -> None:
    before = list(events.alert_created._now)
    told: list[CreatedAlert] = []

    def fail(batch: list[CreatedAlert]) -> None:
        raise ValueError("no luck")

    try:
        events.alert_created._now.append(fail)
        answer = inbound.post({"title": "t", "severity": "low"})
        assert (answer.status, answer.json["state"]) == (202, "quarantined")
        alert = Alert.objects.get(pk=answer.json["alert_id"])
        still = replay_delivery(actor=SYSTEM, delivery=Delivery.objects.get())
        assert (still.state, still.alert_id) == ("quarantined", alert.pk)
        events.alert_created._now[:] = [*before, told.extend]
        after = replay_delivery(actor=SYSTEM, delivery=Delivery.objects.get())
    finally:
        events.alert_created._now[:] = before
    assert (after.state, after.reason) == ("replayed", "")
    assert [(t.alert_id, t.subject["id"], t.subject["severity"]) for t in told] == [
        (alert.pk, str(alert.pk), "low")
    ]
    assert Alert.objects.count() == 1


def test_what_becomes_another_partners_is_kept_where_its_people_see_it(inbound: Inbound) -> None:
    ProductSettings.objects.update(create_unknown_partners=False)
    delivery = quarantined(inbound, {"id": 1, "title": "Beacon", "partner": "acme"})
    acme = make_partner("acme")
    senders.forget()  # the refusal is remembered for a few seconds
    old = replay_delivery(actor=SYSTEM, delivery=delivery)
    alert = Alert.objects.get(partner=acme)
    assert (old.state, old.alert_id) == ("replayed", alert.pk)
    assert "partner acme" in old.reason
    ada = make_user(partners=[acme]).actor
    [theirs] = Delivery.objects.visible_to(ada).of_alert(alert.pk)
    assert (bytes(theirs.body), theirs.received_at) == (bytes(delivery.body), delivery.received_at)
    assert alert.counter.last_delivery_id == theirs.pk


@pytest.mark.django_db
def test_without_a_token_the_body_does_not_choose_the_partner() -> None:
    make_partner("acme")
    body = json.dumps({"id": 1, "title": "Beacon", "partner": "acme"}).encode()
    polled = Delivery.objects.create(
        partner_id=DEFAULT_PARTNER_ID, source="elastic", state="quarantined", reason="x", body=body
    )
    assert replay_delivery(actor=SYSTEM, delivery=polled).state == "replayed"
    assert Alert.objects.get().partner_id == DEFAULT_PARTNER_ID
