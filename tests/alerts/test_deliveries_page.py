"""The ledger by page and API: found by what became of it, by its reason and by its text; quarantined ones tried again."""

from __future__ import annotations

import html
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from alerts import replay
from alerts.filters import DeliveryFilter
from alerts.models import Alert, Delivery
from opensoar.accounts.models import AuditEntry, Partner, User
from tests.api.clients import client_of
from tests.factories import SYSTEM, default_partner, make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db
GOOD = b'{"title": "Beacon", "severity": "high", "hostname": "ws-14"}'
API = "/api/v1/deliveries"


@pytest.fixture
def ada(client: Client) -> User:
    user = make_user("ada")
    client.force_login(user)
    return user


def quarantined(body: bytes = GOOD, partner: Partner | None = None, **fields: Any) -> Delivery:
    fields = {
        "source": "webhook",
        "reason": "a fault that was mended",
        "content_type": "application/json",
    } | fields
    partner_id = (partner or default_partner()).pk
    return Delivery.objects.create(partner_id=partner_id, state="quarantined", body=body, **fields)


def ids(client: Client, **query: Any) -> list[str]:
    page = client.get("/deliveries/", query).context["page"]
    return [str(row.pk) for row in page.items]


def test_the_list_shows_and_narrows(client: Client, ada: User) -> None:
    alert, acme = make_alert(source="edr", payload={"title": "Beacon"}), make_partner("acme")
    accepted = Delivery.objects.get()
    odd = quarantined(b"<script>alert(1)</script>", reason="not valid JSON: <b>", source="waf")
    theirs = quarantined(partner=acme, reason="nested deeper than 32 levels")
    page = client.get("/deliveries/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "&lt;b&gt;" in text
    assert "<b>" not in html.unescape("") + text.split("not valid JSON")[1][:20]
    assert f"/alerts/{alert.pk}/" in text
    assert "Acme" in text
    assert ids(client) == [str(row.pk) for row in (theirs, odd, accepted)]
    assert ids(client, state="quarantined") == [str(theirs.pk), str(odd.pk)]
    assert ids(client, source="waf") == [str(odd.pk)]
    assert ids(client, partner="acme") == [str(theirs.pk)]
    assert ids(client, q="DEEPER") == [str(theirs.pk)]
    now = timezone.now()
    assert ids(client, received_at__gte=(now - timedelta(hours=1)).isoformat(), body="Beacon") == [
        str(theirs.pk), str(accepted.pk),
    ]  # fmt: skip
    assert ids(client, received_at__lt=(now - timedelta(hours=1)).isoformat()) == []


@pytest.mark.parametrize("text", ["100%", "a_b", "\\x41", "ü", "'; --", "\x01"])
def test_text_in_bodies_is_taken_as_it_is(text: str) -> None:
    there, _other = quarantined(f"x{text}y".encode()), quarantined(b"x100y a-b A u")
    query = {"received_at__gte": (timezone.now() - timedelta(hours=1)).isoformat(), "body": text}
    chosen = DeliveryFilter(query, queryset=Delivery.objects.all())
    assert chosen.is_valid()
    assert [row.pk for row in chosen.qs] == [there.pk]


def test_bodies_are_searched_within_a_day(client: Client, ada: User) -> None:
    quarantined()
    now = timezone.now()
    unbounded: list[dict[str, str]] = [
        {"body": "Beacon"},
        {"body": "Beacon", "received_at__gte": (now - timedelta(hours=25)).isoformat()},
        {"body": "Beacon", "received_at__lt": now.isoformat()},
    ]
    for query in unbounded:
        answer = client_of(ada).get(API, query)
        assert answer.status_code == 422, query
        assert "within a day" in answer.content.decode()
        page = client.get("/deliveries/", query)
        assert "within a day" in page.content.decode()
        assert page.context["page"].items == []
    week = now - timedelta(days=7)
    bounded = {
        "body": "Beacon", "received_at__gte": week.isoformat(), "received_at__lt": (week + timedelta(days=1)).isoformat()
    }  # fmt: skip
    assert client_of(ada).get(API, bounded).json() == {"deliveries": [], "total": 0}


def test_pages_go_on_where_the_last_one_ended(client: Client, ada: User) -> None:
    rows = [quarantined() for _ in range(60)]
    first = client.get("/deliveries/", {"state": "quarantined"}).context["page"]
    rows.append(quarantined())  # shifts nothing
    second = client.get("/deliveries/", {"state": "quarantined", "before": first.older}).context["page"]
    assert [row.pk for row in (*first.items, *second.items)] == [row.pk for row in reversed(rows[:-1])]
    assert (second.older, second.query) == ("", "state=quarantined")
    assert client.get("/deliveries/", {"before": "nonsense"}).status_code == 200


def test_one_body_as_page_and_drawer(client: Client, ada: User) -> None:
    row = quarantined(b'\xff{"<img>": 1}\x00')
    page = client.get(f"/deliveries/{row.pk}/")
    assert page.status_code == 200
    assert b"<img>" not in page.content
    assert b"Replay" in page.content
    drawer = client.get(f"/deliveries/{row.pk}/", headers={"HX-Request": "true"}).content
    assert drawer.strip().startswith(b"<dialog")
    viewer = make_user("eve", role="viewer")
    client.force_login(viewer)
    assert b"Replay" not in client.get(f"/deliveries/{row.pk}/").content
    assert client.post(f"/deliveries/{row.pk}/replay/").status_code == 403


def test_replay_leads_to_the_alert_or_says_why_not(client: Client, ada: User) -> None:
    row, odd = quarantined(), quarantined(b"nonsense", reason="")
    answer = client.post(f"/deliveries/{row.pk}/replay/")
    alert = Alert.objects.get()
    assert answer.headers["Location"] == f"/alerts/{alert.pk}/"
    assert AuditEntry.objects.get(action="delivery_replayed").actor_name == "ada"
    answer = client.post(f"/deliveries/{odd.pk}/replay/", follow=True)
    assert "It stays in quarantine" in answer.content.decode()
    assert client.get(f"/deliveries/{row.pk}/replay/").status_code == 405


def test_all_that_match_are_replayed_and_no_others(client: Client, ada: User) -> None:
    matching = [quarantined(source="edr") for _ in range(3)] + [quarantined(b"nonsense", source="edr")]
    other = quarantined(source="waf")
    make_alert(source="edr")
    asked = client.get("/deliveries/replay/", {"source": "edr"}, headers={"HX-Request": "true"})
    assert "4 deliveries in quarantine match." in asked.content.decode()
    assert Alert.objects.count() == 1, "asking does nothing"
    said = client.post("/deliveries/replay/?source=edr", follow=True).content.decode()
    assert "3 replayed." in said
    assert "1 stay in quarantine" in said
    states = [Delivery.objects.get(pk=row.pk).state for row in (*matching, other)]
    assert states == ["replayed"] * 3 + ["quarantined"] * 2


def test_by_rest_at_most_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.api_deliveries.AT_ONCE", 2)
    for _ in range(3):
        quarantined(source="edr")
    client = client_of(make_user())
    answers = [client.post(f"{API}/replay?source=edr").json() for _ in range(2)]
    assert answers == [
        {"replayed": 2, "quarantined": 0, "skipped": 0, "left": 1},
        {"replayed": 1, "quarantined": 0, "skipped": 0, "left": 0},
    ]
    assert client.post(f"{API}/replay?state=lost").status_code == 422


def test_a_filter_that_makes_no_sense_replays_nothing(client: Client, ada: User) -> None:
    quarantined()
    for query in ("state=lost", "body=x", "received_at__gte=now"):
        client.post(f"/deliveries/replay/?{query}")
    assert not Alert.objects.exists()


def test_of_other_partners_nothing_is_there(client: Client) -> None:
    mine, theirs = make_partner("mine"), make_partner("theirs")
    foreign = quarantined(partner=theirs)
    client.force_login(make_user(partners=[mine]))
    assert ids(client) == ids(client, partner="theirs") == []
    for answer in (
        client.get(f"/deliveries/{foreign.pk}/"),
        client.post(f"/deliveries/{foreign.pk}/replay/"),
    ):
        assert answer.status_code == 404
    client.post("/deliveries/replay/")
    assert replay.quarantined(SYSTEM).get().pk == foreign.pk
