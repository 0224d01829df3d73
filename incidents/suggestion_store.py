"""Groups of alerts in tables, kept up to date where something changed.

Triggers write down every alert whose entities, state or links change (:class:`SuggestionQueue`); :func:`advance` takes
some of them, sees which older alerts weigh otherwise by now, groups anew whatever is tied to one of these, and renews
the evidence of groups that it speaks of. What comes out is what :meth:`grouping.Memory.groups` makes of all alerts of the
window at once, in whatever order and portions they came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q

from alerts.models import Alert
from incidents import grouping
from incidents.candidates import candidates
from incidents.entities import Known, known_alerts
from incidents.evidence import Evidence, evidence
from incidents.grouping import ADDRESSES, HABIT, HUB, RULE, Fact
from incidents.models import GroupedAlert, SuggestionExclusion, SuggestionGroup
from opensoar import clock
from opensoar.accounts.models import Partner, ProductSettings
from opensoar.actors import Actor

SUGGESTER = Actor.system("suggestions")
BATCH = 300  # alerts of one transaction
LOCK = 0x5366_6772  # one process groups at a time

_FACTS = "SELECT alert_id, at, keys FROM incidents_groupedalert WHERE alert_id = ANY(%s)"
_CARRIERS = """
SELECT k.key, p.at, p.alert_id FROM unnest(%s::uuid[]) AS k(key)
CROSS JOIN LATERAL (
  SELECT at, alert_id FROM incidents_entityposting WHERE key = k.key ORDER BY at, alert_id LIMIT %s
) AS p"""
_TAKE = """
DELETE FROM incidents_suggestionqueue WHERE id IN (
  SELECT id FROM incidents_suggestionqueue ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING alert_id"""
_REMOVE = """
DELETE FROM incidents_entityposting p USING unnest(%s::uuid[], %s::timestamptz[], %s::uuid[]) AS v(key, at, alert_id)
WHERE p.key = v.key AND p.at = v.at AND p.alert_id = v.alert_id"""
_POST = """
INSERT INTO incidents_entityposting (key, at, alert_id)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[]) ON CONFLICT DO NOTHING"""
_KNOW = """
INSERT INTO incidents_groupedalert (alert_id, at, keys, dismissed)
SELECT v.alert_id, v.at, ARRAY(SELECT json_array_elements_text(v.keys)::uuid), false
FROM unnest(%s::uuid[], %s::timestamptz[], %s::json[]) AS v(alert_id, at, keys)
ON CONFLICT (alert_id) DO UPDATE SET at = excluded.at, keys = excluded.keys"""
_ASSIGN = """
UPDATE incidents_groupedalert g SET group_id = v.group_id
FROM unnest(%s::uuid[], %s::uuid[]) AS v(alert_id, group_id)
WHERE g.alert_id = v.alert_id AND g.group_id IS DISTINCT FROM v.group_id"""


class Tables:
    """The window's alerts in PostgreSQL, as :class:`grouping.Carriers`; remembers what it read."""

    def __init__(self) -> None:
        self._facts: dict[int, Fact] = {}
        self._carriers: dict[int, list[tuple[float, int]]] = {}

    def facts(self, ids: Collection[int]) -> Mapping[int, Fact]:
        """The alerts of these numbers, those that are in the window."""
        missing = [UUID(int=pk) for pk in ids if pk not in self._facts]
        if missing:
            with connection.cursor() as cursor:
                cursor.execute(_FACTS, (missing,))
                for alert_id, at, keys in cursor.fetchall():
                    found = Fact(alert_id.int, at.timestamp(), tuple(sorted(key.int for key in keys)))
                    self._facts[found.id] = found
        return {pk: self._facts[pk] for pk in ids if pk in self._facts}

    def carriers(self, keys: Collection[int]) -> Mapping[int, Sequence[tuple[float, int]]]:
        """Who carries each key, as (time, number) in that order; of hubs the first :data:`HUB` + 1."""
        missing = [key for key in keys if key not in self._carriers]
        if missing:
            self._carriers |= {key: [] for key in missing}
            with connection.cursor() as cursor:
                cursor.execute(_CARRIERS, ([UUID(int=key) for key in missing], HUB + 1))
                for key, at, alert_id in cursor.fetchall():
                    self._carriers[key.int].append((at.timestamp(), alert_id.int))
        return {key: self._carriers[key] for key in keys}

    def forget(self) -> None:
        """What was read may be of before."""
        self._facts.clear()
        self._carriers.clear()


