"""Chainable questions about incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from opensoar.actors import Actor

if TYPE_CHECKING:
    from incidents.models import Incident, SuggestionExclusion, SuggestionGroup


class IncidentQuerySet(models.QuerySet["Incident"]):
    """Incidents."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        return self if actor.partner_ids is None else self.filter(partner_id__in=actor.partner_ids)

    def open(self) -> Self:
        """Not closed."""
        return self.exclude(status="closed")

    def with_related(self) -> Self:
        """What a row shows, in one query: people, partner and ``alert_count``."""
        from incidents.models import IncidentAlert

        counts = (
            IncidentAlert.objects.filter(incident=OuterRef("pk"), alert__archived_at__isnull=True)
            .order_by().values("incident").annotate(n=Count("alert_id")).values("n")
        )  # fmt: skip
        return self.select_related("partner", "assigned_to").annotate(
            alert_count=Coalesce(Subquery(counts), 0)
        )


class SuggestionGroupQuerySet(models.QuerySet["SuggestionGroup"]):
    """Groups of alerts."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        return self if actor.partner_ids is None else self.filter(partner_id__in=actor.partner_ids)


class SuggestionExclusionQuerySet(models.QuerySet["SuggestionExclusion"]):
    """Entities that group nothing."""

    def visible_to(self, actor: Actor) -> Self:
        """One's partners' and everybody's."""
        if actor.partner_ids is None:
            return self
        return self.filter(Q(partner_id__in=actor.partner_ids) | Q(partner__isnull=True))

    def kept(self) -> Self:
        """Those that nobody has deleted."""
        return self.filter(deleted=False)
