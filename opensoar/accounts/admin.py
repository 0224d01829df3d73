"""Django admin: people, roles, partners, tokens and settings. Nothing here touches an alert or an incident."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from opensoar.accounts import services
from opensoar.accounts.models import ApiToken, AuditEntry, Partner, ProductSettings, Role, User


class Audited(admin.ModelAdmin):  # type: ignore[type-arg]
    """Every change leaves an audit entry."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        services.audit(
            actor=request.user.actor,  # type: ignore[union-attr]
            action=f"{obj._meta.model_name}_{'changed' if change else 'created'}",
            object_kind=obj._meta.model_name,
            object_id=str(obj.pk),
            detail={"fields": form.changed_data},
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    """A person; the password is written, never shown."""

    password_new = forms.CharField(
        label="Password", required=False, widget=forms.PasswordInput(render_value=False), min_length=10
    )

    class Meta:
        model = User
        fields = ("username", "display_name", "email", "role", "partners", "is_active")


@admin.register(User)
class UserAdmin(Audited):
    form = UserForm
    list_display = ("username", "display_name", "role", "is_active", "last_login")
    list_filter = ("role", "is_active")
    search_fields = ("username", "display_name", "email")
    filter_horizontal = ("partners",)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        if password := form.cleaned_data.get("password_new"):
            services.set_password(actor=request.user.actor, user=obj, password=password)  # type: ignore[union-attr]


@admin.register(Role)
class RoleAdmin(Audited):
    list_display = ("id", "label", "built_in")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.built_in)


@admin.register(Partner)
class PartnerAdmin(Audited):
    list_display = ("slug", "name", "created_at")
    search_fields = ("slug", "name")


@admin.register(ApiToken)
class TokenAdmin(Audited):
    list_display = ("name", "prefix", "scopes", "partner", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("kind",)
    fields = ("name", "scopes", "partner", "source", "expires_at")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        data = form.cleaned_data
        token, plaintext = services.issue_token(
            actor=request.user.actor,  # type: ignore[union-attr]
            name=data["name"],
            scopes=data["scopes"],
            partner=data["partner"],
            source=data["source"],
            expires_at=data["expires_at"],
        )
        obj.pk, obj._state.adding = token.pk, False
        messages.warning(request, _("Copy it now, it is not shown again: %(token)s") % {"token": plaintext})

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and obj is None

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        """The chosen tokens open nothing any more."""
        for token in queryset:
            services.revoke_token(actor=request.user.actor, token=token)  # type: ignore[union-attr]


@admin.register(ProductSettings)
class SettingsAdmin(Audited):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(AuditEntry)
class AuditAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("recorded_at", "actor_name", "action", "object_kind", "object_id")
    search_fields = ("actor_name", "action", "object_id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
