"""Cases: incidents, what is linked to them, who hands over to whom, and the shared timeline."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q, Value
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models import Alert, Observable, Severity, severity_rank_field
from incidents.querysets import IncidentQuerySet, SuggestionExclusionQuerySet, SuggestionGroupQuerySet
from opensoar.accounts.models import Partner
from opensoar.ids import uuid7
from opensoar.timeline import APPEND_ONLY, TimelineEntry, TimelineText

# Shown as INC-1042. A sequence of its own, so that numbers are given without a lock and never twice.
NUMBER_SEQUENCE = "incidents_incident_number"
EXCLUDABLE = {
    "external_ip": _("external IP"), "internal_ip": _("internal IP"), "cidr": _("network"), "host": _("host"),
    "user": _("user"), "hash": _("file hash"), "url": "URL", "domain": _("domain"), "email": _("mail address"),
    "process": _("process"), "group_key": _("vendor group"),
}  # fmt: skip


class NextNumber(Func):
    """The database's next incident number."""

    function = "nextval"
    output_field = models.BigIntegerField()

    def __init__(self) -> None:
        super().__init__(Value(NUMBER_SEQUENCE))

    def deconstruct(self) -> tuple[str, tuple[()], dict[str, object]]:
        return "incidents.models.NextNumber", (), {}


class Incident(models.Model):
    """A case: related alerts worked as one, with an owner and one timeline."""

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        INVESTIGATING = "investigating", _("Investigating")
        CONTAINED = "contained", _("Contained")
        CLOSED = "closed", _("Closed")

    class Determination(models.TextChoices):
        MALICIOUS = "malicious", _("Malicious")
        SUSPICIOUS = "suspicious", _("Suspicious")
        BENIGN = "benign", _("Benign")

    class Impact(models.TextChoices):
        NONE = "none", _("None")
        LIMITED = "limited", _("Limited")
        SIGNIFICANT = "significant", _("Significant")
        SEVERE = "severe", _("Severe")

    class Tlp(models.TextChoices):
        CLEAR = "clear", "TLP:CLEAR"
        GREEN = "green", "TLP:GREEN"
        AMBER = "amber", "TLP:AMBER"
        AMBER_STRICT = "amber+strict", "TLP:AMBER+STRICT"
        RED = "red", "TLP:RED"

    class Pap(models.TextChoices):
        CLEAR = "clear", "PAP:CLEAR"
        GREEN = "green", "PAP:GREEN"
        AMBER = "amber", "PAP:AMBER"
        RED = "red", "PAP:RED"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.BigIntegerField(unique=True, editable=False, db_default=NextNumber())
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="incidents")
    title = models.CharField(max_length=500)
    description = models.TextField(null=True, blank=True)
    severity = models.CharField(max_length=13, choices=Severity, default=Severity.MEDIUM)
    severity_rank = severity_rank_field()
    status = models.CharField(max_length=13, choices=Status, default=Status.OPEN)
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="incidents"
    )
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    tlp = models.CharField(max_length=12, choices=Tlp, default=Tlp.AMBER)
    pap = models.CharField(max_length=5, choices=Pap, default=Pap.AMBER)
    techniques = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    contained_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    determination = models.CharField(max_length=10, choices=Determination, null=True, blank=True)
    impact = models.CharField(max_length=11, choices=Impact, null=True, blank=True)
    summary = models.TextField(null=True, blank=True)
    # Closed through the API without determination, impact and summary.
    closed_unassessed = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    timeline_seq = models.PositiveIntegerField(default=0)
    alerts = models.ManyToManyField(Alert, through="IncidentAlert", related_name="incidents")
    observables = models.ManyToManyField(Observable, through="IncidentObservable", related_name="incidents")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        constraints = [
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="incident_severity_known"),
            models.CheckConstraint(
                condition=Q(status__in=["open", "investigating", "contained", "closed"]),
                name="incident_status_known",
            ),
            models.CheckConstraint(
                condition=Q(status="closed", closed_at__isnull=False)
                | (~Q(status="closed") & Q(closed_at__isnull=True)),
                name="incident_closed_at_matches_status",
            ),
        ]
        indexes = [
            models.Index(
                F("partner"), F("severity_rank").desc(), F("id").desc(),
                name="incident_open", condition=~Q(status="closed"),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        """INC-1042."""
        return f"INC-{self.number}"

    @property
    def is_open(self) -> bool:
        """Not closed."""
        return self.status != self.Status.CLOSED


# Every move people may make; closing and reopening are verbs of their own and are listed here too.
ALLOWED: dict[str, frozenset[str]] = {
    "open": frozenset({"investigating", "contained", "closed"}),
    "investigating": frozenset({"open", "contained", "closed"}),
    "contained": frozenset({"investigating", "closed"}),
    "closed": frozenset({"open", "investigating"}),
}


def can_move(incident: Incident, to: str) -> bool:
    """Whether ``incident`` may go to status ``to`` from where it is."""
    return to in ALLOWED[incident.status]


class IncidentAlert(models.Model):
    """An alert that belongs to an incident."""

    pk = models.CompositePrimaryKey("incident_id", "alert_id")
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="links")
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="incident_links")
    linked_at = models.DateTimeField(default=timezone.now)


