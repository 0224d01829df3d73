"""How far each poller has come."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from playbooks_engine.models.configuration import Connector


class PollState(models.Model):
    """How far the alerts of a connector were fetched, when more are, and who does it at the moment.

    ``cursor`` is written after what it stands for was stored, by the holder of ``fence`` only.
    """

    connector = models.OneToOneField(
        Connector, primary_key=True, on_delete=models.CASCADE, related_name="poll"
    )
    cursor = models.JSONField(_("position"), default=dict)
    next_at = models.DateTimeField(_("next poll"), default=timezone.now)
    leased_until = models.DateTimeField(null=True)
    leased_by = models.UUIDField(null=True)
    fence = models.BigIntegerField(default=0)
    last_ok_at = models.DateTimeField(_("last success"), null=True)
    last_error = models.TextField(_("last error"), blank=True)
    last_error_at = models.DateTimeField(_("time of the last error"), null=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    accepted = models.BigIntegerField(_("alerts"), default=0)
    duplicates = models.BigIntegerField(_("repeats"), default=0)
    quarantined = models.BigIntegerField(_("in quarantine"), default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("poll")
        verbose_name_plural = _("polls")
