"""Chainable questions about alerts. Every list, page, search, count and suggestion starts from ``visible_to``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models
from django.db.models.functions import Length

from opensoar.actors import Actor

if TYPE_CHECKING:
    from alerts.models import Alert, Delivery, Observable
    from alerts.models_ledger import SourceHealth


class AlertQuerySet(models.QuerySet["Alert"]):
    """Alerts; archived ones are out of sight."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        queryset = self.filter(archived_at__isnull=True)
        return queryset if actor.partner_ids is None else queryset.filter(partner_id__in=actor.partner_ids)

    def open(self) -> Self:
        """Not resolved."""
        return self.exclude(status="resolved")

    def with_related(self) -> Self:
        """What a row shows, in one query."""
        return self.select_related("partner", "assigned_to", "counter")


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Inbound bodies."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        return self if actor.partner_ids is None else self.filter(partner_id__in=actor.partner_ids)

    def of_alert(self, alert_id: UUID) -> Self:
        """The bodies that made an alert, first to last."""
        return self.filter(alert_id=alert_id).order_by("id")

    def listed(self) -> Self:
        """What a row shows: the ``size`` of the body in place of the body."""
        return self.defer("body").annotate(size=Length("body"))


class ObservableQuerySet(models.QuerySet["Observable"]):
    """Observables."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        return self if actor.partner_ids is None else self.filter(partner_id__in=actor.partner_ids)


class SourceHealthQuerySet(models.QuerySet["SourceHealth"]):
    """Sources and how they are."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        return self if actor.partner_ids is None else self.filter(partner_id__in=actor.partner_ids)
