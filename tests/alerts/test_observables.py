"""Observables: one row per partner, type and value, whoever adds them and however often."""

import hashlib

import pytest

from alerts import services
from alerts.models import Observable, ObservableEnrichment
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.errors import Invalid, NotFound
from tests.factories import SYSTEM, actions, entries, make_alert, make_partner, make_user, text_of
from tests.threads import at_once


@pytest.mark.django_db
def test_service_adds_canonical_values():
    alert = make_alert()
    added = services.add_observables(
        actor=SYSTEM,
        alert=alert,
        values=[("ipv4", "198.51.100[.]7"), ("hash", "A" * 64), ("ip", "198.51.100.7")],
    )
    assert [(o.type, o.value) for o in added] == [("ip", "198.51.100.7"), ("sha256", "a" * 64)]
    [entry] = entries(alert)
    assert entry.action == "observable_added"
    assert [o["type"] for o in entry.payload["observables"]] == ["ip", "sha256"]
    assert text_of(entry) == f"ip 198.51.100.7\nsha256 {'a' * 64}"


@pytest.mark.django_db
def test_service_repeat_records_only_what_is_new():
    alert = make_alert()
    services.add_observables(actor=SYSTEM, alert=alert, values=[("ip", "10.1.2.3")])
    both = services.add_observables(
        actor=SYSTEM, alert=alert, values=[("ip", "10.1.2.3"), ("domain", "evil.com")]
    )
    assert len(both) == 2
    assert [o["type"] for o in entries(alert)[-1].payload["observables"]] == ["domain"]
    services.add_observables(actor=SYSTEM, alert=alert, values=[("domain", "EVIL.com")])
    assert len(actions(alert)) == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    "values", [[], [("ip", "999.1.1.1")], [("nonsense", "x")], [("ip", None)], [(None, "x")], [("ip", "")]]
)
def test_service_says_what_is_wrong(values):
    alert = make_alert()
    with pytest.raises(Invalid):
        services.add_observables(actor=SYSTEM, alert=alert, values=values)
    assert Observable.objects.count() == 0


@pytest.mark.django_db
def test_service_partners_share_no_rows():
    ours, theirs = make_partner(), make_partner()
    rows = [
        services.add_observables(actor=SYSTEM, alert=make_alert(partner=p), values=[("ip", "203.0.113.5")])[0]
        for p in (ours, theirs, ours)
    ]
    assert rows[0] == rows[2] != rows[1]
    ada = make_user(partners=[ours])
    assert list(Observable.objects.visible_to(ada.actor)) == [rows[0]]


@pytest.mark.django_db
def test_service_creates_or_finds():
    first = services.create_observable(actor=SYSTEM, type="ip", value="203.0.113.9", source="manual")
    again = services.create_observable(actor=SYSTEM, type="ip-src", value="203.0.113[.]9")
    assert first == again
    assert first.source == "manual"
    with pytest.raises(Invalid):
        services.create_observable(
            actor=make_user(partners=[make_partner()]).actor,
            type="ip",
            value="203.0.113.9",
            partner=make_partner(),
        )


@pytest.mark.django_db
def test_service_upsert_takes_two_statements_for_many(django_assert_num_queries):
    values = [("ip", f"10.0.{n // 250}.{n % 250}", True) for n in range(500)]
    with django_assert_num_queries(2):
        rows = services.upsert_observables(DEFAULT_PARTNER_ID, values)
    assert len(rows) == 500
    row = rows["ip", "10.0.1.1"]
    assert bytes(row.value_hash) == hashlib.sha256(b"10.0.1.1").digest()
    assert row.internal
    assert services.upsert_observables(DEFAULT_PARTNER_ID, values)["ip", "10.0.1.1"] == row
    assert services.upsert_observables(DEFAULT_PARTNER_ID, []) == {}


def test_service_upserts_at_once_neither_deadlock_nor_repeat(fresh_database):
    values = [("domain", f"host{n}.example.com", False) for n in range(200)]
    orders = [values, values[::-1], values[100:] + values[:100], values[::2] + values[1::2]] * 2
    outcomes = at_once(
        [lambda o=order: services.upsert_observables(DEFAULT_PARTNER_ID, o) for order in orders]
    )
    assert [len(outcome) if isinstance(outcome, dict) else outcome for outcome in outcomes] == [200] * 8
    assert Observable.objects.count() == 200


@pytest.mark.django_db
def test_service_enriches_per_source():
    observable = services.create_observable(actor=SYSTEM, type="domain", value="evil.com")
    for score in (10, 90):
        services.add_enrichment(
            actor=SYSTEM,
            observable=observable,
            source="vt",
            data={"hits": "\x00"},
            malicious=True,
            score=score,
        )
    observable.refresh_from_db()
    assert observable.enrichment_status == "enriched"
    record = ObservableEnrichment.objects.get()
    assert (record.score, record.data) == (90, {"hits": "\ufffd"})
    services.add_enrichment(actor=SYSTEM, observable=observable, source="misp", data={})
    assert services.remove_enrichment(actor=SYSTEM, observable=observable, source="vt") == 1
    observable.refresh_from_db()
    assert observable.enrichment_status == "enriched"
    assert services.remove_enrichment(actor=SYSTEM, observable=observable, source="misp") == 1
    assert services.remove_enrichment(actor=SYSTEM, observable=observable, source="misp") == 0
    observable.refresh_from_db()
    assert observable.enrichment_status == "pending"


@pytest.mark.django_db
def test_service_enriches_no_foreign_observable():
    foreign = services.create_observable(actor=SYSTEM, type="ip", value="203.0.113.1", partner=make_partner())
    ada = make_user(partners=[make_partner()])
    with pytest.raises(NotFound):
        services.add_enrichment(actor=ada.actor, observable=foreign, source="vt", data={})


def test_service_enrichments_at_once_are_all_kept(fresh_database):
    observable = services.create_observable(actor=SYSTEM, type="ip", value="203.0.113.1")
    calls = [
        lambda n=n: services.add_enrichment(actor=SYSTEM, observable=observable, source=f"s{n}", data={})
        for n in range(8)
    ]
    assert not [outcome for outcome in at_once(calls) if isinstance(outcome, Exception)]
    assert observable.enrichments.count() == 8


def test_pasted_text_of_which_something_is_not_read_is_refused():
    assert services.recognised("evil[.]com, 203.0.113.9") == [("domain", "evil.com"), ("ip", "203.0.113.9")]
    with pytest.raises(Invalid, match="Nothing in this text"):
        services.recognised("nothing here")
    long = "evil.com\n" * 30_000
    with pytest.raises(Invalid, match="was not read"):
        services.recognised(long)
