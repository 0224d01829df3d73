"""Groups kept up to date in portions are those of all alerts at once; their evidence can be counted again."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from alerts.models import Alert, AlertObservable
from alerts.services.observables import upsert_observables
from incidents import grouping, suggestion_store
from incidents.candidates import candidates
from incidents.entities import known_alerts
from incidents.models import EntityPosting, GroupedAlert, SuggestionGroup, SuggestionQueue
from incidents.services import save_exclusion
from incidents.suggestion_store import advance, catch_up
from incidents.suggestions import suggestions
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from tests.factories import SYSTEM, make_alert, make_partner

pytestmark = pytest.mark.django_db


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


def test_each_explanation_recomputes_from_the_alerts() -> None:
    """Counts, rarity and score of every suggestion, counted anew without the code that made them."""
    hosts = [f"ws-{n}" for n in range(5)]
    for n in range(14):
        alert = make_alert(hostname=hosts[n % 5], rule_name=f"r{n % 3}", severity="high" if n == 3 else "low")
        observe(alert, ("sha256", "9f86" * 16), ("domain", "evil.example"))
    elsewhere = make_alert(created_at=timezone.now() - timedelta(days=25))
    observe(elsewhere, ("domain", "evil.example"))
    for _ in range(2):
        make_alert(source_ip="203.0.113.9")
    catch_up()
    found = suggestions(SYSTEM)
    assert len(found) == 2
    for suggestion in found:
        members = list(candidates(SYSTEM).filter(pk__in=suggestion.alert_ids))
        assert len(members) == suggestion.alert_count == suggestion.evidence.count
        for shared in suggestion.evidence.shared:
            carriers = carriers_of(shared.kind, shared.value)
            here = [one for one in members if one.pk in carriers]
            assert (shared.count, shared.total) == (len(here), len(carriers)), shared
            assert shared.hosts == len({one.hostname for one in here} - {None})
        ranks = [one.severity_rank for one in members]
        rules = {one.rule_name for one in members}
        count = len(members)
        best = max(shared.points for shared in suggestion.evidence.shared)
        alerts_points = min(25, round(8 * count.bit_length() - 8)) if count & (count - 1) == 0 else None
        assert suggestion.score == sum(points for points, _words in suggestion.evidence.parts)
        assert suggestion.evidence.parts[0][0] == 10 * max(ranks)
        assert alerts_points is None or suggestion.evidence.parts[1][0] == alerts_points
        assert suggestion.evidence.parts[2][0] == min(15, 5 * (len(rules) - 1))
        assert suggestion.evidence.parts[3][0] == best
    big = found[0]
    assert "14 alerts in" in big.why
    assert f"file hash {'9f86' * 16} (on 5 hosts, in no other alert of the last 30 days)" in big.why
    assert "domain evil.example (on 5 hosts, in 1 other alert of the last 30 days)" in big.why


def carriers_of(kind: str, value: str) -> set[Any]:
    """Who carries an entity, asked of the alerts themselves."""
    fields = {"host": "hostname__iexact", "user": "username__iexact", "group_key": "group_key"}
    if kind in fields:
        return set(Alert.objects.filter(**{fields[kind]: value}).values_list("pk", flat=True))
    if kind in ("external_ip", "internal_ip"):
        either = Alert.objects.filter(source_ip=value) | Alert.objects.filter(dest_ip=value)
        return set(either.values_list("pk", flat=True))
    return set(AlertObservable.objects.filter(observable__value=value).values_list("alert_id", flat=True))


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


def test_no_group_is_larger_than_200_and_its_rest_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping.partition, "__defaults__", (8,))
    for _ in range(12):
        make_alert(source_ip="203.0.113.7")
    catch_up()
    assert max(s.alert_count for s in suggestions(SYSTEM)) <= 8
    assert stored() == whole()
    assert grouping.LARGEST == 200


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
