"""Playbooks: their files, versions and firings, and the workers that load them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from opensoar.accounts.models import Partner
from opensoar.ids import uuid7
from opensoar.timeline import APPEND_ONLY
from playbooks_engine.querysets import PlaybookQuerySet


class Priority(models.IntegerChoices):
    HIGH = 0, _("High")
    DEFAULT = 1, _("Default")
    LOW = 2, _("Low")


class PlaybookFile(models.Model):
    """A file of PLAYBOOK_DIRS as the last sync saw it, with its import error if it has one."""

    path = models.CharField(primary_key=True, max_length=500)
    source_hash = models.CharField(max_length=64)
    error = models.TextField(blank=True)
    error_line = models.PositiveIntegerField(null=True)
    loaded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["path"]


class PlaybookVersion(models.Model):
    """The source a run was started with: the file and every local module it imports. Never changes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source_hash = models.CharField(max_length=64, unique=True)
    entry = models.CharField(max_length=500)  # which of the sources is the playbook file
    sources = models.JSONField()  # relative path -> text
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        triggers = APPEND_ONLY


class Playbook(models.Model):
    """A registered playbook as the web sees it. Everything but ``enabled`` and ``partner`` follows the file."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True, editable=False)
    description = models.TextField(blank=True, editable=False)
    module_path = models.CharField(max_length=500, editable=False)
    function_name = models.CharField(max_length=200, editable=False)
    # NULL: only people start it.
    trigger = models.CharField(max_length=50, null=True, editable=False)
    conditions = models.JSONField(default=dict, editable=False)
    order = models.IntegerField(default=1000, editable=False)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.DEFAULT, editable=False)
    on_failure = models.CharField(max_length=10, default="continue", editable=False)
    cron = models.CharField(max_length=100, blank=True, editable=False)
    lane = models.CharField(
        max_length=50, blank=True, editable=False
    )  # the subject's field that names the lane
    # It blocked or ended its worker: until its file changes it runs in a process of its own.
    isolated_since = models.DateTimeField(null=True, editable=False)
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, verbose_name=_("partner"),
        help_text=_("Empty: runs for every partner's alerts."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)
    current = models.ForeignKey(
        PlaybookVersion, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    # The file is gone or no longer registers this name: shown, never run.
    missing_since = models.DateTimeField(null=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PlaybookQuerySet.as_manager()

    class Meta:
        ordering = ["order", "name"]
        verbose_name = _("playbook")
        verbose_name_plural = _("playbooks")
        constraints = [
            models.CheckConstraint(
                condition=Q(on_failure__in=["continue", "stop"]), name="playbook_on_failure_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_runnable(self) -> bool:
        """Switched on and present in the files."""
        return self.enabled and self.missing_since is None


class RegistryGeneration(models.Model):
    """One row. Workers that see it grow load their files anew."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    generation = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="registrygeneration_one_row")]


class WorkerBeat(models.Model):
    """A worker process that lives: its counter grows. Others judge by their own monotonic clock, never by ``seen_at``."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    counter = models.PositiveBigIntegerField(default=0)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    generation = models.PositiveBigIntegerField(default=0)  # the registry generation it has loaded
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)


class CronFiring(models.Model):
    """A scheduled playbook's due time: whoever inserts it first fires, so that nobody needs to lead."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    playbook = models.ForeignKey(Playbook, on_delete=models.CASCADE, related_name="firings")
    due_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-due_at"]
        constraints = [models.UniqueConstraint(fields=["playbook", "due_at"], name="cronfiring_unique")]
