"""Suggested incidents: open alerts that are in no incident and share an entity.

Nothing is stored but dismissals. A suggestion's id is a digest of partner, entity and value, so it names the same group
tomorrow; its score is a sum whose parts the explanation lists.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from alerts.models import SEVERITY_RANK, Alert
from alerts.querysets import AlertQuerySet
from alerts.services.locks import lock_alerts
from incidents.models import Incident, IncidentAlert, SuggestionDismissal
from incidents.services.common import lock_incident
from incidents.services.links import link_alerts
from incidents.services.opening import open_incident
from opensoar import clock
from opensoar.accounts.models import Partner, ProductSettings, User
from opensoar.actors import Actor
from opensoar.errors import Conflict, NotFound
from opensoar.ids import first_id_at
from opensoar.text import limited_text

# How much sharing it says, strongest first: who shares a vendor's group belongs together, a target may be a busy server.
ENTITY_WEIGHT = {"source_ip": 20, "group_key": 18, "hostname": 15, "username": 12, "dest_ip": 5}
SHOWN_ALERTS = 20
SHOWN_SUGGESTIONS = 50
SEVERITIES = list(SEVERITY_RANK)

# The innermost query is a queryset's own SQL, so that the window and visible_to() are written once. An address that is
# everybody's (unspecified, loopback) groups nothing.
_GROUPS = """
    SELECT * FROM (
        SELECT g.partner_id, v.entity, v.value, array_agg(g.id ORDER BY g.id DESC) AS ids, max(g.severity_rank) AS rank,
               min(g.created_at), max(g.created_at) AS last_seen, count(DISTINCT g.rule_name),
               encode(sha256(convert_to(g.partner_id || ':' || v.entity || ':' || v.value, 'UTF8')), 'hex') AS suggestion_id
        FROM ({alerts}) AS g
        CROSS JOIN LATERAL (VALUES
            ('source_ip', host(g.source_ip)), ('dest_ip', host(g.dest_ip)), ('hostname', lower(g.hostname)),
            ('username', lower(g.username)), ('group_key', g.group_key)
        ) AS v (entity, value)
        WHERE v.value <> '' AND v.value NOT IN ('0.0.0.0', '::', '127.0.0.1', '::1')
        GROUP BY g.partner_id, v.entity, v.value
        HAVING count(*) >= 2
    ) AS s
    WHERE {which}
    ORDER BY s.rank DESC, cardinality(s.ids) DESC, s.last_seen DESC
    LIMIT 500
