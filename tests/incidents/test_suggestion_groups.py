"""Groups kept up to date in portions are those of all alerts at once; their evidence can be counted again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from alerts import exclusions
from alerts.models import Alert, AlertObservable
from alerts.services import save_exclusion as save_observable_exclusion
from alerts.services.observables import upsert_observables
from incidents import grouping, suggestion_store
from incidents.entities import known_alerts
from incidents.models import EntityPosting, GroupedAlert, SuggestionGroup, SuggestionQueue
from incidents.services import save_exclusion
from incidents.suggestion_store import advance, catch_up
from incidents.suggestions import suggestions
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from tests.factories import SYSTEM, make_alert, make_partner

pytestmark = pytest.mark.django_db


@pytest.fixture
def nothing_excluded() -> Iterator[None]:
    yield
    exclusions.forget()


def stored() -> set[frozenset[int]]:
    groups: dict[Any, set[int]] = {}
    for group, alert in GroupedAlert.objects.exclude(group_id=None).values_list("group_id", "alert_id"):
        groups.setdefault(group, set()).add(alert.int)
    return {frozenset(group) for group in groups.values()}


def whole() -> set[frozenset[int]]:
    """What the pure core makes of everything in the window at once."""
    known = known_alerts(Alert.objects.values_list("pk", flat=True))
    facts = [one.fact for one in known.values() if one.alert.created_at >= suggestion_store.window_start()]
    memory = grouping.Memory(facts)
    ties = grouping.ties_of(facts, memory, suggestion_store.excluded_keys())
    return set(grouping.partition(ties))


def observe(alert: Alert, *values: tuple[str, str]) -> None:
    rows = upsert_observables(alert.partner_id, [(kind, value, False) for kind, value in values])
    AlertObservable.objects.bulk_create(
        [AlertObservable(alert=alert, observable=row) for row in rows.values()]
    )


def some_alert(draw: random.Random, partners: list[Any]) -> Alert:
    """Few hosts, users, rules and addresses, so that much is shared, some of it by very many."""
    alert = make_alert(
        partner=draw.choice(partners), hostname=f"host-{draw.randrange(6)}", username=draw.choice(["ann", "bob", None]),
        rule_name=f"rule-{draw.randrange(4)}", source_ip=draw.choice([None, "203.0.113.1", f"192.0.2.{draw.randrange(9)}"]),
        created_at=timezone.now() - timedelta(minutes=draw.choice((5, 300, 4_000, 20_000, 46_000)) * draw.random()),
    )  # fmt: skip
    if draw.random() < 0.5:
        observe(alert, ("domain", f"d{draw.randrange(12)}.example"))
    return alert


@pytest.mark.parametrize("seed", range(3))
def test_any_order_in_any_portions_gives_the_groups_of_all_at_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With caps so low that hubs come and go and groups are cut to size."""
    monkeypatch.setattr(grouping, "HUB", 16)
    monkeypatch.setattr(suggestion_store, "HUB", 16)
    draw = random.Random(seed)
    partners = [make_partner(), make_partner()]
    for _ in range(45):
        alert = some_alert(draw, partners)
        kind = draw.random()
        if kind < 0.1:
            observe(alert, ("url", "https://a.example/"))
        if kind < 0.25:
            advance(draw.randrange(1, 9))
        if kind > 0.97:
            Alert.objects.filter(pk=alert.pk).update(hostname="host-9")
    save_exclusion(actor=SYSTEM, entity="host", value="HOST-1", reason="shared", partner=partners[0])
    catch_up()
    assert stored() == whole()
    assert len(stored()) > 1
    call_command("rebuild_suggestions")
    assert stored() == whole()


