"""Chainable questions about alerts. Every list, page, search, count and suggestion starts from ``visible_to``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Length

from opensoar import clock
from opensoar.actors import Actor

if TYPE_CHECKING:
    from alerts.models import Alert, Delivery, Observable, Suppression
    from alerts.models_ledger import SourceHealth


class AlertQuerySet(models.QuerySet["Alert"]):
    """Alerts; archived ones are out of sight."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        queryset = self.filter(archived_at__isnull=True)
        return queryset if actor.partner_ids is None else queryset.filter(partner_id__in=actor.partner_ids)

    def open(self) -> Self:
        """What waits for somebody: neither resolved nor hidden."""
        return self.shown().exclude(status="resolved")

    def shown(self) -> Self:
        """Without what a suppression hides."""
        return self.filter(suppressed_by__isnull=True)

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


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    """Suppressions."""

    def visible_to(self, actor: Actor) -> Self:
        """Those for everybody and those of the actor's partners."""
        if actor.partner_ids is None:
            return self
        return self.filter(Q(partner__isnull=True) | Q(partner_id__in=actor.partner_ids))

    def active(self) -> Self:
        """What hides new alerts now."""
        unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=clock.now())
        return self.filter(unexpired, ended_at__isnull=True)

    def in_state(self, state: str) -> Self:
        """``active``, ``expired`` or ``ended``."""
        if state == "active":
            return self.active()
        if state == "ended":
            return self.filter(ended_at__isnull=False)
        return self.filter(ended_at__isnull=True, expires_at__lte=clock.now())

    def with_related(self) -> Self:
        """What a row shows, in one query."""
        return self.select_related("partner", "owner", "ended_by")


class SourceHealthQuerySet(models.QuerySet["SourceHealth"]):
    """Sources and how they are."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        return self if actor.partner_ids is None else self.filter(partner_id__in=actor.partner_ids)
