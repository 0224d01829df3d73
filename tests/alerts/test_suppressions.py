"""Suppressions: what is hidden when it comes, what is not, and how it comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from alerts import services, suppressions
from alerts.filters import AlertFilter
from alerts.incoming import Incoming
from alerts.ingest import store
from alerts.intake import Envelope, read_body
from alerts.models import Alert, AlertCounter, Delivery, Observable, Suppression
from alerts.pages import open_count, queue
from alerts.senders import Sender
from alerts.suppression_pages import hidden_by, preview
from incidents.retention import archive_batch, candidates
from incidents.suggestions import suggestions
from opensoar.accounts.models import AuditEntry, User
from opensoar.errors import Conflict, Invalid, NotAllowed
from playbooks_engine.models import PlaybookRun
from playbooks_engine.sync import sync_playbooks
from tests.factories import (
    SYSTEM,
    actions,
    default_partner,
    entries,
    make_alert,
    make_partner,
    make_user,
    text_of,
)
from tests.playbooks_engine.engines import write

pytestmark = pytest.mark.django_db
NOISE = {
    "title": "Scan",
    "rule_name": "Port scan",
    "hostname": "scanner-1",
    "severity": "low",
    "source_id": "1",
}
RULE = {"rule_name": "Port scan"}
LOOK = """
from opensoar import playbook

@playbook(trigger="webhook", name="look")
async def look(alert): ...

@playbook(trigger="alert.updated", name="follow")
async def follow(alert): ...