def test_what_leaves_the_window_counts_no_more() -> None:
    old = make_alert(source_ip="203.0.113.7", created_at=timezone.now() - timedelta(days=29))
    for _ in range(2):
        make_alert(source_ip="203.0.113.7")
    catch_up()
    assert GroupedAlert.objects.filter(pk=old.pk).exists()
    before = timezone.now() - timedelta(days=40)
    Alert.objects.filter(pk=old.pk).update(created_at=before)
    GroupedAlert.objects.filter(pk=old.pk).update(at=before)
    EntityPosting.objects.filter(alert_id=old.pk).update(at=before)
    catch_up()
    assert not EntityPosting.objects.filter(alert_id=old.pk).exists()
    assert stored() == whole()
    [found] = suggestions(SYSTEM)
    assert "in no other alert of the last 30 days" in found.why


def test_partners_never_mix() -> None:
    ours, theirs = make_partner(), make_partner()
    for partner in (ours, theirs):
        observe(make_alert(partner=partner), ("sha256", "ab" * 32))
    catch_up()
    assert stored() == set()
    observe(make_alert(partner=ours), ("sha256", "ab" * 32))
    catch_up()
    [found] = suggestions(SYSTEM)
    assert found.partner == ours
    assert found.evidence.shared[0].total == 2


def test_what_everybody_carries_ties_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "HUB", 8)
    monkeypatch.setattr(suggestion_store, "HUB", 8)
    for n in range(9):
        make_alert(source_ip="203.0.113.7", hostname=f"h{n}")
        advance()
    catch_up()
    assert suggestions(SYSTEM) == []


def test_a_change_that_is_undone_queues_nothing_and_late_commits_are_not_missed() -> None:
    catch_up()
    alert = make_alert()
    assert SuggestionQueue.objects.filter(alert_id=alert.pk).exists()
    catch_up()
    Alert.objects.filter(pk=alert.pk).update(title="other")
    assert not SuggestionQueue.objects.exists()
    Alert.objects.filter(pk=alert.pk).update(severity="critical")
    assert SuggestionQueue.objects.count() == 1
    assert advance() == 1
    assert SuggestionGroup.objects.count() == 0
    assert alert.partner_id == DEFAULT_PARTNER_ID


@pytest.mark.usefixtures("nothing_excluded")
def test_what_the_admin_calls_harmless_ties_nothing_and_an_address_of_ours_is_a_place() -> None:
    alert = make_alert(source_ip="203.0.113.7", dest_ip="198.51.100.9")
    observe(alert, ("domain", "cdn.example"), ("domain", "evil.example"), ("url", "https://cdn.example/bad"))
    for kind, value in (("own", "203.0.113.0/24"), ("allowed", "198.51.100.9"), ("allowed", "cdn.example")):
        save_observable_exclusion(actor=SYSTEM, kind=kind, value=value, reason="known")
    exclusions.forget()
    (known,) = known_alerts([alert.pk]).values()
    said = {
        entity for entity in known.entities.values() if entity[0] not in ("rule", "habit", "host", "user")
    }
    assert said == {
        ("internal_ip", "203.0.113.7"), ("domain", "evil.example"), ("url", "https://cdn.example/bad"),
    }  # fmt: skip


@pytest.mark.usefixtures("nothing_excluded")
@pytest.mark.parametrize("ours_first", [True, False])
def test_an_excluded_address_ties_nothing_whenever_it_is_called_ours(ours_first: bool) -> None:
    alert = make_alert(source_ip="203.0.113.7")

    def call_it_ours() -> None:
        save_observable_exclusion(actor=SYSTEM, kind="own", value="203.0.113.7", reason="our VPN")
        exclusions.forget()

    if ours_first:
        call_it_ours()
    save_exclusion(actor=SYSTEM, entity="external_ip", value="203.0.113.7", reason="everybody's")
    catch_up()
    if not ours_first:
        call_it_ours()
    (known,) = known_alerts([alert.pk]).values()
    key = next(key for key, entity in known.entities.items() if entity == ("internal_ip", "203.0.113.7"))
    assert key in suggestion_store.excluded_keys()