"""
# The newest dismissal holds until an alert joins that it had not seen.
_NOT_DISMISSED = """NOT coalesce((
    SELECT d.seen @> s.ids FROM incidents_suggestiondismissal d
    WHERE d.suggestion_id = s.suggestion_id ORDER BY d.id DESC LIMIT 1
), false)"""


@dataclass(slots=True)
class Suggestion:
    """Two or more alerts that may be one incident. ``alerts`` are the newest 20, ``alert_ids`` all, newest first."""

    id: str
    partner_id: UUID
    entity: str
    value: str
    alert_ids: list[UUID]
    severity: str
    score: int
    said: str
    parts: list[tuple[int, str]]
    first_seen: datetime
    last_seen: datetime
    also: list[tuple[str, str]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    @property
    def why(self) -> str:
        """One sentence: what these alerts share, and within which time."""
        if not self.also:
            return self.said
        what = ", ".join(f"{entity_label(entity)} {value}" for entity, value in self.also)
        return f"{self.said}; " + _("they also share %(what)s") % {"what": what}

    @property
    def made(self) -> str:
        """How the score adds up."""
        return ", ".join(f"{words} (+{points})" for points, words in self.parts if points)

    @property
    def explanation(self) -> str:
        """Both in one."""
        return self.why.replace(self.said, f"{self.said}: {self.made}", 1)

    @property
    def shared(self) -> list[tuple[str, str]]:
        """What is shared, as (observable type, value)."""
        types = {"source_ip": "ip", "dest_ip": "ip", "group_key": "other"}
        return [
            (types.get(entity, entity), value) for entity, value in ((self.entity, self.value), *self.also)
        ]

    @property
    def partner(self) -> Partner:
        """Whose alerts they are."""
        return self.alerts[0].partner if self.alerts else Partner.objects.get(pk=self.partner_id)

    @property
    def alert_count(self) -> int:
        """How many alerts it has in all."""
        return len(self.alert_ids)

    @property
    def title(self) -> str:
        """What the incident would be called."""
        words = {"entity": entity_label(self.entity), "value": self.value, "count": self.alert_count}
        return _("%(count)d alerts with %(entity)s %(value)s") % words


def entity_label(entity: str) -> str:
    """What people call an entity."""
    return {
        "source_ip": _("source IP"),
        "dest_ip": _("destination IP"),
        "hostname": _("host"),
        "username": _("user"),
        "group_key": _("vendor group"),
    }[entity]


def suggestions(actor: Actor, *, limit: int = SHOWN_SUGGESTIONS) -> list[Suggestion]:
    """What ``actor`` could open, best first; without what was dismissed and has seen nothing new."""
    found = _without_twins(_groups(actor))
    found.sort(key=lambda s: (-s.score, -s.last_seen.timestamp(), s.id))
    found = _without_parts(found)[:limit]
    shown = {pk for suggestion in found for pk in suggestion.alert_ids[:SHOWN_ALERTS]}
    alerts = {
        alert.pk: alert for alert in Alert.objects.visible_to(actor).with_related().filter(pk__in=shown)
    }
    for suggestion in found:
        suggestion.alerts = [alerts[pk] for pk in suggestion.alert_ids[:SHOWN_ALERTS] if pk in alerts]
    return found


@transaction.atomic
def accept_suggestion(
    *,
    actor: Actor,
    suggestion_id: str,
    title: str | None = None,
    owner: User | UUID | str | None = None,
    incident: Incident | None = None,
) -> Incident:
    """Open an incident with the suggestion's alerts, or add them to ``incident``.

    Recomputed here, and again once the alerts are locked: who accepts second gets :class:`Conflict`, not a twin.
    """
    if incident is not None:
        incident = lock_incident(actor, incident)
    suggestion = suggestion_named(actor, suggestion_id)
    locked = lock_alerts(actor, suggestion.alert_ids)
    free = set(_candidates(actor).filter(pk__in=suggestion.alert_ids).values_list("pk", flat=True))
    alerts = [alert for alert in locked if alert.pk in free]
    if len(alerts) < 2:
        raise Conflict(_("Somebody was faster: these alerts are in an incident or resolved"))
    if incident is not None:
        return link_alerts(actor=actor, incident=incident, alerts=alerts)[0]
    return open_incident(
        actor=actor,
        title=title or suggestion.title,
        severity=max((alert.severity for alert in alerts), key=SEVERITY_RANK.__getitem__),
        description=suggestion.why,
        owner=owner,
        alerts=alerts,
        suggestion_id=suggestion.id,
    )


@transaction.atomic
def dismiss_suggestion(*, actor: Actor, suggestion_id: str, reason: str = "") -> SuggestionDismissal:
    """Say no. It comes back when an alert joins that was not there now.

    The same alerts may share more than this entity, and only the strongest was shown: the answer is the same for all.
    """
    suggestion, reason = suggestion_named(actor, suggestion_id), limited_text(reason, field="reason")
    twins = [
        s for s in _groups(actor) if s.id != suggestion.id and set(s.alert_ids) == set(suggestion.alert_ids)
    ]
    dismissals = [
        SuggestionDismissal(
            suggestion_id=one.id,
            partner_id=one.partner_id,
            seen=one.alert_ids,
            reason=reason,
            dismissed_by_id=actor.user_id,
            dismissed_at=clock.now(),
        )
        for one in (suggestion, *twins)
    ]
    return SuggestionDismissal.objects.bulk_create(dismissals)[0]


def _candidates(actor: Actor) -> AlertQuerySet:
    """Open alerts of the window that are in no incident."""
    since = clock.now() - timedelta(days=ProductSettings.load().suggestion_days)
    linked = Exists(IncidentAlert.objects.filter(alert=OuterRef("pk")))
    # Ids tell the time too, and are indexed.
    recent = Alert.objects.visible_to(actor).open().filter(pk__gte=first_id_at(since), created_at__gte=since)
    return recent.filter(~linked)


def suggestion_named(actor: Actor, suggestion_id: str) -> Suggestion:
    """The suggestion of that id as it is now, without its alerts. Raises :class:`NotFound`."""
    found = _groups(actor, suggestion_id)
    if not found:
        raise NotFound(_("Suggestion not found"))
    return found[0]


def _groups(actor: Actor, suggestion_id: str | None = None) -> list[Suggestion]:
    columns = (
        "id", "partner_id", "source_ip", "dest_ip", "hostname", "username", "group_key", "severity_rank", "created_at",
        "rule_name",
    )  # fmt: skip
    inner, params = _candidates(actor).order_by().values(*columns).query.sql_with_params()
    which = _NOT_DISMISSED
    if suggestion_id is not None:
        which, params = "s.suggestion_id = %s", (*params, suggestion_id.replace("\x00", ""))
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS.format(alerts=inner, which=which), params)
        return [_suggestion(row) for row in cursor.fetchall()]


def _suggestion(row: tuple[Any, ...]) -> Suggestion:
    partner_id, entity, value, ids, rank, first_seen, last_seen, rules, suggestion_id = row
    said, parts = _score(entity, value, len(ids), rank, rules, last_seen - first_seen)
    return Suggestion(
        id=suggestion_id, partner_id=partner_id, entity=entity, value=value, alert_ids=list(ids),
        severity=SEVERITIES[rank], score=sum(points for points, _words in parts), said=said, parts=parts,
        first_seen=first_seen, last_seen=last_seen,
    )  # fmt: skip


def _score(
    entity: str, value: str, count: int, rank: int, rules: int, span: timedelta
) -> tuple[str, list[tuple[int, str]]]:
    """The sentence, and the parts of a score between 0 and 100."""
    label, hours = entity_label(entity), span.total_seconds() / 3600
    within = (
        _("%(n)d minutes") % {"n": max(2, round(hours * 60))}
        if hours < 2
        else _("%(n)d hours") % {"n": round(hours)}
    )
    parts = [
        (10 * rank, _("highest severity %(severity)s") % {"severity": SEVERITIES[rank]}),
        (min(25, round(8 * math.log2(count))), _("%(count)d alerts") % {"count": count}),
        (min(15, 5 * max(0, rules - 1)), _("%(count)d different rules") % {"count": rules}),
        (ENTITY_WEIGHT[entity], _("shared %(entity)s") % {"entity": label}),
    ]
    said = _("%(count)d alerts share %(entity)s %(value)s within %(within)s") % {
        "count": count, "entity": label, "value": value, "within": within,
    }  # fmt: skip
    return said, parts


def _without_twins(found: Iterable[Suggestion]) -> list[Suggestion]:
    """One suggestion per set of alerts: that of the strongest entity, which says what else they share."""
    by_alerts: dict[frozenset[UUID], list[Suggestion]] = {}
    for suggestion in found:
        by_alerts.setdefault(frozenset(suggestion.alert_ids), []).append(suggestion)
    kept = []
    for twins in by_alerts.values():
        first, *others = sorted(twins, key=lambda s: (-ENTITY_WEIGHT[s.entity], s.value))
        first.also = [(s.entity, s.value) for s in others]
        kept.append(first)
    return kept


def _without_parts(found: list[Suggestion]) -> list[Suggestion]:
    """Without those whose alerts are all in a better one, unless they share something more telling than that one."""
    kept: list[tuple[Suggestion, frozenset[UUID]]] = []
    for suggestion in found:
        ids, weight = frozenset(suggestion.alert_ids), ENTITY_WEIGHT[suggestion.entity]
        if not any(weight <= ENTITY_WEIGHT[better.entity] and ids <= whole for better, whole in kept):
            kept.append((suggestion, ids))
    return [suggestion for suggestion, _ids in kept]
