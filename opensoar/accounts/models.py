"""People, machines and what they may see: users, roles, partners, tokens, audit entries, settings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pgtrigger
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from opensoar.accounts.permissions import SCOPES
from opensoar.actors import Actor
from opensoar.ids import uuid7
from opensoar.timeline import APPEND_ONLY

# Every installation has this partner; the API shows it as null.
DEFAULT_PARTNER_ID = UUID("00000000-0000-7000-8000-000000000001")


class Partner(models.Model):
    """A customer of an MSSP. Rows of one partner are invisible to people who are not assigned to it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(_("slug"), max_length=100, unique=True)
    name = models.CharField(_("name"), max_length=200)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        verbose_name = _("partner")
        verbose_name_plural = _("partners")

    def __str__(self) -> str:
        return self.name

    @property
    def public_slug(self) -> str | None:
        """What the API calls it: ``None`` for the partner every installation has."""
        return None if self.id == DEFAULT_PARTNER_ID else self.slug


class Role(models.Model):
    """A named set of capabilities. Built-in roles are kept equal to ``permissions.ROLES`` after every migrate."""

    id = models.SlugField(_("id"), primary_key=True, max_length=40)
    label = models.CharField(_("label"), max_length=80)
    capabilities = ArrayField(
        models.CharField(max_length=40), verbose_name=_("capabilities"), default=list, blank=True
    )
    built_in = models.BooleanField(_("built in"), default=False, editable=False)

    class Meta:
        ordering = ["label"]
        verbose_name = _("role")
        verbose_name_plural = _("roles")

    def __str__(self) -> str:
        return self.label


class UserManager(BaseUserManager["User"]):
    """Looks people up by username, whatever its case."""

    def get_by_natural_key(self, username: str | None) -> User:
        """The user of that name; raises ``User.DoesNotExist``."""
        return self.get(username__iexact=username)


class User(AbstractBaseUser):
    """A person who signs in."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.CharField(_("username"), max_length=150)
    display_name = models.CharField(_("display name"), max_length=150)
    email = models.EmailField(_("e-mail"), blank=True)
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="users", verbose_name=_("role"))
    partners = models.ManyToManyField(
        Partner, blank=True, related_name="users", verbose_name=_("partners"),
        help_text=_("Whose rows this person sees. Nobody chosen: everybody's."),
    )  # fmt: skip
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = UserManager()
    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"

    class Meta:
        ordering = ["username"]
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [models.UniqueConstraint(Lower("username"), name="user_username_unique")]

    def __str__(self) -> str:
        return self.display_name or self.username

    @cached_property
    def actor(self) -> Actor:
        """This person as the actor of a service call, with role and partners as they are now."""
        partners = frozenset(self.partners.values_list("pk", flat=True))
        return Actor(
            kind="analyst",
            id=self.id,
            name=self.username,
            capabilities=frozenset(self.role.capabilities),
            partner_ids=partners or None,
            user_id=self.id,
        )

    # What Django's admin asks. Configuration is for those who may manage settings; everybody else stays out.
    @property
    def is_staff(self) -> bool:
        """Whether the admin lets this person in."""
        return self.is_active and "settings:manage" in self.role.capabilities

    @property
    def is_superuser(self) -> bool:
        """The admin has no finer rights than this."""
        return self.is_staff

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Django admin's question."""
        return self.is_staff

    def has_module_perms(self, app_label: str) -> bool:
        """Django admin's question."""
        return self.is_staff


