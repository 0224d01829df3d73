"""Suggested incidents: open alerts that are in no incident and belong together by what they share.

Groups lie ready in tables (:mod:`incidents.suggestion_store`); what is read is held against the state of now, so that an
alert which was resolved or linked a moment ago is in none. A suggestion's id is that of its oldest alert.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from alerts.models import SEVERITY_RANK, Alert
from alerts.services.locks import lock_alerts
from incidents.candidates import candidates
from incidents.entities import entity_label
from incidents.evidence import SEVERITIES, Evidence, Shared
from incidents.models import GroupedAlert, Incident, SuggestionDismissal, SuggestionGroup
from incidents.services.common import lock_incident
from incidents.services.links import link_alerts
from incidents.services.opening import open_incident
from incidents.suggestion_store import renew, take_turn, tell
from opensoar import clock
from opensoar.accounts.models import Partner, User
from opensoar.actors import Actor
from opensoar.errors import Conflict, NotFound
from opensoar.text import limited_text

SHOWN_ALERTS = 20
SHOWN_SUGGESTIONS = 50
SPARE = 10  # groups read beyond those that are shown: some may be out of date

# The members of groups that may be suggested now; the inner query is a queryset's own SQL.
_MEMBERS = """
SELECT g.group_id, array_agg(c.id ORDER BY c.id DESC), bool_or(NOT g.dismissed)
FROM incidents_groupedalert g JOIN ({candidates}) AS c ON c.id = g.alert_id
WHERE g.group_id = ANY(%s) GROUP BY g.group_id HAVING count(*) > 1"""


HASHES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}  # by their length


def _type_of(shared: Shared) -> str:
    """The type of observable that an entity is."""
    if shared.entity == "hash":
        return HASHES.get(len(shared.value), "other")
    return {"source_ip": "ip", "dest_ip": "ip", "group_key": "other", "cidr": "other"}.get(
        shared.entity, shared.entity
    )


@dataclass(slots=True)
class Suggestion:
    """Two or more alerts that may be one incident. ``alerts`` are the newest 20, ``alert_ids`` all, newest first."""

    id: str
    partner_id: UUID
    evidence: Evidence
    alert_ids: list[UUID]
    first_seen: datetime
    last_seen: datetime
    alerts: list[Alert] = field(default_factory=list)

    @property
    def first(self) -> Shared | None:
        """The entity that says most."""
        return self.evidence.shared[0] if self.evidence.shared else None

    @property
    def entity(self) -> str | None:
        """The kind of the entity that says most."""
        return self.first.entity if self.first else None

    @property
    def value(self) -> str | None:
        """The entity that says most."""
        return self.first.value if self.first else None

    @property
    def severity(self) -> str:
        """The gravest of its alerts'."""
        return SEVERITIES[self.evidence.rank]

    @property
    def score(self) -> int:
        """0 to 100."""
        return self.evidence.score

    @property
    def why(self) -> str:
        """One sentence: what these alerts share, how rare that is, and within which time."""
        return self.evidence.sentence

    @property
    def made(self) -> str:
        """How the score adds up."""
        return ", ".join(f"{words} (+{points})" for points, words in self.evidence.parts if points)

    @property
    def explanation(self) -> str:
        """Both in one."""
        return f"{self.why}: {self.made}"

    @property
    def shared(self) -> list[tuple[str, str]]:
        """What is shared, as (type of observable, value), strongest first."""
        return [(_type_of(one), one.value) for one in self.evidence.shared[:4]]

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
        if self.first is None:
            return _("%(count)d alerts that belong together") % {"count": self.alert_count}
        words = {
            "entity": entity_label(self.first.entity), "value": self.first.value, "count": self.alert_count,
        }  # fmt: skip
        if self.first.count == self.alert_count:
            return (_("%(count)d alerts with %(entity)s %(value)s") % words)[:500]
        return (_("%(count)d alerts around %(entity)s %(value)s") % words)[:500]


def suggestions(actor: Actor, *, limit: int = SHOWN_SUGGESTIONS) -> list[Suggestion]:
    """What ``actor`` could open, best first; without what was dismissed and has seen nothing new."""
    best = SuggestionGroup.objects.visible_to(actor).filter(shown=True).order_by("-score", "-id")
    found = _current(actor, list(best[: limit + SPARE]))
    found.sort(key=lambda s: (-s.score, -s.last_seen.timestamp(), s.id))
    found = found[:limit]
    shown = {pk for suggestion in found for pk in suggestion.alert_ids[:SHOWN_ALERTS]}
    rows = Alert.objects.visible_to(actor).with_related().defer("normalized")
    alerts = {alert.pk: alert for alert in rows.filter(pk__in=shown)}
    for suggestion in found:
        suggestion.alerts = [alerts[pk] for pk in suggestion.alert_ids[:SHOWN_ALERTS] if pk in alerts]
    return found


def suggestion_named(actor: Actor, suggestion_id: str) -> Suggestion:
    """The suggestion of that id as it is now, dismissed or not, without its alerts. Raises :class:`NotFound`."""
    try:
        pk = UUID(suggestion_id)
    except ValueError:
        raise NotFound(_("Suggestion not found")) from None
    found = _current(actor, list(SuggestionGroup.objects.visible_to(actor).filter(pk=pk)), dismissed=True)
    if not found:
        raise NotFound(_("Suggestion not found"))
    return found[0]


def _current(actor: Actor, groups: list[SuggestionGroup], *, dismissed: bool = False) -> list[Suggestion]:
    """What of these groups may be suggested now; the evidence is counted anew where a member has gone since."""
    inner, params = candidates(actor).order_by().values("id").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_MEMBERS.format(candidates=inner), (*params, [group.pk for group in groups]))
        members = {pk: ids for pk, ids, wanted in cursor.fetchall() if wanted or dismissed}
    current, changed = [], {}
    for group in groups:
        ids = members.get(group.pk)
        if ids is None:
            continue
        if group.told and group.told["count"] == len(ids) and group.first_seen and group.last_seen:
            what = Evidence.read(group.told)
            current.append(
                Suggestion(str(group.pk), group.partner_id, what, ids, group.first_seen, group.last_seen)
            )
        else:
            changed[group.pk] = ids
    partners = {group.pk: group.partner_id for group in groups}
    for pk, (what, known) in (tell(changed) if changed else {}).items():
        times = [one.alert.created_at for one in known]
        current.append(Suggestion(str(pk), partners[pk], what, changed[pk], min(times), max(times)))
    return current


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

    Looked at anew here, and again once the alerts are locked: who accepts second gets :class:`Conflict`, not a twin.
    """
    if incident is not None:
        incident = lock_incident(actor, incident)
    suggestion = suggestion_named(actor, suggestion_id)
    locked = lock_alerts(actor, suggestion.alert_ids)
    free = set(candidates(actor).filter(pk__in=suggestion.alert_ids).values_list("pk", flat=True))
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
    """Say no. It comes back when an alert joins that was not there now."""
    take_turn()
    suggestion, reason = suggestion_named(actor, suggestion_id), limited_text(reason, field="reason")
    dismissal = SuggestionDismissal.objects.create(
        suggestion_id=suggestion.id,
        partner_id=suggestion.partner_id,
        seen=suggestion.alert_ids,
        reason=reason,
        dismissed_by_id=actor.user_id,
        dismissed_at=clock.now(),
    )
    GroupedAlert.objects.filter(alert_id__in=suggestion.alert_ids).update(dismissed=True)
    renew([UUID(suggestion.id)])
    return dismissal
