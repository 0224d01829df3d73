"""Django admin: people, roles, partners, tokens and settings. Nothing here touches an alert or an incident."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from opensoar.accounts import services
from opensoar.accounts.access import audit_of, people_of, tokens_of
from opensoar.accounts.admin_base import Scoped, Served, ServedForm, actor_of
from opensoar.accounts.models import ApiToken, AuditEntry, Partner, ProductSettings, Role, User
from opensoar.accounts.permissions import ALL
from opensoar.accounts.services.inbound import BOUNDS
from opensoar.actors import Actor

# Rights are roles here; an address is changed with its person.
admin.site.unregister([Group, EmailAddress])


class Audited(Scoped):
    """Every change leaves an audit entry in its own transaction; nothing is deleted here."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        services.audit(
            actor=actor_of(request),
            action=f"{obj._meta.model_name}_{'changed' if change else 'created'}",
            object_kind=obj._meta.model_name,
            object_id=str(obj.pk),
            detail={"fields": form.changed_data},
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class UserForm(ServedForm):
    """A person; the password is written, never shown."""

    field_names = {"password": "password_new", "new_password": "password_new"}
    password_new = forms.CharField(
        label=_("Password"), required=False, widget=forms.PasswordInput(render_value=False)
    )

    class Meta:
        model = User
        fields = ("username", "display_name", "email", "role", "partners", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_new:
            self.fields["password_new"].required = True
        elif "username" in self.fields:
            self.fields["username"].disabled = True  # the name in every timeline stays the person's

    def serve(self, actor: Actor, data: dict[str, Any]) -> User:
        changes = {name: data[name] for name in ("display_name", "email", "partners")}
        changes["role"] = data["role"].pk
        if self.is_new:
            user = services.create_user(
                actor=actor, username=data["username"], password=data["password_new"], **changes
            )
            if data["is_active"]:
                return user
            return services.update_user(actor=actor, user=user, is_active=False)
        stored = User.objects.get(pk=self.instance.pk)  # the instance already carries what was typed
        user = services.update_user(actor=actor, user=stored, is_active=data["is_active"], **changes)
        if data["password_new"]:
            services.set_password(actor=actor, user=user, password=data["password_new"])
        return user


@admin.register(User)
class UserAdmin(Served):
    capability = "analysts:manage"
    form = UserForm
    list_display = ("username", "display_name", "role", "is_active", "last_login")
    list_filter = ("role", "is_active")
    search_fields = ("username", "display_name", "email")
    filter_horizontal = ("partners",)

    def seen(self, rows: QuerySet[User], actor: Actor) -> QuerySet[User]:
        return rows.filter(pk__in=people_of(actor).values("pk"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RoleForm(ServedForm):
    """A role and what it may do."""

    capabilities = forms.MultipleChoiceField(
        label=_("Capabilities"), choices=[(word, word) for word in sorted(ALL)], required=False,
        widget=forms.CheckboxSelectMultiple,
    )  # fmt: skip

    class Meta:
        model = Role
        fields = ("id", "label", "capabilities")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_new and "id" in self.fields:
            self.fields["id"].disabled = True  # people refer to it

    def serve(self, actor: Actor, data: dict[str, Any]) -> Role:
        values = {"label": data["label"], "capabilities": data["capabilities"]}
        if self.is_new:
            return services.create_role(actor=actor, role_id=data["id"], **values)
        return services.update_role(actor=actor, role=self.instance, **values)


@admin.register(Role)
class RoleAdmin(Served):
    capability = "analysts:manage"
    form = RoleForm
    shared = True
    list_display = ("id", "label", "built_in")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.built_in)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Partner)
class PartnerAdmin(Audited):
    list_display = ("slug", "name", "created_at")
    search_fields = ("slug", "name")
    shared = True  # a slug decides where alerts go, also those of others

    def seen(self, rows: QuerySet[Partner], actor: Actor) -> QuerySet[Partner]:
        return rows if actor.partner_ids is None else rows.filter(pk__in=actor.partner_ids)


class TokenForm(ServedForm):
    """A token; its plaintext is shown once, after it was made."""

    plaintext = ""
    secret = forms.CharField(
        label=_("Signing secret"), required=False, widget=forms.PasswordInput(render_value=False),
        help_text=_("What the sender signs with; written, never shown. Empty: the one it has stays."),
    )  # fmt: skip
    field_names = {"signing_secret": "secret"}

    class Meta:
        model = ApiToken
        fields = ("name", "scopes", "partner", "source", "expires_at", *BOUNDS, "signature")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "signature" in self.fields:
            self.fields["signature"].required = False  # nothing chosen is none
        if not self.is_new:  # who holds it was promised these
            for name in ("name", "scopes", "partner", "source", "expires_at"):
                if name in self.fields:
                    self.fields[name].disabled = True

    def serve(self, actor: Actor, data: dict[str, Any]) -> ApiToken:
        inbound = {name: data[name] for name in BOUNDS}
        inbound |= {"signature": data["signature"] or "none", "signing_secret": data["secret"]}
        if not self.is_new:
            return services.configure_token(actor=actor, token=self.instance, **inbound)
        named = {name: data[name] for name in ("name", "scopes", "partner", "source", "expires_at")}
        token, self.plaintext = services.issue_token(actor=actor, **named, **inbound)
        return token


@admin.register(ApiToken)
class TokenAdmin(Served):
    capability = "api_keys:manage"
    form = TokenForm
    list_display = ("name", "prefix", "scopes", "partner", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("partner",)
    actions = ("revoke",)

    def seen(self, rows: QuerySet[ApiToken], actor: Actor) -> QuerySet[ApiToken]:
        return rows.filter(pk__in=tokens_of(actor).values("pk"))

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.plaintext:
            messages.warning(
                request, _("Copy it now, it is not shown again: %(token)s") % {"token": form.plaintext}
            )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.revoked_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description=_("Revoke"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """The chosen tokens open nothing any more."""
        for token in queryset:
            services.revoke_token(actor=actor_of(request), token=token)


@admin.register(ProductSettings)
class SettingsAdmin(Audited):
    shared = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(AuditEntry)
class AuditAdmin(Scoped):
    capability = "audit:read"
    list_display = ("recorded_at", "actor_name", "action", "object_kind", "object_id")
    search_fields = ("actor_name", "action", "object_id")

    def seen(self, rows: QuerySet[AuditEntry], actor: Actor) -> QuerySet[AuditEntry]:
        return rows if actor.partner_ids is None else rows.filter(pk__in=audit_of(actor).values("pk"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