class ApiToken(models.Model):
    """A credential of a machine, or (kind ``session``) of a person who signed in through the API. Hashed at rest."""

    class Kind(models.TextChoices):
        API = "api", _("API token")
        SESSION = "session", _("Session")

    class Signature(models.TextChoices):
        NONE = "none", _("Not asked for")
        TIMESTAMP = "timestamp", _("Over timestamp and body; a repeat creates nothing")
        BODY = "body", _("Over the body alone; no control of replays")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.API, editable=False)
    name = models.CharField(_("name"), max_length=150)
    prefix = models.CharField(_("starts with"), max_length=16, editable=False)
    digest = models.BinaryField(unique=True, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=20, choices=[(s, s) for s in SCOPES]), default=list, blank=True
    )
    user = models.ForeignKey(
        User, null=True, blank=True, editable=False, on_delete=models.CASCADE, related_name="tokens"
    )
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, verbose_name=_("partner")
    )
    source = models.CharField(
        _("source"),
        max_length=50,
        blank=True,
        help_text=_("Fixes the source of every alert this token sends."),
    )
    alerts_per_minute = models.PositiveIntegerField(
        _("alerts a minute"), null=True, blank=True,
        help_text=_("More are answered 429 with the time to wait. Empty: no limit."),
    )  # fmt: skip
    max_body_bytes = models.PositiveIntegerField(
        _("largest body (bytes)"), null=True, blank=True,
        help_text=_("Larger ones are answered 413, a larger line of NDJSON is quarantined. Empty: 1 MB, which is the most."),
    )  # fmt: skip
    max_depth = models.PositiveSmallIntegerField(
        _("deepest nesting"), null=True, blank=True,
        help_text=_("Alerts nested deeper are quarantined. Empty: 32, which is the most."),
    )  # fmt: skip
    signature = models.CharField(_("signature"), max_length=9, choices=Signature, default=Signature.NONE)
    signing_secret = models.BinaryField(null=True, editable=False)  # sealed for this row's id
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.ForeignKey(
        User,
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("created by"),
    )

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=list(SCOPES)), name="apitoken_scopes_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(kind="session") | models.Q(user__isnull=False),
                name="apitoken_session_has_user",
            ),
            models.CheckConstraint(
                condition=models.Q(signature="none") | models.Q(signing_secret__isnull=False),
                name="apitoken_signed_has_secret",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_usable(self) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())


class LoginThrottle(models.Model):
    """Attempts to sign in with one name from one address since the last success. Both are only kept as a digest."""

    key = models.BinaryField(primary_key=True)
    attempts = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()


class AuditEntry(models.Model):
    """One administrative act: a login, a change of right, a token, a setting. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    recorded_at = models.DateTimeField(default=timezone.now)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    object_kind = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    detail = models.JSONField(default=dict)
    ip = models.GenericIPAddressField(null=True)
    digest = models.BinaryField()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        triggers = APPEND_ONLY

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.object_id}"


class ProductSettings(models.Model):
    """The installation's own choices: exactly one row."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    suggestion_days = models.PositiveSmallIntegerField(
        _("suggestion window (days)"),
        default=7,
        help_text=_("How far back suggested incidents look for alerts."),
    )
    auto_link_score = models.PositiveSmallIntegerField(
        _("link new alerts by themselves from score"), null=True, blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_(
            "1 to 100: a new alert that possibly belongs to an open incident with at least this score is linked to it. "
            "Empty: never."
        ),
    )  # fmt: skip
    create_unknown_partners = models.BooleanField(
        _("create unknown partners"), default=True,
        help_text=_("An alert that names a partner nobody knows creates it. Off: such alerts are quarantined."),
    )  # fmt: skip
    require_assessment = models.BooleanField(
        _("require an assessment to close an incident"), default=False,
        help_text=_("Off: the API may close an incident without determination, impact and summary."),
    )  # fmt: skip
    archive_alerts_after_days = models.PositiveIntegerField(
        _("archive resolved alerts after (days)"), null=True, blank=True, help_text=_("Empty: never.")
    )
    purge_deliveries_after_days = models.PositiveIntegerField(
        _("delete deliveries after (days)"), null=True, blank=True, validators=[MinValueValidator(1)],
        help_text=_("The first and the latest of an alert stay until it is archived. Empty: never."),
    )  # fmt: skip
    purge_quarantined = models.BooleanField(
        _("delete quarantined deliveries as well"), default=False,
        help_text=_("Off: what was never understood is kept for as long as it waits."),
    )  # fmt: skip
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("settings")
        verbose_name_plural = _("settings")
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="productsettings_one_row")]
        triggers = [pgtrigger.Protect(name="keep", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return str(_("Settings"))

    @classmethod
    def load(cls) -> ProductSettings:
        """The one row; made by the first migration."""
        return cls.objects.get(pk=1)
