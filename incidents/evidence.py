"""Why alerts are suggested as one incident: what they share, how rare that is, and a score with its parts.

A function of the alerts and of how many carry each entity in the window, so that whoever doubts a sentence can count
again. What is stored with a group is :meth:`Evidence.stored`; sentences are made when they are read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alerts.models import SEVERITY_RANK
from incidents.entities import Known, entity_label
from incidents.grouping import BY_CODE, HABIT, HUB, RULE, WINDOW_DAYS, kind_of

# How much sharing it says at the most, strongest first.
ENTITY_WEIGHT = {
    "hash": 20, "source_ip": 20, "group_key": 18, "url": 18, "domain": 16, "ip": 16, "hostname": 15, "username": 12,
    "email": 12, "cidr": 10, "dest_ip": 5, "process": 2,
}  # fmt: skip
SAID = 3  # entities that a sentence names
SEVERITIES = list(SEVERITY_RANK)


@dataclass(frozen=True, slots=True)
class Shared:
    """An entity in two or more of a group's alerts."""

    entity: str
    kind: str
    value: str
    count: int  # of the group's alerts
    hosts: int  # different ones among these
    total: int  # alerts of the window that carry it, these included

    @property
    def points(self) -> int:
        """Its part of the score: the more of those that carry it are here, the more."""
        return max(1, round(ENTITY_WEIGHT[self.entity] * self.count / self.total))

    @property
    def where(self) -> str:
        """On how many hosts, and where else it was seen."""
        elsewhere = self.total - self.count
        words = []
        if self.entity != "hostname" and self.hosts > 1:
            words.append(_("on %(n)d hosts") % {"n": self.hosts})
        if elsewhere:
            words.append(
                ngettext(
                    "in %(n)d other alert of the last %(days)d days",
                    "in %(n)d other alerts of the last %(days)d days", elsewhere,
                ) % {"n": elsewhere, "days": WINDOW_DAYS}
            )  # fmt: skip
        else:
            words.append(_("in no other alert of the last %(days)d days") % {"days": WINDOW_DAYS})
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is told of a group's alerts. ``seconds`` is the time from the first to the last."""

    count: int
    rank: int
    rules: int
    seconds: float
    shared: tuple[Shared, ...]

    @property
    def parts(self) -> list[tuple[int, str]]:
        """(points, words) whose sum is the score."""
        severity = SEVERITIES[self.rank]
        parts = [
            (10 * self.rank, _("highest severity %(severity)s") % {"severity": severity}),
            (min(25, round(8 * math.log2(self.count))), _("%(count)d alerts") % {"count": self.count}),
            (
                min(15, 5 * max(0, self.rules - 1)),
                _("%(count)d different rules") % {"count": self.rules},
            ),
        ]
        if self.shared:
            first = max(self.shared, key=lambda shared: shared.points)
            words = _("shared %(entity)s, %(count)d of its %(total)d alerts are here") % {
                "entity": entity_label(first.entity), "count": first.count, "total": first.total,
            }  # fmt: skip
            parts.append((first.points, words))
        return parts

    @property
    def score(self) -> int:
        """0 to 100."""
        return sum(points for points, _words in self.parts)

    @property
    def sentence(self) -> str:
        """One sentence: what these alerts share, and within which time."""
        words = {"count": self.count, "within": within(self.seconds)}
        if not self.shared:
            return _("%(count)d alerts in %(within)s are tied to one another") % words
        whole = [shared for shared in self.shared if shared.count == self.count]
        if whole:
            listed = _and([f"{entity_label(s.entity)} {s.value} ({s.where})" for s in whole[:SAID]])
            return _("%(count)d alerts in %(within)s share %(what)s") % {**words, "what": listed}
        listed = ", ".join(
            _("%(n)d share %(what)s")
            % {"n": s.count, "what": f"{entity_label(s.entity)} {s.value} ({s.where})"}
            for s in self.shared[:SAID]
        )
        return _("%(count)d alerts in %(within)s: %(what)s") % {**words, "what": listed}

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Evidence:
        """What :meth:`stored` gave."""
        return cls(**{**stored, "shared": tuple(Shared(**one) for one in stored["shared"])})


def within(seconds: float) -> str:
    """A time in words."""
    hours = seconds / 3_600
    if hours < 2:
        return _("%(n)d minutes") % {"n": max(2, round(hours * 60))}
    if hours < 72:
        return _("%(n)d hours") % {"n": round(hours)}
    return _("%(n)d days") % {"n": round(hours / 24)}


def _and(words: Sequence[str]) -> str:
    if len(words) == 1:
        return words[0]
    return _("%(some)s and %(last)s") % {"some": ", ".join(words[:-1]), "last": words[-1]}


def evidence(
    members: Collection[Known], totals: Mapping[int, int], excluded: Collection[int] = ()
) -> Evidence:
    """What ``members`` share; ``totals`` says of each key how many alerts of the window carry it.

    Named first is what says most, then what covers alerts that nothing named before covers. Hubs are not named.
    """
    carriers: dict[int, list[Known]] = {}
    for member in sorted(members, key=lambda member: member.fact.id):
        for key in member.fact.keys:
            if key >> 120 not in (RULE, HABIT) and key not in excluded and totals.get(key, 0) <= HUB:
                carriers.setdefault(key, []).append(member)
    found = {key: _shared(key, who, totals) for key, who in carriers.items() if len(who) > 1}
    times = [member.fact.at for member in members]
    return Evidence(
        count=len(members),
        rank=max(member.alert.severity_rank for member in members),
        rules=len({member.alert.rule_name for member in members} - {None, ""}),
        seconds=max(times) - min(times),
        shared=tuple(_told(found, carriers)),
    )


def _shared(key: int, who: list[Known], totals: Mapping[int, int]) -> Shared:
    roles = Counter(member.role(key) for member in who)
    entity = roles.most_common(1)[0][0] if len(roles) == 1 else "ip"
    hosts = {(member.alert.hostname or "").strip().lower() for member in who} - {""}
    value = who[0].entities[key][1]
    return Shared(entity, kind_of(key), value, len(who), len(hosts), max(totals.get(key, 0), len(who)))


def _told(found: dict[int, Shared], carriers: dict[int, list[Known]]) -> list[Shared]:
    """Strongest first among those that cover most; a network is not named beside its only address."""
    ids = {key: {member.fact.id for member in carriers[key]} for key in found}
    for key, shared in list(found.items()):
        if shared.kind == "cidr" and any(
            other.kind == "external_ip" and ids[key] == ids[one] for one, other in found.items()
        ):
            del found[key]
    told, covered = [], set[int]()
    while found:
        key = min(
            found,
            key=lambda key: (
                -len(ids[key] - covered), -found[key].points, BY_CODE[key >> 120][1].code, found[key].value,
            ),
        )  # fmt: skip
        covered |= ids[key]
        told.append(found.pop(key))
    return told[:10]