@playbook(trigger="observable", name="observe")
async def observe(observable): ...
"""


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    suppressions.forget()
    yield
    suppressions.forget()


@pytest.fixture
def lead() -> User:
    return make_user("lena", role="lead")


def deliver(*payloads: dict[str, Any], sender: Sender | None = None, slug: str = "") -> list[Incoming]:
    """Store them in one batch."""
    suppressions.forget()  # on commit, which the test's transaction never sees
    envelope = Envelope(sender or Sender(None, "tests"), "application/json", slug=slug)
    items = [item for body in payloads for item in read_body(json.dumps(body).encode(), envelope)]
    store(items, patience=0)
    return items


def hide(lead: User, conditions: dict[str, Any] | None = None, **fields: Any) -> Suppression:
    return services.create_suppression(
        actor=lead.actor,
        conditions=RULE if conditions is None else conditions,
        **{"name": "Our scanner", "reason": "It is ours"} | fields,
    )


def test_what_is_hidden_is_stored_and_nobodys_work(lead: User, tmp_path: Path) -> None:
    write(tmp_path, "look", LOOK)
    sync_playbooks([str(tmp_path)])
    suppression = hide(lead)
    first, second, seen = deliver(
        NOISE | {"source_ip": "203.0.113.9"},
        NOISE | {"source_id": "2", "source_ip": "203.0.113.9"},
        {"title": "Beacon", "severity": "high", "source_ip": "203.0.113.10"},
    )
    assert [item.outcome.state for item in (first, second, seen) if item.outcome] == ["accepted"] * 3
    hidden = Alert.objects.get(pk=first.alert_id)
    assert (hidden.suppressed_by, hidden.status) == (suppression, "new")
    assert Delivery.objects.get(alert_id=hidden.pk).state == "accepted"
    assert AlertCounter.objects.get(alert=hidden).duplicate_count == 1
    assert Observable.objects.filter(alerts=hidden, value="203.0.113.9").exists()
    [entry] = entries(hidden)
    assert (entry.action, entry.payload, text_of(entry)) == (
        "suppressed", {"suppression_id": str(suppression.pk), "name": "Our scanner"}, "It is ours",
    )  # fmt: skip
    assert (hidden.timeline_seq, entry.seq, bytes(entry.digest)) == (1, 1, entry.compute_digest())
    runs = PlaybookRun.objects.values_list(
        "playbook__name", "sequence__alert_id", "sequence__observable__value"
    )
    assert set(runs) == {("look", seen.alert_id, None), ("observe", None, "203.0.113.10")}
    actor = make_user().actor
    assert [alert.pk for alert in queue(actor).open()] == [seen.alert_id]
    assert open_count(actor) == 1
    assert suggestions(actor) == []  # two alerts share an address, both are hidden


def test_an_observable_is_announced_with_the_alert_that_somebody_sees(lead: User, tmp_path: Path) -> None:
    write(tmp_path, "look", LOOK)
    sync_playbooks([str(tmp_path)])
    hide(lead)
    deliver(NOISE | {"source_ip": "203.0.113.9"}, {"title": "Beacon", "source_ip": "203.0.113.9"})
    assert list(PlaybookRun.objects.filter(playbook__name="observe").values_list("state", flat=True))


def test_repeats_of_what_is_hidden_just_count(lead: User) -> None:
    hide(lead)
    deliver(NOISE)
    deliver(NOISE | {"tags": ["new"]}, NOISE | {"tags": ["new"]})
    alert = Alert.objects.get()
    assert AlertCounter.objects.get().duplicate_count == 3
    assert (alert.tags, alert.version, actions(alert)) == ([], 1, ["suppressed"])


@pytest.mark.parametrize("why", ["ended", "expired", "changed"])
def test_a_repeat_that_nothing_hides_any_more_comes_back(lead: User, tmp_path: Path, why: str) -> None:
    write(tmp_path, "look", LOOK)
    sync_playbooks([str(tmp_path)])
    suppression = hide(lead, RULE | {"severity": "low"})
    deliver(NOISE)
    if why == "ended":
        services.end_suppression(actor=lead.actor, suppression=suppression)
    elif why == "expired":
        Suppression.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    [repeat] = deliver(NOISE | ({"severity": "critical"} if why == "changed" else {}))
    assert repeat.outcome is not None
    assert repeat.outcome.state == "duplicate"
    alert = Alert.objects.get()
    assert alert.suppressed_by is None
    assert actions(alert)[:2] == ["suppressed", "shown_again"]
    assert alert.severity == ("critical" if why == "changed" else "low")
    assert [entry.seq for entry in entries(alert)] == list(range(1, alert.timeline_seq + 1))
    assert PlaybookRun.objects.filter(playbook__name="look", sequence__alert=alert).count() == 1
    deliver(NOISE)
    assert PlaybookRun.objects.filter(playbook__name="look").count() == 1


def test_the_end_that_a_source_tells_brings_nothing_back(lead: User) -> None:
    properties = {
        "title": "Beacon", "severity": "High", "incidentNumber": 7, "createdTimeUtc": "2026-11-24T00:00:00Z",
    }  # fmt: skip
    incident = {"name": "0d1e", "type": "Microsoft.SecurityInsights/Incidents"}
    suppression = hide(lead, {"source": "sentinel"})
    for status in ("New", "Closed"):
        deliver(incident | {"properties": properties | {"status": status}}, slug="sentinel")
        if suppression.is_active:
            suppression = services.end_suppression(actor=lead.actor, suppression=suppression)
    alert = Alert.objects.get()
    assert (alert.suppressed_by, alert.status, actions(alert)) == (suppression, "new", ["suppressed"])


def test_show_again_brings_it_back_and_starts_its_playbooks(lead: User, tmp_path: Path) -> None:
    write(tmp_path, "look", LOOK)
    sync_playbooks([str(tmp_path)])
    hide(lead)
    deliver(NOISE)
    analyst, alert = make_user(), Alert.objects.get()
    back = services.show_alert_again(actor=analyst.actor, alert=alert, reason="Not on that host")
    assert (back.suppressed_by, back.version) == (None, 2)
    assert actions(alert) == ["suppressed", "shown_again"]
    assert text_of(entries(alert)[-1]) == "Not on that host"
    [run] = PlaybookRun.objects.all()
    assert run.sequence.alert == alert
    assert services.show_alert_again(actor=analyst.actor, alert=alert).version == 2  # again without effect
    assert PlaybookRun.objects.count() == 1


def test_of_what_is_resolved_no_playbook_starts(lead: User, tmp_path: Path) -> None:
    write(tmp_path, "look", LOOK)
    sync_playbooks([str(tmp_path)])
    hide(lead)
    deliver(NOISE)
    alert = services.resolve_alert(actor=lead.actor, alert=Alert.objects.get(), determination="benign")
    assert not PlaybookRun.objects.exists(), "what is hidden starts nothing, whatever becomes of it"
    assert services.show_alert_again(actor=lead.actor, alert=alert).suppressed_by is None
    assert not PlaybookRun.objects.exists()


def test_only_new_alerts_of_its_partner_are_hidden(lead: User) -> None:
    acme = make_partner("acme")
    make_partner("other")
    deliver(NOISE)
    hide(lead, partner="acme")
    deliver(NOISE)  # there already
    deliver(NOISE | {"source_id": "2"})  # of the default partner
    deliver(NOISE | {"source_id": "3"}, sender=Sender(None, "tests", acme.pk, acme.slug))
    deliver(NOISE | {"source_id": "4", "partner": "other"})
    hidden = Alert.objects.filter(suppressed_by__isnull=False)
    assert list(hidden.values_list("source_id", flat=True)) == ["3"]


def test_the_filter_finds_what_is_hidden(lead: User) -> None:
    suppression = hide(lead)
    deliver(NOISE, {"title": "Beacon"})

    def found(**asked: str) -> set[str]:
        return {a.title for a in AlertFilter(asked, queryset=queue(lead.actor)).qs}

    assert found() == {"Beacon"}
    assert found(status="") == {"Beacon"}
    assert found(q="Scan") == set()
    assert found(suppressed="true") == {"Scan"}
    assert found(suppressed="any") == {"Scan", "Beacon"}
    assert found(suppressed_by=str(suppression.pk)) == {"Scan"}


def test_hits_are_counted_exactly_of_what_one_may_see(lead: User) -> None:
    acme = make_partner("acme")
    everybodys, acmes = hide(lead), hide(lead, {"hostname": "kiosk"}, partner="acme")
    deliver(*[NOISE | {"source_id": str(n)} for n in range(3)])
    deliver(NOISE, sender=Sender(None, "tests", acme.pk, acme.slug))
    counts = {pk: one.count for pk, one in hidden_by(lead.actor, [everybodys, acmes]).items()}
    assert counts == {everybodys.pk: 4, acmes.pk: 0}
    restricted = make_user(partners=[acme])
    assert hidden_by(restricted.actor, [everybodys])[everybodys.pk].count == 1


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"name": " "}, "name"),
        ({"reason": ""}, "reason"),
        ({"conditions": {}}, "conditions"),
        ({"conditions": {"rule": "x"}}, "conditions"),
        ({"conditions": {"status": "new"}}, "conditions"),
        ({"conditions": {"duplicate_count__gte": 3}}, "conditions"),
        ({"conditions": {"title__regex": "("}}, "conditions"),
        ({"conditions": {f"raw__f{n}": "x" for n in range(51)}}, "conditions"),
        ({"days": 0}, "days"),
        ({"days": 100_000}, "days"),
        ({"partner": "nobody"}, "partner"),
        ({"owner": "nobody"}, "owner"),
    ],
)
def test_one_that_cannot_be_is_refused(lead: User, fields: dict[str, Any], at: str) -> None:
    with pytest.raises(Invalid) as refused:
        hide(lead, **fields)
    assert refused.value.field == at
    assert not Suppression.objects.exists()


def test_it_lasts_thirty_days_unless_somebody_says_otherwise(lead: User) -> None:
    assert hide(lead).expires_at is not None
    days = [(hide(lead, **f).expires_at or timezone.now()) - timezone.now() for f in ({}, {"days": 7})]
    assert [round(left / timedelta(days=1)) for left in days] == [30, 7]
    assert hide(lead, days=None).expires_at is None


def test_owners(lead: User) -> None:
    acme = make_partner("acme")
    bound, ada = make_user("bo", role="lead", partners=[acme]), make_user("ada")
    assert hide(lead).owner == lead
    assert hide(lead, owner="ada").owner == ada
    assert hide(bound).partner == acme  # who is bound to one partner hides of that one
    make_user("di", partners=[default_partner()])
    with pytest.raises(Invalid, match="every partner"):
        hide(lead, owner="di")
    with pytest.raises(Invalid, match="not found"):
        hide(lead, owner="bo")
    with pytest.raises(Invalid, match="Name the person"):
        services.create_suppression(actor=SYSTEM, name="x", reason="x", conditions=RULE)


def test_it_is_ended_once_kept_and_everybodys_only_by_who_sees_everybody(lead: User) -> None:
    acme = make_partner("acme")
    bound = make_user(role="lead", partners=[acme])
    everybodys, acmes = hide(lead), hide(lead, partner="acme")
    with pytest.raises(NotAllowed):
        services.end_suppression(actor=bound.actor, suppression=everybodys)
    services.end_suppression(actor=bound.actor, suppression=acmes)
    with pytest.raises(Conflict):
        services.end_suppression(actor=lead.actor, suppression=acmes)
    acmes.refresh_from_db()
    assert (acmes.state, acmes.ended_by, everybodys.state) == ("ended", bound, "active")
    trail = AuditEntry.objects.filter(object_kind="suppression").order_by("id")
    assert [(one.action, one.object_id) for one in trail] == [
        ("suppression_created", str(everybodys.pk)),
        ("suppression_created", str(acmes.pk)),
        ("suppression_ended", str(acmes.pk)),
    ]
    assert trail[0].detail["conditions"] == RULE


def test_states_and_lists(lead: User) -> None:
    active, never, expired, ended = hide(lead), hide(lead, days=None), hide(lead), hide(lead)
    Suppression.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    services.end_suppression(actor=lead.actor, suppression=ended)
    rows = Suppression.objects.all()
    assert set(rows.in_state("active")) == {active, never}
    assert list(rows.in_state("expired")) == [expired]
    assert list(rows.in_state("ended")) == [ended]
    assert {row.pk: row.state for row in rows}[expired.pk] == "expired"


def test_the_database_holds_what_must_hold(lead: User) -> None:
    suppression = hide(lead)
    deliver(NOISE)
    for change in ({"reason": ""}, {"conditions": {}}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Suppression.objects.update(**change)
    with pytest.raises(ProtectedError):
        suppression.delete()


def test_one_of_another_release_hides_nothing(lead: User) -> None:
    suppression = hide(lead)
    Suppression.objects.filter(pk=suppression.pk).update(conditions={"no_such_field": 1})
    deliver(NOISE)
    assert Alert.objects.get().suppressed_by is None


def test_what_is_hidden_is_archived_when_its_time_comes(lead: User) -> None:
    hide(lead)
    [item] = deliver(NOISE)
    assert item.alert_id not in candidates(lead.actor, 1).values_list("pk", flat=True)
    assert item.alert_id in candidates(lead.actor, 0).values_list("pk", flat=True)
    make_alert("Done", status="resolved", resolved_at=timezone.now() - timedelta(hours=1))
    assert archive_batch(lead.actor, 0) == 2
    assert Alert.objects.get(pk=item.alert_id).archived_at is not None
    assert hidden_by(lead.actor, Suppression.objects.all()).popitem()[1].count == 0
    assert archive_batch(lead.actor, None) == 0


def test_preview_counts_and_warns(lead: User) -> None:
    acme = make_partner("acme")
    for n, word in enumerate(["benign", "benign", "malicious", "malicious", "suspicious"]):
        make_alert(
            f"Scan {n}", status="resolved", determination=word, rule_name="Port scan", hostname=f"ws-{n}"
        )
    make_alert("Scan of acme", partner=acme, rule_name="Port scan")
    make_alert("Other", rule_name="Other")
    make_alert("Old", rule_name="Port scan", created_at=timezone.now() - timedelta(days=31))
    found = preview(actor=lead.actor, conditions=RULE)
    assert (found.total, found.harmful, found.looked_at, found.cut) == (6, 3, 6, False)
    assert found.sentence == (
        "would have hidden these 6 alerts of the last 30 days, 2 of which were malicious, 1 of which was suspicious"
    )
    assert [alert.determination for alert in found.alerts][:3] == ["suspicious", "malicious", "malicious"]
    assert preview(actor=lead.actor, conditions=RULE, partner="acme").total == 1
    assert preview(actor=make_user(partners=[acme]).actor, conditions=RULE).total == 1
    assert preview(actor=lead.actor, conditions=RULE | {"not_hostname": "ws-2"}).determined["malicious"] == 1
    none = preview(actor=lead.actor, conditions={"hostname": "nobody"})
    assert none.sentence == "would have hidden no alert of the last 30 days"


def test_preview_reads_bodies_where_they_are_asked_for(lead: User) -> None:
    make_alert("One", payload={"process": {"name": "nmap"}})
    make_alert("Two", payload={"process": {"name": "curl"}})
    found = preview(actor=lead.actor, conditions={"raw__process__name": "nmap"})
    assert ([alert.title for alert in found.alerts], found.looked_at) == (["One"], 2)


def test_preview_says_when_it_was_cut(lead: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.suppression_pages.LOOKED_AT", 3)
    for n in range(5):
        make_alert(f"Scan {n}", rule_name="Port scan")
    found = preview(actor=lead.actor, conditions=RULE)
    assert (found.total, found.looked_at, found.cut) == (3, 3, True)


def test_preview_and_ingest_agree(lead: User) -> None:
    """What would have been hidden is what is hidden, whatever the language can ask."""
    payload = NOISE | {
        "source_ip": "203.0.113.9", "tags": ["Scan", "lab"], "username": "svc", "process": {"name": "nmap"},
    }  # fmt: skip
    deliver(payload)
    for conditions, hides in {
        '{"source": "WEBHOOK"}': True,
        '{"severity__lte": "low", "source_ip__cidr": "203.0.113.0/24"}': True,
        '{"tags": ["lab", "none"]}': True,
        '{"tags__all": ["lab", "none"]}': False,
        '{"title__startswith": "Sc", "hostname__contains": "ner"}': True,
        '{"hostname__icontains": "SCAN", "not_username": "root"}': True,
        '{"raw__process__name": "nmap"}': True,
        '{"raw__process__name": "curl"}': False,
        '{"username": null}': False,
        '{"dest_ip": null, "severity": ["low", "high"]}': True,
        '{"partner": null}': True,
        '{"source_ip": "203.0.113.9"}': True,
        '{"source_ip__cidr": "2001:db8::/32"}': False,
    }.items():
        asked = json.loads(conditions)
        assert preview(actor=lead.actor, conditions=asked).total == hides, conditions
        suppression = hide(lead, asked)
        [item] = deliver(payload | {"source_id": conditions})
        assert (Alert.objects.get(pk=item.alert_id).suppressed_by is not None) == hides, conditions
        services.end_suppression(actor=lead.actor, suppression=suppression)
        Alert.objects.filter(pk=item.alert_id).delete()
