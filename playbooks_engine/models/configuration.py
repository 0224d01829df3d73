"""What administrators configure for playbooks: secrets, and connections to other systems."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from opensoar.accounts.models import Partner
from opensoar.ids import uuid7
from playbooks_engine.querysets import ConnectorQuerySet, SecretQuerySet


class Secret(models.Model):
    """What ``secret(name)`` gives a playbook: encrypted, write-only, masked wherever it could appear."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=200, blank=True)
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, verbose_name=_("partner"),
        help_text=_("Empty: for every partner's runs. A partner's own secret comes first."),
    )  # fmt: skip
    value = models.BinaryField(editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SecretQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = _("secret")
        verbose_name_plural = _("secrets")
        constraints = [
            models.UniqueConstraint(
                fields=["name", "partner"], name="secret_unique_name", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Connector(models.Model):
    """A configured connection to another system. Secrets are write-only and encrypted with a key outside the database."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.SlugField(_("type"), max_length=50)
    name = models.CharField(_("name"), max_length=150)
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, verbose_name=_("partner")
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    config = models.JSONField(_("configuration"), default=dict, blank=True)
    secrets = models.BinaryField(null=True, editable=False)
    health_status = models.CharField(max_length=20, null=True, editable=False)
    last_health_check = models.DateTimeField(null=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ConnectorQuerySet.as_manager()

    class Meta:
        ordering = ["kind", "name"]
        verbose_name = _("connector")
        verbose_name_plural = _("connectors")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "name", "partner"], name="connector_unique_name", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"
