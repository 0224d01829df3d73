"""Incidents by number or id: the one place that fetches and authorises."""

from __future__ import annotations

import re

from django.utils.translation import gettext as _

from incidents.models import Handoff, Incident, SuggestionExclusion
from opensoar.access import parse_id, require
from opensoar.actors import Actor
from opensoar.errors import NotFound

_NUMBER = re.compile(r"(?:INC-)?([0-9]{1,18})", re.IGNORECASE | re.ASCII)


def get_incident_for(actor: Actor, number_or_id: object, capability: str) -> Incident:
    """The incident of a number (``1042``, ``INC-1042``) or id, with what a row shows.

    Raises :class:`NotAllowed`, or :class:`NotFound` if missing or foreign.
    """
    require(actor, capability)
    missing = _("Incident not found")
    incidents = Incident.objects.visible_to(actor).with_related()
    if number := _NUMBER.fullmatch(str(number_or_id)):
        incident = incidents.filter(number=int(number[1])).first()
    else:
        incident = incidents.filter(pk=parse_id(number_or_id, missing=missing)).first()
    if incident is None:
        raise NotFound(missing)
    return incident


def get_handoff_for(actor: Actor, pk: object, capability: str) -> Handoff:
    """The handoff note; :class:`NotAllowed`, or :class:`NotFound` if missing or of a foreign incident."""
    require(actor, capability)
    missing = _("Handoff not found")
    handoffs = Handoff.objects.select_related("incident", "from_user", "to_user")
    handoff = handoffs.filter(
        pk=parse_id(pk, missing=missing), incident__in=Incident.objects.visible_to(actor)
    ).first()
    if handoff is None:
        raise NotFound(missing)
    return handoff


def get_exclusion_for(actor: Actor, pk: object, capability: str) -> SuggestionExclusion:
    """The exclusion; :class:`NotAllowed`, or :class:`NotFound` if missing or of a foreign partner."""
    require(actor, capability)
    missing = _("Exclusion not found")
    rows = SuggestionExclusion.objects.visible_to(actor).kept().select_related("partner")
    found = rows.filter(pk=parse_id(pk, missing=missing)).first()
    if found is None:
        raise NotFound(missing)
    return found
