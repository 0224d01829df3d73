"""What came in: deliveries, the alerts they make, the observables these mention, and their timelines."""

from __future__ import annotations

from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models_ledger import SourceHealth, SourceHour, SweepState, WebhookReceipt
from alerts.payloads import parse_body
from alerts.querysets import AlertQuerySet, DeliveryQuerySet, ObservableQuerySet
from alerts.suppression_model import Suppression as Suppression
from opensoar.accounts.models import Partner
from opensoar.ids import uuid7
from opensoar.timeline import TimelineEntry, TimelineText

__all__ = [
    "Alert", "AlertCounter", "AlertEntry", "AlertObservable", "AlertSource", "AlertText", "Delivery", "Observable",
    "ObservableEnrichment", "Severity", "SourceHealth", "SourceHour", "SweepState", "WebhookReceipt",
]  # fmt: skip


class Severity(models.TextChoices):
    INFORMATIONAL = "informational", _("Informational")
    LOW = "low", _("Low")
    MEDIUM = "medium", _("Medium")
    HIGH = "high", _("High")
    CRITICAL = "critical", _("Critical")


SEVERITY_RANK = {word: rank for rank, word in enumerate(Severity.values)}


def severity_rank_field() -> models.GeneratedField:
    """A stored number that sorts as severities do."""
    return models.GeneratedField(
        expression=Case(
            *(When(severity=word, then=Value(rank)) for word, rank in SEVERITY_RANK.items()), default=Value(0)
        ),
        output_field=models.SmallIntegerField(),
        db_persist=True,
    )


# What waits for somebody; the same words as AlertQuerySet.visible_to() and open().
OPEN_CONDITION = ~Q(status="resolved") & Q(archived_at__isnull=True, suppressed_by__isnull=True)


