"""What hides new alerts. A part of :mod:`alerts.models`, where everybody imports it from."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.querysets import SuppressionQuerySet
from opensoar import clock
from opensoar.accounts.models import Partner
from opensoar.ids import uuid7


class Suppression(models.Model):
    """New alerts that nobody needs to see: which, why, until when, and whose word that is. Ended, never deleted."""

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        EXPIRED = "expired", _("Expired")
        ENDED = "ended", _("Ended")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # None: everybody's alerts.
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="suppressions"
    )
    name = models.CharField(max_length=200)
    conditions = models.JSONField()
    reason = models.TextField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="suppressions")
    created_at = models.DateTimeField(default=timezone.now)
    # None: until somebody ends it.
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        constraints = [
            models.CheckConstraint(condition=~Q(name="") & ~Q(reason=""), name="suppression_is_explained"),
            models.CheckConstraint(condition=~Q(conditions={}), name="suppression_hides_not_everything"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """Active, expired or ended, now."""
        if self.ended_at is not None:
            return self.State.ENDED
        expired = self.expires_at is not None and self.expires_at <= clock.now()
        return self.State.EXPIRED if expired else self.State.ACTIVE

    @property
    def is_active(self) -> bool:
        """Whether it hides new alerts."""
        return self.state == self.State.ACTIVE