class IncidentObservable(models.Model):
    """An observable that somebody put on an incident."""

    pk = models.CompositePrimaryKey("incident_id", "observable_id")
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="+")
    observable = models.ForeignKey(Observable, on_delete=models.CASCADE, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)


class IncidentText(TimelineText):
    """The words of an incident's timeline entry."""


class IncidentEntry(TimelineEntry):
    """One thing that happened to an incident."""

    text_model = IncidentText

    class Meta(TimelineEntry.Meta):
        abstract = False
        indexes = [models.Index(fields=["subject_id", "seq"], name="incidententry_subject")]


class Handoff(models.Model):
    """A handoff note: from whom, to whom, what is open. Append-only; its text is the timeline entry's."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="handoffs")
    entry_id = models.UUIDField()
    from_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    to_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="handoffs")
    shift = models.CharField(max_length=100, blank=True)
    open_questions = ArrayField(models.TextField(), default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        triggers = APPEND_ONLY


class HandoffAcknowledgement(models.Model):
    """The receiver has taken over. Append-only, at most one per note."""

    handoff = models.OneToOneField(
        Handoff, primary_key=True, on_delete=models.PROTECT, related_name="acknowledgement"
    )
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        triggers = APPEND_ONLY


class SuggestionDismissal(models.Model):
    """Somebody said no to a suggestion. It stays away until an alert joins that was not among ``seen``."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    suggestion_id = models.CharField(max_length=64)
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="+")
    seen = ArrayField(models.UUIDField(), default=list)
    reason = models.TextField(blank=True)
    dismissed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    dismissed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["suggestion_id", "-id"], name="dismissal_suggestion")]
        triggers = APPEND_ONLY


class SuggestionQueue(models.Model):
    """An alert whose entities, state or links changed and that grouping has not looked at since.

    Written by triggers (migration 0002) in the transaction of the change, so that none is missed however late it
    commits; only ever appended to, so that nobody waits for whoever reads it.
    """

    id = models.BigAutoField(primary_key=True)
    alert_id = models.UUIDField()


class GroupedAlert(models.Model):
    """What grouping knows of an alert of the window. Derived: ``rebuild_suggestions`` makes all of it anew."""

    alert_id = models.UUIDField(primary_key=True)
    at = models.DateTimeField()
    keys = ArrayField(models.UUIDField(), default=list)
    group_id = models.UUIDField(null=True)
    dismissed = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(fields=["group_id"], name="groupedalert_group", condition=Q(group_id__isnull=False)),
            models.Index(fields=["at"], name="groupedalert_at"),
        ]


class EntityPosting(models.Model):
    """An alert carries an entity. ``key`` is the entity's kind and a digest over partner, kind and value."""

    pk = models.CompositePrimaryKey("key", "at", "alert_id")
    key = models.UUIDField()
    at = models.DateTimeField()
    alert_id = models.UUIDField()


class SuggestionGroup(models.Model):
    """Alerts that belong together by what they share; its id is that of its oldest alert.

    ``component`` names what was tied before it was cut to size; ``told`` is the sentence's evidence (incidents.evidence).
    """

    id = models.UUIDField(primary_key=True)
    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="+", db_index=False)
    component = models.UUIDField()
    shown = models.BooleanField(default=False)
    score = models.SmallIntegerField(default=0)
    first_seen = models.DateTimeField(null=True)
    last_seen = models.DateTimeField(null=True)
    told = models.JSONField(default=dict)

    objects = SuggestionGroupQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["component"], name="suggestiongroup_component"),
            models.Index(F("score").desc(), F("id").desc(), name="suggestiongroup_best", condition=Q(shown=True)),
            models.Index(
                F("partner"), F("score").desc(), F("id").desc(),
                name="suggestiongroup_partner", condition=Q(shown=True),
            ),
        ]  # fmt: skip


class SuggestionExclusion(models.Model):
    """An entity that must not group alerts: our scanner, a shared host. Without a partner it is everybody's."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("partner"),
        help_text=_("Whose alerts it is about. Empty: everybody's."),
    )  # fmt: skip
    entity = models.CharField(_("kind of entity"), max_length=20, choices=EXCLUDABLE)
    value = models.CharField(_("value"), max_length=2000)
    reason = models.CharField(_("reason"), max_length=500)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True, help_text=_("Empty: never."))
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+",
        verbose_name=_("created by"),
    )  # fmt: skip
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    # Whether grouping goes by it, which follows within seconds; what is deleted goes once it is taken back.
    applied = models.BooleanField(default=False, editable=False)
    deleted = models.BooleanField(default=False, editable=False)

    objects = SuggestionExclusionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("suggestion exclusion")
        verbose_name_plural = _("suggestion exclusions")
        constraints = [
            models.UniqueConstraint(
                fields=["partner", "entity", "value"],
                name="suggestionexclusion_once",
                nulls_distinct=False,
                condition=Q(deleted=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_entity_display()} {self.value}"