class Alert(models.Model):
    """One detection from a source. Counters live in :class:`AlertCounter`, bodies in :class:`Delivery`."""

    class Status(models.TextChoices):
        NEW = "new", _("New")
        IN_PROGRESS = "in_progress", _("In progress")
        RESOLVED = "resolved", _("Resolved")

    class Determination(models.TextChoices):
        UNKNOWN = "unknown", _("Unknown")
        MALICIOUS = "malicious", _("Malicious")
        SUSPICIOUS = "suspicious", _("Suspicious")
        BENIGN = "benign", _("Benign")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="alerts", db_index=False)
    source = models.CharField(max_length=50)
    source_id = models.CharField(max_length=500, null=True, blank=True)
    # SHA-256 over partner, source, vendor id (or Idempotency-Key) and generation; of the alert's own id without one.
    dedupe_key = models.BinaryField(unique=True)
    title = models.CharField(max_length=500)
    description = models.TextField(null=True, blank=True)
    severity = models.CharField(max_length=13, choices=Severity, default=Severity.MEDIUM)
    severity_rank = severity_rank_field()
    status = models.CharField(max_length=11, choices=Status, default=Status.NEW)
    determination = models.CharField(max_length=10, choices=Determination, default=Determination.UNKNOWN)
    source_ip = models.GenericIPAddressField(null=True, blank=True)
    dest_ip = models.GenericIPAddressField(null=True, blank=True)
    hostname = models.CharField(max_length=255, null=True, blank=True)
    username = models.CharField(max_length=255, null=True, blank=True)
    rule_name = models.CharField(max_length=500, null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    techniques = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    iocs = models.JSONField(default=dict)
    normalized = models.JSONField(default=dict)
    # SHA-256 of what the source last said; a repeat that says the same disturbs nobody.
    content_hash = models.BinaryField(null=True)
    group_key = models.CharField(max_length=255, null=True, blank=True)
    vendor_url = models.TextField(null=True, blank=True)
    correlation_id = models.UUIDField(default=uuid7)
    event_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="alerts",
        db_index=False,  # nearly all new alerts have none: alert_assigned_to leaves these out
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolve_reason = models.TextField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    # What hides it: stored as any other, but nobody's work.
    suppressed_by = models.ForeignKey(
        Suppression,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="alerts",
        db_index=False,  # hardly any alert has one: alert_suppressed leaves the others out
    )
    # Semantic edits by people and playbooks; duplicates do not count. The ETag.
    version = models.PositiveIntegerField(default=1)
    timeline_seq = models.PositiveIntegerField(default=0)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="alert_severity_known"),
            models.CheckConstraint(
                condition=Q(status__in=["new", "in_progress", "resolved"]), name="alert_status_known"
            ),
            models.CheckConstraint(
                condition=Q(determination__in=["unknown", "malicious", "suspicious", "benign"]),
                name="alert_determination_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="resolved") | ~Q(determination="unknown"),
                name="alert_resolved_is_determined",
            ),
            models.CheckConstraint(
                condition=Q(status="resolved", resolved_at__isnull=False)
                | (~Q(status="resolved") & Q(resolved_at__isnull=True)),
                name="alert_resolved_at_matches_status",
            ),
        ]
        indexes = [
            # The queue of people who see everybody's alerts, and of those who see some partners'.
            models.Index(
                F("severity_rank").desc(), F("id").desc(),
                name="alert_open_queue", condition=OPEN_CONDITION,
            ),
            models.Index(
                F("partner"), F("severity_rank").desc(), F("id").desc(),
                name="alert_open_partner", condition=OPEN_CONDITION,
            ),
            # The same lists with what is resolved.
            models.Index(
                F("severity_rank").desc(), F("id").desc(),
                name="alert_severity", condition=Q(archived_at__isnull=True, suppressed_by__isnull=True),
            ),
            models.Index(F("partner"), F("id").desc(), name="alert_partner"),
            models.Index(fields=["assigned_to"], name="alert_assigned_to", condition=Q(assigned_to__isnull=False)),
            # What retention looks for; new alerts are not in it.
            models.Index(
                fields=["resolved_at"], name="alert_retention",
                condition=Q(resolved_at__isnull=False, archived_at__isnull=True),
            ),
            models.Index(F("source_ip"), F("id").desc(), name="alert_source_ip", condition=Q(source_ip__isnull=False)),
            models.Index(F("hostname"), F("id").desc(), name="alert_hostname", condition=Q(hostname__isnull=False)),
            # A rule's last alerts: what became of them, and what a suppression would have hidden.
            models.Index(
                F("rule_name"), F("source"), F("id").desc(), name="alert_rule", condition=Q(rule_name__isnull=False)
            ),
            # What each suppression hides.
            models.Index(
                F("suppressed_by"), F("id").desc(),
                name="alert_suppressed", condition=Q(suppressed_by__isnull=False, archived_at__isnull=True),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        """Not resolved."""
        return self.status != self.Status.RESOLVED


class AlertSource(models.Model):
    """How one source's alerts are read, told apart and followed; a source without a row has the product's defaults."""

    class OnRecurrence(models.TextChoices):
        LEAVE = "leave", _("Leave it resolved and note it on the timeline")
        REOPEN = "reopen", _("Reopen it")
        NEW = "new", _("Open a new alert")

    class OnResolved(models.TextChoices):
        RESOLVE = "resolve", _("Resolve it where a determination is known, else note it")
        NOTE = "note", _("Note it on the timeline")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(
        _("name in the address"), max_length=50, unique=True,
        help_text=_("Small letters, digits, - and _. Alerts of it are posted to /api/v1/webhooks/alerts/ and this name."),
    )  # fmt: skip
    # Field of an alert -> paths, separated by blanks. Empty: the source has a normaliser in code.
    mapping = models.JSONField(default=dict, blank=True)
    severities = models.JSONField(_("severities"), default=dict, blank=True)
    dedupe_fields = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    dedupe_hours = models.PositiveIntegerField(
        _("one alert for (hours)"), null=True, blank=True,
        help_text=_("A repeat that comes later than this after the last one opens a new alert. Empty: never."),
    )  # fmt: skip
    on_recurrence = models.CharField(
        _("a resolved alert comes again"), max_length=6, choices=OnRecurrence, default=OnRecurrence.LEAVE
    )
    on_resolved = models.CharField(
        _("the source says it is over"), max_length=7, choices=OnResolved, default=OnResolved.RESOLVE
    )
    sample = models.TextField(blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["slug"]
        verbose_name = _("source")
        verbose_name_plural = _("sources")

    def __str__(self) -> str:
        return self.slug


class AlertCounter(models.Model):
    """How often an alert was delivered. Apart from the alert, so that a duplicate disturbs nobody's edit."""

    alert = models.OneToOneField(Alert, primary_key=True, on_delete=models.CASCADE, related_name="counter")
    duplicate_count = models.PositiveIntegerField(default=1)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    last_delivery_id = models.UUIDField()


class Delivery(models.Model):
    """One inbound body, kept as received. No incoming foreign keys: deliveries may be partitioned by id."""

    class State(models.TextChoices):
        ACCEPTED = "accepted", _("Accepted")
        DUPLICATE = "duplicate", _("Duplicate")
        QUARANTINED = "quarantined", _("Quarantined")
        REPLAYED = "replayed", _("Replayed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner_id = models.UUIDField()
    alert_id = models.UUIDField(null=True)
    token_id = models.UUIDField(null=True)
    source = models.CharField(max_length=50)
    state = models.CharField(max_length=11, choices=State, default=State.ACCEPTED)
    reason = models.TextField(blank=True)
    content_type = models.CharField(max_length=100, blank=True)
    body = models.BinaryField()
    received_at = models.DateTimeField(default=timezone.now)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.CheckConstraint(
                condition=Q(state="quarantined") | Q(alert_id__isnull=False),
                name="delivery_has_alert_or_reason",
            ),
        ]
        indexes = [
            models.Index(
                fields=["alert_id", "id"], name="delivery_alert", condition=Q(alert_id__isnull=False)
            ),
            models.Index(fields=["id"], name="delivery_quarantined", condition=Q(state="quarantined")),
        ]
        triggers = [
            # The body and its origin are evidence: only what became of it may change.
            pgtrigger.Protect(
                name="body_is_kept",
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange(
                    "id", "partner_id", "token_id", "source", "body", "received_at"
                ),
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.received_at:%F %T}"

    @property
    def payload(self) -> Any:
        """The body as it was understood, an object; its text where it is none."""
        found = parse_body(bytes(self.body), self.content_type).items
        if len(found) == 1 and found[0].payload is not None:
            return found[0].payload
        return bytes(self.body).decode(errors="replace")


class Observable(models.Model):
    """A typed value, one row per partner, linked to every alert and incident it was seen in."""

    class Type(models.TextChoices):
        IP = "ip"
        DOMAIN = "domain"
        HOSTNAME = "hostname"
        URL = "url"
        EMAIL = "email"
        MD5 = "md5"
        SHA1 = "sha1"
        SHA256 = "sha256"
        SHA512 = "sha512"
        SSDEEP = "ssdeep"
        FILENAME = "filename"
        PATH = "path"
        REGISTRY_KEY = "registry_key"
        USERNAME = "username"
        MAC = "mac"
        ASN = "asn"
        CVE = "cve"
        MUTEX = "mutex"
        USER_AGENT = "user_agent"
        PROCESS = "process"
        COMMAND_LINE = "command_line"
        CRYPTO_ADDRESS = "crypto_address"
        FILE = "file"
        OTHER = "other"

    class EnrichmentStatus(models.TextChoices):
        PENDING = "pending", _("Pending")
        ENRICHED = "enriched", _("Enriched")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Found by observable_unique, which begins with it.
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="observables", db_index=False)
    type = models.CharField(max_length=20, choices=Type)
    value = models.TextField()
    value_hash = (
        models.BinaryField()
    )  # SHA-256 of the canonical value: a URL may be longer than an index entry
    internal = models.BooleanField(default=False)
    source = models.CharField(max_length=100, null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    enrichment_status = models.CharField(
        max_length=10, choices=EnrichmentStatus, default=EnrichmentStatus.PENDING
    )
    created_at = models.DateTimeField(default=timezone.now)
    alerts = models.ManyToManyField(Alert, through="AlertObservable", related_name="observables")

    objects = ObservableQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("observable")
        verbose_name_plural = _("observables")
        constraints = [
            models.UniqueConstraint(fields=["partner", "type", "value_hash"], name="observable_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.value}"

    @property
    def verdict(self) -> str:
        """What the enrichments say: the worst word; ``unknown`` while none has an opinion."""
        said = {enrichment.malicious for enrichment in self.enrichments.all()}
        return "malicious" if True in said else "benign" if False in said else "unknown"


class AlertObservable(models.Model):
    """An observable seen in an alert."""

    pk = models.CompositePrimaryKey("alert_id", "observable_id")
    alert = models.ForeignKey(
        Alert, on_delete=models.CASCADE, related_name="+", db_index=False
    )  # the key's first
    observable = models.ForeignKey(Observable, on_delete=models.CASCADE, related_name="+")
    field = models.CharField(max_length=200, blank=True)


class ObservableExclusion(models.Model):
    """A network or domain that is no indicator: ours, or harmless wherever it appears."""

    class Kind(models.TextChoices):
        OWN = "own", _("Ours: its observables are internal")
        ALLOWED = "allowed", _("Harmless: its addresses and names bear the tag “allowed”")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(_("kind"), max_length=7, choices=Kind)
    value = models.CharField(
        _("network or domain"), max_length=253, unique=True,
        help_text=_("Such as 203.0.113.0/24, 2001:db8::/32, 203.0.113.9 or example.com, which means all names below it too."),
    )  # fmt: skip
    reason = models.CharField(_("reason"), max_length=500)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["value"]
        verbose_name = _("own or harmless network or domain")
        verbose_name_plural = _("own and harmless networks and domains")

    def __str__(self) -> str:
        return self.value


class ObservableEnrichment(models.Model):
    """What one source says about an observable."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    observable = models.ForeignKey(Observable, on_delete=models.CASCADE, related_name="enrichments")
    source = models.CharField(max_length=100)
    data = models.JSONField(default=dict)
    malicious = models.BooleanField(null=True)
    score = models.FloatField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["source"]
        constraints = [
            models.UniqueConstraint(fields=["observable", "source"], name="enrichment_unique_source")
        ]


class AlertText(TimelineText):
    """The words of an alert's timeline entry."""


class AlertEntry(TimelineEntry):
    """One thing that happened to an alert."""

    text_model = AlertText

    class Meta(TimelineEntry.Meta):
        abstract = False
        indexes = [models.Index(fields=["subject_id", "seq"], name="alertentry_subject")]
