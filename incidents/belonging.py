"""To which open incident an alert possibly belongs, by rare entities that it shares with the incident's alerts."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.utils.translation import gettext as _

from alerts.models import Alert
from incidents.candidates import candidates
from incidents.entities import Known, entity_label, known_alerts
from incidents.evidence import ENTITY_WEIGHT
from incidents.grouping import BY_CODE, HUB
from incidents.models import GroupedAlert, Incident, IncidentAlert, IncidentEntry
from incidents.services.links import link_alerts
from incidents.suggestion_store import SUGGESTER, Tables, excluded_keys
from opensoar.accounts.models import ProductSettings
from opensoar.actors import Actor
from opensoar.errors import ServiceError

logger = logging.getLogger(__name__)
TELLING = ("artefact", "network", "vendor")  # what ties alerts also where much time lies between them
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Belonging:
    """An incident that an alert may belong to, how sure that is (0 to 100), and why in one sentence."""

    incident: Incident
    score: int
    why: str


def belongings(actor: Actor, alert: Alert) -> list[Belonging]:
    """Open incidents that ``alert`` possibly belongs to, best first; none for one that is worked already."""
    if not candidates(actor).filter(pk=alert.pk).exists():
        return []
    return _found(actor, known_alerts([alert.pk])[alert.pk.int])[:SHOWN]


def _found(actor: Actor, known: Known) -> list[Belonging]:
    keys = set(known.fact.keys) - excluded_keys()
    carriers = {
        key: {pk for _at, pk in who} - {known.fact.id}
        for key, who in Tables().carriers(keys).items()
        if BY_CODE[key >> 120][1].says not in ("rule", "habit") and len(who) <= HUB
    }
    group = GroupedAlert.objects.filter(alert_id=known.alert.pk).values_list("group_id", flat=True).first()
    fellows = set[int]()
    if group is not None:
        rows = GroupedAlert.objects.filter(group_id=group).values_list("alert_id", flat=True)
        fellows = {pk.int for pk in rows}
    near = {
        key: who if BY_CODE[key >> 120][1].says in TELLING else who & fellows for key, who in carriers.items()
    }
    links = IncidentAlert.objects.filter(
        alert_id__in=_ids(near.values()), incident__in=Incident.objects.visible_to(actor).open()
    )
    inside: dict[UUID, set[int]] = {}
    for incident_id, alert_id in links.values_list("incident_id", "alert_id"):
        inside.setdefault(incident_id, set()).add(alert_id.int)
    incidents = Incident.objects.visible_to(actor).with_related().in_bulk(list(inside))
    found = [
        _told(incidents[pk], ids, near, carriers, known) for pk, ids in inside.items() if pk in incidents
    ]
    return sorted(found, key=lambda one: (-one.score, -one.incident.number))


def _ids(sets: Iterable[set[int]]) -> list[UUID]:
    """All the alerts of these sets, as ids."""
    return [UUID(int=pk) for pk in set[int]().union(*sets)]


def _told(
    incident: Incident, ids: set[int], near: dict[int, set[int]], carriers: dict[int, set[int]], known: Known
) -> Belonging:
    """The strongest entities first; each counts by the part of its alerts that is in the incident."""
    parts = []
    for key, who in near.items():
        here = len(who & ids)
        if here:
            entity, (_kind, value) = known.role(key), known.entities[key]
            says, total = BY_CODE[key >> 120][1].says, len(carriers[key])
            parts.append((ENTITY_WEIGHT[entity] * here / total, says, entity, value, here, total))
    parts.sort(reverse=True)
    best: dict[str, float] = {}
    for points, says, *_rest in parts:
        best[says] = max(best.get(says, 0.0), points)
    listed = _(" and ").join(
        _("%(entity)s %(value)s with %(here)d of its alerts (of %(total)d others that carry it)")
        % {"entity": entity_label(entity), "value": value, "here": here, "total": total}
        for _points, _says, entity, value, here, total in parts[:2]
    )
    why = _("shares %(what)s") % {"what": listed}
    return Belonging(incident, min(100, round(4 * sum(best.values()))), why)


def link_by_rule(fresh: Iterable[Known]) -> int:
    """Link new alerts to the incident that they belong to with the score of the settings; how many were.

    Off without a score. An alert that somebody took out of an incident is never put there again.
    """
    score = ProductSettings.load().auto_link_score
    if score is None:
        return 0
    linked = 0
    for known in fresh:
        try:
            with transaction.atomic():
                linked += _link(known, score)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # whatever listens to links must not keep all others from being grouped
            logger.exception("alert %s was not linked by rule", known.alert.pk)
    return linked


def _link(known: Known, score: int) -> int:
    if not candidates(SUGGESTER).filter(pk=known.alert.pk).exists():
        return 0
    for found in _found(SUGGESTER, known):
        if found.score < score or _was_taken_out(found.incident, known.alert):
            continue
        why = _("score %(score)d: %(why)s") % {"score": found.score, "why": found.why}
        try:
            with transaction.atomic():
                return link_alerts(actor=SUGGESTER, incident=found.incident, alerts=[known.alert], why=why)[1]
        except ServiceError:  # moved to another partner, or archived, meanwhile
            continue
    return 0


def _was_taken_out(incident: Incident, alert: Alert) -> bool:
    """The timeline remembers it."""
    taken = IncidentEntry.objects.filter(
        subject_id=incident.pk, action="alert_unlinked", payload__alert_id=str(alert.pk)
    )
    return taken.exists()
