"""Which alerts belong together: a function of what they say and of how rare it is. No database, no clock.

Two alerts are tied when what they share is surprising. Three things make it so, all of them learnt from the alerts of
the window, in nats. An entity that n alerts carry is met by chance once in window/n, and tells the more the less time
lies between the two compared with that (:func:`surprise`). Carriers that come in a burst, or that all lie within a small
part of the window, are no chance (:func:`bursts`). And a rule that seldom fires adds what its rarity says. So a shared
NAT address, a DNS server, a scanner or a system's binary tie nothing by their own numbers, and a host or a user tie in a
burst only. What more than :data:`HUB` alerts carry ties nothing at all.

Counts are taken in steps of two, so that one more alert rarely changes what older ones weigh. Everything about an alert
is decided by at most :data:`HUB` carriers of each of its entities: cost follows what is new.
"""

from __future__ import annotations

import ipaddress
import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from alerts.iocs import is_internal

WINDOW_DAYS = 30
WINDOW = WINDOW_DAYS * 86_400.0  # seconds in which rarity is counted
HUB = 400  # carriers in the window: more than that tie nothing, and no more than that are ever looked at
LARGEST = 200  # alerts of one group
RARE_RULE = 256  # a rule that fires less than this in the window adds something
NEAR = 5  # carriers before and after an alert that it is compared with
CLOSEST = 600.0  # seconds: nearer than this is no nearer
LONGEST = 4 * 86_400.0  # seconds between two alerts that are still tied directly
SCALES = (2 * 3_600.0, 12 * 3_600.0, 84 * 3_600.0)  # seconds to both sides in which a burst is looked for
CHANCE = 6.0  # nats that carriers scattered by chance look concentrated by
ROUTINE_DAYS = 4  # a rule that spoke of one host on so many days is a habit
ENOUGH = 6.5  # weight from which two alerts are tied
MOST = 6.5  # what the nearness of two carriers counts at the most


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of entity counts.

    Only the best of one ``says`` is taken, for they come together anyway. ``prior`` is what sharing one says before
    anything is counted, ``burst`` the most that a burst of its carriers says.
    """

    code: int
    says: str
    prior: float
    burst: float


KINDS = {
    "external_ip": Kind(1, "network", 0.0, 6.0),
    "internal_ip": Kind(2, "place", -2.0, 2.0),
    "cidr": Kind(3, "network", -0.5, 6.0),
    "host": Kind(4, "place", -2.0, 2.0),
    "user": Kind(5, "account", -2.0, 6.0),
    "hash": Kind(6, "artefact", 1.0, 6.0),
    "url": Kind(7, "artefact", -0.5, 6.0),
    "domain": Kind(8, "artefact", 0.0, 6.0),
    "email": Kind(9, "artefact", 0.0, 6.0),
    "process": Kind(10, "tool", -2.0, 0.0),
    "group_key": Kind(11, "vendor", 3.0, 6.0),
    "rule": Kind(30, "rule", 0.0, 0.0),
    "habit": Kind(31, "habit", 0.0, 0.0),
}
ADDRESSES = frozenset({"external_ip", "internal_ip"})
# Types of observables, as kinds.
OBSERVED = {
    "md5": "hash", "sha1": "hash", "sha256": "hash", "sha512": "hash", "url": "url", "domain": "domain",
    "email": "email", "process": "process",
}  # fmt: skip
BY_CODE = {kind.code: (name, kind) for name, kind in KINDS.items()}
RULE, HABIT = KINDS["rule"].code, KINDS["habit"].code
BESIDE = 0.5  # a host and its user come together: the weaker of both counts this at the most
EVERYBODYS = frozenset({"0.0.0.0", "::", "127.0.0.1", "::1"})  # noqa: S104 - values of alerts, nothing is bound


@dataclass(frozen=True, slots=True)
class Fact:
    """What grouping knows of an alert: its number, when it came (seconds) and the keys of its entities, sorted."""

    id: int
    at: float
    keys: tuple[int, ...]

    def key_of(self, code: int) -> int | None:
        """Its key of a kind of which an alert has one."""
        return next((key for key in self.keys if key >> 120 == code), None)


def key_for(partner: bytes, kind: str, value: str) -> int:
    """128 bits that name an entity of one partner: the kind's code, then a digest."""
    digest = blake2b(partner + kind.encode() + b"\0" + value.encode(), digest_size=15).digest()
    return KINDS[kind].code << 120 | int.from_bytes(digest)


def kind_of(key: int) -> str:
    """The name of the kind of a key."""
    return BY_CODE[key >> 120][0]


