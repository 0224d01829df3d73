"""What is known about deliveries beyond the deliveries themselves: receipts, each source's rhythm, how far sweeps are."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.querysets import SourceHealthQuerySet
from opensoar.accounts.models import Partner
from opensoar.ids import uuid7


class WebhookReceipt(models.Model):
    """One alert of a signed request, so that the same request creates nothing new; written with what it creates."""

    # The signed second, big-endian, and 24 bytes of a hash: the key sorts by time, and old rows go by a range of it.
    digest = models.BinaryField(primary_key=True)
    delivery_id = models.UUIDField()


class SourceHealth(models.Model):
    """The rhythm of one source of one partner, as the sweep of ``alerts.health`` learnt it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="+", db_index=False)
    source = models.CharField(max_length=50)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    observations = models.PositiveBigIntegerField(default=0)  # gaps of any length
    # The last gaps of over 15 minutes, oldest first, as pairs of seconds since 1970.
    gaps = models.JSONField(default=list)
    # Hours of the week (0: Monday 00:00 UTC) in which it says nothing; empty while no rhythm is known.
    quiet_hours = ArrayField(models.SmallIntegerField(), default=list, blank=True)
    usual_gap = models.FloatField(null=True)  # seconds outside of quiet hours; null: still learning
    usual_day = models.FloatField(null=True)  # alerts in 24 hours
    silent_at = models.DateTimeField(null=True)  # when it will have been silent for too long
    silent_since = models.DateTimeField(null=True)  # when that was noticed
    unwatched = models.BooleanField(
        default=False
    )  # nobody looked for a while: the gap that is now teaches nothing
    reckoned_at = models.DateTimeField(default=timezone.now)

    objects = SourceHealthQuerySet.as_manager()

    class Meta:
        ordering = ["source"]
        verbose_name = _("source health")
        verbose_name_plural = _("source health")
        constraints = [models.UniqueConstraint(fields=["partner", "source"], name="sourcehealth_unique")]

    def __str__(self) -> str:
        return self.source


class SourceHour(models.Model):
    """What came from one source of one partner in one hour."""

    pk = models.CompositePrimaryKey("partner_id", "source", "hour")
    partner_id = models.UUIDField()
    source = models.CharField(max_length=50)
    hour = models.DateTimeField()
    count = models.PositiveIntegerField()
    quarantined = models.PositiveIntegerField()


class SweepState(models.Model):
    """How far a sweep over the deliveries is. Its row is locked by whoever sweeps: one process at a time."""

    name = models.CharField(primary_key=True, max_length=40)
    position = models.UUIDField(null=True)  # the last id that was looked at
    done = models.PositiveBigIntegerField(default=0)  # in this round
    due_at = models.DateTimeField(default=timezone.now)