def window_start() -> datetime:
    """The first moment that counts: midnight (UTC) of so many days ago, so that it moves once a day."""
    today = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=grouping.WINDOW_DAYS)


def advance(limit: int = BATCH) -> int:
    """Look at up to ``limit`` changed alerts and as many that leave the window; how many there were.

    0: nothing is left to do, or another process is at it. What is new is then linked where the settings say so, each in
    a transaction of its own: no row of an incident is locked while others are grouped.
    """
    from incidents.belonging import link_by_rule

    done, fresh = _advance(limit)
    link_by_rule(fresh)
    return done


@transaction.atomic
def _advance(limit: int) -> tuple[int, list[Known]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
        if not cursor.fetchone()[0]:
            return 0, []
        cursor.execute(_TAKE, (limit,))
        taken = {alert_id for (alert_id,) in cursor.fetchall()}
    start = window_start()
    old_ones = set(GroupedAlert.objects.filter(at__lt=start).values_list("alert_id", flat=True)[:limit])
    flipped = _flip_exclusions()
    fading = _fading() if not taken else set()
    if not (taken or old_ones or flipped or fading):
        return 0, []
    change = _Change(taken | old_ones, flipped, start)
    change.apply()
    renew(change.stale | fading)
    return len(taken) + len(old_ones) + len(flipped) + len(fading), change.fresh


def take_turn() -> None:
    """Wait until nobody groups, and keep others from it until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))


def catch_up() -> int:
    """:func:`advance` until nothing is left; how many alerts that were."""
    done = 0
    while some := advance():
        done += some
    return done


def rebuild(progress: Callable[[int], object] = lambda done: None) -> int:
    """Group all alerts of the window anew; how many. What was dismissed stays dismissed."""
    with transaction.atomic(), connection.cursor() as cursor:
        take_turn()
        for table in ("entityposting", "suggestiongroup", "suggestionqueue"):
            cursor.execute(f"DELETE FROM incidents_{table}")  # noqa: S608 - three words of ours
        GroupedAlert.objects.update(keys=[], group_id=None)
        cursor.execute(
            "INSERT INTO incidents_suggestionqueue (alert_id) SELECT id FROM alerts_alert "
            "WHERE created_at >= %s ORDER BY id", (window_start(),),
        )  # fmt: skip
        total = cursor.rowcount
    done = 0
    while some := advance():
        done += some
        progress(done)
    return total


def excluded_keys() -> set[int]:
    """The keys that group nothing, by the exclusions that are applied."""
    rows = list(SuggestionExclusion.objects.filter(applied=True))
    everybody = (
        list(Partner.objects.values_list("pk", flat=True)) if any(not r.partner_id for r in rows) else []
    )
    return {key for row in rows for key in _keys_of(row, everybody)}


def _keys_of(row: SuggestionExclusion, everybody: Iterable[UUID]) -> set[int]:
    partners = [row.partner_id] if row.partner_id else everybody
    # An admin may call an address ours before or after somebody excluded it.
    kinds = ADDRESSES if row.entity in ADDRESSES else (row.entity,)
    return {grouping.key_for(pk.bytes, kind, row.value) for pk in partners if pk for kind in kinds}


def _flip_exclusions() -> set[int]:
    """Note which exclusions are in force by now; the keys that are excluded since, or no longer."""
    now = clock.now()
    gone = Q(deleted=True) | Q(expires_at__isnull=False, expires_at__lte=now)
    flipped = list(SuggestionExclusion.objects.filter(gone, applied=True))
    flipped += SuggestionExclusion.objects.filter(~gone, applied=False)
    if not flipped:
        return set()
    everybody = list(Partner.objects.values_list("pk", flat=True))
    keys = {key for row in flipped for key in _keys_of(row, everybody)}
    SuggestionExclusion.objects.filter(pk__in=[row.pk for row in flipped]).update(applied=~F("applied"))
    SuggestionExclusion.objects.filter(deleted=True).delete()
    return keys


def _fading() -> set[UUID]:
    """Shown groups whose first alert is too old to be suggested by now."""
    since = clock.now() - timedelta(days=ProductSettings.load().suggestion_days)
    faded = SuggestionGroup.objects.filter(shown=True, first_seen__lt=since)
    return set(faded.values_list("pk", flat=True)[:BATCH])


class _Change:
    """Alerts that are other than what grouping knows of them, and what follows."""

    def __init__(self, ids: set[UUID], flipped: set[int], start: datetime) -> None:
        self.ids, self.flipped = ids, flipped
        self.tables = Tables()
        self.excluded = excluded_keys()
        self.known = {pk: known for pk, known in known_alerts(ids).items() if known.alert.created_at >= start}
        self.old = dict(self.tables.facts({pk.int for pk in ids}))
        self.new = {pk: known.fact for pk, known in self.known.items()}
        self.changed = {
            pk for pk in self.old.keys() | self.new.keys() if self.old.get(pk) != self.new.get(pk)
        }
        # New to grouping, and not merely told of again.
        self.fresh = [self.known[pk] for pk in sorted(self.new.keys() - self.old.keys())]
        self.stale: set[UUID] = set()  # groups whose evidence may be of before

    def apply(self) -> None:
        """Write the alerts down, group anew what is touched."""
        keys = {
            k
            for pk in self.changed
            for fact in (self.old.get(pk), self.new.get(pk))
            if fact
            for k in fact.keys
        }
        before = dict(self.tables.carriers(keys))
        groups = _groups_of({pk.int for pk in self.ids})
        self._write()
        self.tables.forget()
        after = dict(self.tables.carriers(keys | self.flipped))
        touched = set(self.changed)
        for key in keys:
            touched |= grouping.disturbed(key, before[key], after[key])
        told = {key for key in keys if key >> 120 not in (RULE, HABIT)}
        speakers = {pk for key in told | self.flipped for who in (before.get(key, ()), after[key])
                    if len(who) <= HUB for _at, pk in who}  # fmt: skip
        for key in self.flipped:
            if len(after[key]) <= HUB:
                touched |= {pk for _at, pk in after[key]}
        written = self._regroup(touched, groups if self.changed else set())
        self.stale = written | groups | _groups_of(speakers)

    def _write(self) -> None:
        gone = [self.old[pk] for pk in self.changed & self.old.keys()]
        come = [self.new[pk] for pk in self.changed & self.new.keys()]
        with connection.cursor() as cursor:
            if gone:
                cursor.execute(_REMOVE, _postings(gone))
            if come:
                cursor.execute(_POST, _postings(come))
                cursor.execute(_KNOW, _rows(come))
        left = [UUID(int=pk) for pk in self.changed - self.new.keys()]
        GroupedAlert.objects.filter(alert_id__in=left).delete()

    def _regroup(self, touched: set[int], groups: set[UUID]) -> set[UUID]:
        """Group anew everything tied to ``touched`` or to members of ``groups``; the groups that were written."""
        if not touched:
            return set()
        old = _whole_components(groups | _groups_of(touched))
        rows = GroupedAlert.objects.filter(group_id__in=old).values_list("alert_id", flat=True)
        start = touched | {pk.int for pk in rows}
        seen, ties = grouping.region(self.tables.facts(start).keys(), self.tables, self.excluded)
        old |= _whole_components(_groups_of(seen))
        group_of = {pk: min(group) for group in grouping.partition(ties) for pk in group}
        component_of = {pk: min(group) for group in grouping.partition(ties, None) for pk in group}
        pairs = [(UUID(int=pk), UUID(int=group_of[pk]) if pk in group_of else None) for pk in sorted(seen)]
        with connection.cursor() as cursor:
            cursor.execute(_ASSIGN, ([pk for pk, _group in pairs], [group for _pk, group in pairs]))
        new = {UUID(int=pk): UUID(int=component_of[pk]) for pk in set(group_of.values())}
        SuggestionGroup.objects.filter(pk__in=old - new.keys()).delete()
        partners = dict(Alert.objects.filter(pk__in=new).values_list("pk", "partner_id"))
        SuggestionGroup.objects.bulk_create(
            [SuggestionGroup(id=pk, partner_id=partners[pk], component=part) for pk, part in new.items()],
            update_conflicts=True, unique_fields=["id"], update_fields=["component", "partner"],
        )  # fmt: skip
        return set(new)


def _postings(facts: Iterable[Fact]) -> tuple[list[UUID], list[datetime], list[UUID]]:
    rows = [(UUID(int=key), _moment(fact.at), UUID(int=fact.id)) for fact in facts for key in fact.keys]
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def _rows(facts: Sequence[Fact]) -> tuple[list[UUID], list[datetime], list[str]]:
    keys = ["[" + ",".join(f'"{UUID(int=key)}"' for key in fact.keys) + "]" for fact in facts]
    return [UUID(int=fact.id) for fact in facts], [_moment(fact.at) for fact in facts], keys


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, tz=UTC)


def _groups_of(ids: Collection[int]) -> set[UUID]:
    rows = GroupedAlert.objects.filter(alert_id__in=[UUID(int=pk) for pk in ids], group_id__isnull=False)
    return {pk for pk in rows.values_list("group_id", flat=True).distinct() if pk}


def _whole_components(groups: set[UUID]) -> set[UUID]:
    """These groups and those that they were tied to before they were cut to size."""
    parts = SuggestionGroup.objects.filter(pk__in=groups).values("component")
    return groups | set(SuggestionGroup.objects.filter(component__in=parts).values_list("pk", flat=True))


def renew(groups: Collection[UUID]) -> None:
    """Make the evidence of these groups anew from their alerts that may be suggested."""
    if not groups:
        return
    members: dict[UUID, dict[UUID, bool]] = {}
    rows = GroupedAlert.objects.filter(group_id__in=groups)
    for group_id, alert_id, dismissed in rows.values_list("group_id", "alert_id", "dismissed"):
        assert group_id is not None
        members.setdefault(group_id, {})[alert_id] = dismissed
    everybody = [pk for ids in members.values() for pk in ids]
    live = set(candidates(SUGGESTER).filter(pk__in=everybody).values_list("pk", flat=True))
    chosen = {pk: {one: ids[one] for one in ids if one in live} for pk, ids in members.items()}
    wanted = {pk: set(ids) for pk, ids in chosen.items() if len(ids) > 1 and not all(ids.values())}
    told = tell(wanted)
    written = []
    for group in SuggestionGroup.objects.filter(pk__in=groups).select_for_update():
        found = told.get(group.pk)
        group.shown = found is not None
        if found is not None:
            what, known = found
            times = [one.alert.created_at for one in known]
            group.score, group.told = what.score, what.stored()
            group.first_seen, group.last_seen = min(times), max(times)
        written.append(group)
    SuggestionGroup.objects.bulk_update(
        written, ["shown", "score", "told", "first_seen", "last_seen"], batch_size=500
    )


def tell(groups: Mapping[UUID, Collection[UUID]]) -> dict[UUID, tuple[Evidence, list[Known]]]:
    """The evidence of alerts, by group, counted now; with the alerts."""
    known = known_alerts({pk for ids in groups.values() for pk in ids})
    keys = {key for one in known.values() for key in one.fact.keys}
    totals = {key: len(who) for key, who in Tables().carriers(keys).items()}
    excluded = excluded_keys()
    made: dict[UUID, tuple[Evidence, list[Known]]] = {}
    for group, ids in groups.items():
        members = [known[pk.int] for pk in ids if pk.int in known]
        if len(members) > 1:
            made[group] = evidence(members, totals, excluded), members
    return made