def ip_entities(value: str) -> Iterator[tuple[str, str]]:
    """An address and, where it is of the internet, its /24 or /64."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return
    if str(address) in EVERYBODYS:
        return
    if is_internal("ip", str(address)):
        yield "internal_ip", str(address)
        return
    yield "external_ip", str(address)
    prefix = 24 if address.version == 4 else 64
    yield "cidr", str(ipaddress.ip_network((address, prefix), strict=False))


def step(count: int) -> int:
    """``count`` as it is weighed: the next power of two."""
    return 1 << max(0, count - 1).bit_length()


class Carriers(Protocol):
    """Where alerts are looked up: in memory, or in tables."""

    def facts(self, ids: Collection[int]) -> Mapping[int, Fact]:
        """The alerts of these numbers."""

    def carriers(self, keys: Collection[int]) -> Mapping[int, Sequence[tuple[float, int]]]:
        """Who carries each key, as (time, number) in that order; of hubs only :data:`HUB` + 1."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Two alerts and how much ties them; ``one`` < ``other``."""

    weight: float
    one: int
    other: int


def surprise(count: int, gap: float) -> float:
    """How much it says, in nats, that two of ``count`` carriers of the window are ``gap`` seconds apart."""
    if count > HUB or gap > LONGEST:
        return 0.0
    return min(MOST, math.log(WINDOW / step(count) / max(gap, CLOSEST)))


def rule_rarity(count: int) -> float:
    """What a rule adds that fires seldom, in nats."""
    return max(0.0, math.log(RARE_RULE / step(count)))


def bursts(kind: Kind, who: Sequence[tuple[float, int]]) -> dict[int, float]:
    """For each carrier, how much its being near others is no chance, in nats from 0 to the kind's most.

    Counted is Poisson's surprise at so many carriers around it, less what looking at every carrier brings by itself; or
    the odds of all of them in so small a part of the window, whichever says more.
    """
    count = len(who)
    found: dict[int, float] = {}
    if kind.burst == 0 or not 2 <= count <= HUB:
        return found
    times, looked = [at for at, _id in who], math.log(step(count))
    whole = (count - 1) * math.log(WINDOW / max(times[-1] - times[0], CLOSEST)) - CHANCE if count > 2 else 0.0
    for at, pk in who:
        best = whole + looked
        for scale in SCALES:
            around = bisect_right(times, at + scale) - bisect_left(times, at - scale)
            expected = count * 2 * scale / WINDOW
            if around > expected:
                best = max(best, around * math.log(around / expected) - around + expected)
        found[pk] = round(min(kind.burst, max(0.0, best - looked)), 6)
    return found


class Weigher:
    """Weighs pairs of alerts by what it was told of their entities' carriers."""

    def __init__(
        self, carriers: Mapping[int, Sequence[tuple[float, int]]], excluded: Collection[int] = ()
    ) -> None:
        self.carriers = carriers
        self.excluded = excluded
        self._routine: dict[int, bool] = {}
        self._bursts: dict[int, dict[int, float]] = {}

    def near(self, fact: Fact) -> Iterator[int]:
        """Who could be tied to ``fact``: its neighbours in time among the carriers of each entity."""
        for key in fact.keys:
            code = key >> 120
            if code in (RULE, HABIT) or key in self.excluded:
                continue
            who = self.carriers[key]
            if not 2 <= len(who) <= HUB:
                continue
            place = bisect_left(who, (fact.at, fact.id))
            for at, other in who[max(0, place - NEAR) : place + NEAR + 1]:
                if other != fact.id and surprise(len(who), abs(at - fact.at)) > 0:
                    yield other

    def weight(self, one: Fact, other: Fact) -> float:
        """How much ties the two."""
        gap = abs(one.at - other.at)
        best: dict[str, float] = {}
        for key in sorted(set(one.keys) & set(other.keys)):
            code = key >> 120
            if code in (RULE, HABIT) or key in self.excluded:
                continue
            told = surprise(len(self.carriers[key]), gap)
            if told > 0:
                kind, burst = BY_CODE[code][1], self.bursts(key)
                told += kind.prior + min(burst.get(one.id, 0.0), burst.get(other.id, 0.0))
                best[kind.says] = max(best.get(kind.says, -9.0), told)
        if not best:
            return 0.0
        habits = self.is_routine(one), self.is_routine(other)
        if all(habits) or (any(habits) and not best.keys() & {"artefact", "network", "vendor"}):
            return 0.0
        if "place" in best and "account" in best:
            low, high = sorted((best.pop("place"), best.pop("account")))
            best["place"] = high + max(0.0, min(low, BESIDE))
        bonus = 0.0 if any(habits) else min(self._rarity(one), self._rarity(other))
        return round(sum(best.values()) + bonus, 6)

    def bursts(self, key: int) -> dict[int, float]:
        """:func:`bursts` of a key's carriers."""
        known = self._bursts.get(key)
        if known is None:
            known = self._bursts[key] = bursts(BY_CODE[key >> 120][1], self.carriers[key])
        return known

    def is_routine(self, fact: Fact) -> bool:
        """Whether the same rule speaks of the same host day after day."""
        habit = fact.key_of(HABIT)
        if habit is None:
            return False
        known = self._routine.get(habit)
        if known is None:
            known = self._routine[habit] = routine(self.carriers[habit])
        return known

    def _rarity(self, fact: Fact) -> float:
        rule = fact.key_of(RULE)
        return 0.0 if rule is None else rule_rarity(len(self.carriers[rule]))


