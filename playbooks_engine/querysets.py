"""Chainable questions about playbooks, runs and connectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q

from opensoar.actors import Actor

if TYPE_CHECKING:
    from playbooks_engine.models import Approval, Connector, Playbook, PlaybookRun, Secret


class PlaybookQuerySet(models.QuerySet["Playbook"]):
    """Playbooks."""

    def visible_to(self, actor: Actor) -> Self:
        """Those for everybody and those of the actor's partners."""
        if actor.partner_ids is None:
            return self
        return self.filter(Q(partner__isnull=True) | Q(partner_id__in=actor.partner_ids))

    def runnable(self) -> Self:
        """Switched on and present in the files."""
        return self.filter(enabled=True, missing_since__isnull=True)


class RunQuerySet(models.QuerySet["PlaybookRun"]):
    """Runs; they belong to the partner of their sequence."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        return self if actor.partner_ids is None else self.filter(sequence__partner_id__in=actor.partner_ids)

    def with_related(self) -> Self:
        """What a row shows, in one query."""
        return self.select_related("playbook", "sequence", "sequence__alert", "sequence__incident")


class ApprovalQuerySet(models.QuerySet["Approval"]):
    """Approvals; they belong to the partner of their run."""

    def visible_to(self, actor: Actor) -> Self:
        """What ``actor`` may see at all."""
        if actor.partner_ids is None:
            return self
        return self.filter(run__sequence__partner_id__in=actor.partner_ids)


class SecretQuerySet(models.QuerySet["Secret"]):
    """Secrets of playbooks."""

    def visible_to(self, actor: Actor) -> Self:
        """Those for everybody and those of the actor's partners."""
        if actor.partner_ids is None:
            return self
        return self.filter(Q(partner__isnull=True) | Q(partner_id__in=actor.partner_ids))


class ConnectorQuerySet(models.QuerySet["Connector"]):
    """Connectors."""

    def visible_to(self, actor: Actor) -> Self:
        """Those for everybody and those of the actor's partners."""
        if actor.partner_ids is None:
            return self
        return self.filter(Q(partner__isnull=True) | Q(partner_id__in=actor.partner_ids))
