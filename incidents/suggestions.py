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
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alerts.models import SEVERITY_RANK, Alert
from alerts.querysets import AlertQuerySet
from alerts.services.locks import lock_alerts
from incidents.models import Incident, IncidentAlert, SuggestionDismissal
from incidents.services.common import lock_incident
from incidents.services.links import link_alerts
from incidents.services.opening import open_incident
from opensoar.accounts.models import Partner, ProductSettings, User
from opensoar.actors import Actor
from opensoar.errors import Conflict, NotFound
from opensoar.text import limited_text

# How much sharing it says, strongest first: who shares a vendor's group belongs together, a target may be a busy server.
ENTITY_WEIGHT = {"source_ip": 20, "group_key": 18, "hostname": 15, "username": 12, "dest_ip": 5}
SHOWN_ALERTS = 20
SHOWN_SUGGESTIONS = 50
MAX_GROUPS = 500
SEVERITIES = list(SEVERITY_RANK)

# The inner query is a queryset's own SQL, so that the window and visible_to() are written once. An address that is
# everybody's (unspecified, loopback) groups nothing.
_GROUPS = """
    SELECT g.partner_id, v.entity, v.value, array_agg(g.id ORDER BY g.id DESC), max(g.severity_rank),
           min(g.created_at), max(g.created_at), count(DISTINCT g.rule_name),
           encode(sha256(convert_to(g.partner_id || ':' || v.entity || ':' || v.value, 'UTF8')), 'hex') AS suggestion_id
    FROM ({alerts}) AS g
    CROSS JOIN LATERAL (VALUES
        ('source_ip', host(g.source_ip)), ('dest_ip', host(g.dest_ip)), ('hostname', lower(g.hostname)),
        ('username', lower(g.username)), ('group_key', g.group_key)
    ) AS v (entity, value)
    WHERE v.value <> '' AND v.value NOT IN ('0.0.0.0', '::', '127.0.0.1', '::1')
    GROUP BY g.partner_id, v.entity, v.value
    HAVING count(*) >= 2 {having}
    ORDER BY max(g.severity_rank) DESC, count(*) DESC, max(g.created_at) DESC
    LIMIT {limit}
"""


@dataclass(slots=True)
class Suggestion:
    """Two or more alerts that may be one incident. ``alerts`` are the newest 20, ``alert_ids`` all, newest first."""

    id: str
    partner: Partner
    entity: str
    value: str
    alert_ids: list[UUID]
    severity: str
    score: int
    explanation: str
    first_seen: datetime
    last_seen: datetime
    alerts: list[Alert] = field(default_factory=list)

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
    found = _without_dismissed(_groups(actor))
    found = _without_twins(found)
    found.sort(key=lambda s: (-s.score, -s.last_seen.timestamp(), s.id))
    found = found[:limit]
    shown = {pk for suggestion in found for pk in suggestion.alert_ids[:SHOWN_ALERTS]}
    alerts = {alert.pk: alert for alert in Alert.objects.visible_to(actor).with_related().filter(pk__in=shown)}
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
    suggestion = _one(actor, suggestion_id)
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
        description=suggestion.explanation,
        owner=owner,
        alerts=alerts,
        suggestion_id=suggestion.id,
    )


@transaction.atomic
def dismiss_suggestion(*, actor: Actor, suggestion_id: str, reason: str = "") -> SuggestionDismissal:
    """Say no. It comes back when an alert joins that was not there now."""
    suggestion = _one(actor, suggestion_id)
    dismissal = SuggestionDismissal(
        suggestion_id=suggestion.id,
        partner=suggestion.partner,
        seen=suggestion.alert_ids,
        reason=limited_text(reason, field="reason"),
        dismissed_by_id=actor.user_id,
    )
    dismissal.save(force_insert=True)
    return dismissal