def routine(who: Sequence[tuple[float, int]]) -> bool:
    """Whether carriers of a habit are spread over so many days that it is one."""
    return len(who) > HUB or len({int(at // 86_400) for at, _id in who}) >= ROUTINE_DAYS


def ties_of(facts: Collection[Fact], source: Carriers, excluded: Collection[int] = ()) -> list[Tie]:
    """Every tie that one of ``facts`` has, each once."""
    weigher = Weigher(source.carriers({key for fact in facts for key in fact.keys}), excluded)
    pairs = {(min(fact.id, other), max(fact.id, other)) for fact in facts for other in weigher.near(fact)}
    known = {fact.id: fact for fact in facts}
    others = {pk for pair in pairs for pk in pair} - known.keys()
    known.update(source.facts(others))
    missing = {key for pk in others if pk in known for key in known[pk].keys} - weigher.carriers.keys()
    weigher.carriers = {**weigher.carriers, **source.carriers(missing)} if missing else weigher.carriers
    ties = []
    for one, other in sorted(pairs):
        if one in known and other in known:
            weight = weigher.weight(known[one], known[other])
            if weight >= ENOUGH:
                ties.append(Tie(weight, one, other))
    return ties


def disturbed(key: int, before: Sequence[tuple[float, int]], after: Sequence[tuple[float, int]]) -> set[int]:
    """Alerts whose ties may be others since the carriers of ``key`` are ``after`` and no longer ``before``."""
    code = key >> 120
    everybody = {pk for _at, pk in (*before, *after)}
    if code == RULE:
        return set() if rule_rarity(len(before)) == rule_rarity(len(after)) else everybody
    if code == HABIT:
        return set() if routine(before) == routine(after) else everybody
    if len(before) > HUB and len(after) > HUB:
        return set()
    if max(len(before), len(after)) > HUB or step(len(before)) != step(len(after)):
        return everybody
    old, new = bursts(BY_CODE[code][1], before), bursts(BY_CODE[code][1], after)
    touched = {pk for pk in everybody if old.get(pk) != new.get(pk)}
    for changed in set(before) ^ set(after):
        for who in (before, after):
            place = bisect_left(who, changed)
            touched |= {pk for _at, pk in who[max(0, place - NEAR) : place + NEAR + 1]}
    return touched


def region(
    start: Collection[int], source: Carriers, excluded: Collection[int] = ()
) -> tuple[set[int], list[Tie]]:
    """Everything that is tied to ``start``, however far, and all ties in there."""
    seen, ties, frontier = set(start), {}, set(start)
    while frontier:
        reached = set()
        for tie in ties_of(list(source.facts(frontier).values()), source, excluded):
            ties[tie.one, tie.other] = tie
            reached |= {tie.one, tie.other}
        frontier = reached - seen
        seen |= frontier
    return seen, list(ties.values())


def partition(ties: Iterable[Tie], cap: int | None = LARGEST) -> list[frozenset[int]]:
    """Groups of whoever is tied, strongest ties first: what would pass ``cap`` stays apart at its weakest tie.

    A group of one is left where everything that it is tied to is full.
    """
    parent: dict[int, int] = {}
    size: dict[int, int] = {}

    def root(pk: int) -> int:
        parent.setdefault(pk, pk)
        while parent[pk] != pk:
            parent[pk] = parent[parent[pk]]
            pk = parent[pk]
        return pk

    for tie in sorted(ties, key=lambda tie: (-tie.weight, tie.one, tie.other)):
        one, other = sorted((root(tie.one), root(tie.other)))
        together = size.get(one, 1) + size.get(other, 1)
        if one != other and (cap is None or together <= cap):
            parent[other], size[one] = one, together
    groups: dict[int, set[int]] = {}
    for pk in parent:
        groups.setdefault(root(pk), set()).add(pk)
    return [frozenset(group) for group in groups.values()]


class Memory:
    """Alerts in memory: how a whole window is grouped at once."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._facts = {fact.id: fact for fact in facts}
        self._carriers: dict[int, list[tuple[float, int]]] = {}
        for fact in sorted(self._facts.values(), key=lambda fact: (fact.at, fact.id)):
            for key in fact.keys:
                self._carriers.setdefault(key, []).append((fact.at, fact.id))

    def facts(self, ids: Collection[int]) -> Mapping[int, Fact]:
        """The alerts of these numbers."""
        return {pk: self._facts[pk] for pk in ids}

    def carriers(self, keys: Collection[int]) -> Mapping[int, Sequence[tuple[float, int]]]:
        """Who carries each key."""
        return {key: self._carriers[key] for key in keys}

    def groups(self, excluded: Collection[int] = ()) -> list[frozenset[int]]:
        """All groups there are."""
        found = partition(ties_of(list(self._facts.values()), self, excluded))
        return [group for group in found if len(group) > 1]