def _candidates(actor: Actor) -> AlertQuerySet:
    """Open alerts of the window that are in no incident."""
    since = timezone.now() - timedelta(days=ProductSettings.load().suggestion_days)
    linked = Exists(IncidentAlert.objects.filter(alert=OuterRef("pk")))
    return Alert.objects.visible_to(actor).open().filter(~linked, created_at__gte=since)


def _one(actor: Actor, suggestion_id: str) -> Suggestion:
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
    having, limit = "", MAX_GROUPS
    if suggestion_id is not None:
        having = "AND encode(sha256(convert_to(g.partner_id || ':' || v.entity || ':' || v.value, 'UTF8')), 'hex') = %s"
        params, limit = (*params, suggestion_id.replace("\x00", "")), 1
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS.format(alerts=inner, having=having, limit=limit), params)
        rows = cursor.fetchall()
    partners = Partner.objects.in_bulk({row[0] for row in rows})
    return [_suggestion(row, partners) for row in rows]


def _suggestion(row: tuple[Any, ...], partners: dict[UUID, Partner]) -> Suggestion:
    partner_id, entity, value, ids, rank, first_seen, last_seen, rules, suggestion_id = row
    score, explanation = _score(entity, value, len(ids), rank, rules, last_seen - first_seen)
    return Suggestion(
        id=suggestion_id, partner=partners[partner_id], entity=entity, value=value, alert_ids=list(ids),
        severity=SEVERITIES[rank], score=score, explanation=explanation, first_seen=first_seen, last_seen=last_seen,
    )  # fmt: skip


def _score(entity: str, value: str, count: int, rank: int, rules: int, span: timedelta) -> tuple[int, str]:
    """0 to 100, and the sentence that adds it up."""
    severity, volume = 10 * rank, min(25, round(8 * math.log2(count)))
    variety, weight = min(15, 5 * max(0, rules - 1)), ENTITY_WEIGHT[entity]
    hours = span.total_seconds() / 3600
    within = _("%(n).0f minutes") % {"n": hours * 60} if hours < 2 else _("%(n).0f hours") % {"n": hours}
    explanation = _(
        "%(count)d alerts share %(entity)s %(value)s within %(within)s: highest severity %(severity)s (+%(s)d), "
        "number of alerts (+%(v)d), %(rules)s (+%(r)d), shared %(entity)s (+%(w)d)"
    ) % {
        "count": count, "entity": entity_label(entity), "value": value, "within": within,
        "severity": SEVERITIES[rank], "s": severity, "v": volume, "r": variety, "w": weight,
        "rules": ngettext("%d rule", "%d different rules", rules) % rules,
    }  # fmt: skip
    return severity + volume + variety + weight, explanation


def _without_dismissed(found: Iterable[Suggestion]) -> list[Suggestion]:
    """Those that nobody dismissed, or that an alert joined since."""
    found = list(found)
    dismissals = SuggestionDismissal.objects.filter(suggestion_id__in=[s.id for s in found])
    newest = dismissals.order_by("suggestion_id", "-id").distinct("suggestion_id")
    seen = {pk: set(ids) for pk, ids in newest.values_list("suggestion_id", "seen")}
    return [s for s in found if s.id not in seen or not seen[s.id].issuperset(s.alert_ids)]


def _without_twins(found: Iterable[Suggestion]) -> list[Suggestion]:
    """One suggestion per set of alerts: that of the strongest entity, which says what else they share."""
    by_alerts: dict[frozenset[UUID], list[Suggestion]] = {}
    for suggestion in found:
        by_alerts.setdefault(frozenset(suggestion.alert_ids), []).append(suggestion)
    kept = []
    for twins in by_alerts.values():
        first, *others = sorted(twins, key=lambda s: (-ENTITY_WEIGHT[s.entity], s.value))
        if others:
            also = ", ".join(f"{entity_label(s.entity)} {s.value}" for s in others)
            first.explanation += "; " + _("they also share %(what)s") % {"what": also}
        kept.append(first)
    return kept
