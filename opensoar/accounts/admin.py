"""Django admin: people, roles, partners, tokens and settings. Nothing here touches an alert or an incident."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from opensoar.accounts import services
from opensoar.accounts.models import ApiToken, AuditEntry, Partner, ProductSettings, Role, User
from opensoar.errors import ServiceError


class Audited(admin.ModelAdmin):  # type: ignore[type-arg]
    """Every change leaves an audit entry in its own transaction; nothing is deleted here."""

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
    """A person; the password is written, never shown.

    The services run as the last step of validation, inside the admin's transaction: what they refuse (the last admin,
    a password that is too short, somebody who may do more) stands at the field instead of being an error page.
    """

    request: HttpRequest
    password_new = forms.CharField(
        label=_("Password"), required=False, widget=forms.PasswordInput(render_value=False)
    )

    class Meta:
        model = User
        fields = ("username", "display_name", "email", "role", "partners", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.fields["password_new"].required = True
        else:
            self.fields["username"].disabled = True  # the name in every timeline stays the person's

    def _post_clean(self) -> None:
        """After the model's own checks: a taken name is found before anything is stored."""
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            with transaction.atomic():
                self.saved = self._serve(self.cleaned_data)
        except ServiceError as error:
            named = getattr(error, "field", None)
            field = "password_new" if named in {"password", "new_password"} else named
            self.add_error(field if field in self.fields else None, error.detail)

    def _serve(self, data: dict[str, Any]) -> User:
        actor = self.request.user.actor  # type: ignore[union-attr]
        changes = {name: data[name] for name in ("display_name", "email", "partners")}
        changes["role"] = data["role"].pk
        if self.instance._state.adding:
            user = services.create_user(
                actor=actor, username=data["username"], password=data["password_new"], **changes
            )
            return (
                user if data["is_active"] else services.update_user(actor=actor, user=user, is_active=False)
            )
        stored = User.objects.get(pk=self.instance.pk)  # the instance already carries what was typed
        user = services.update_user(actor=actor, user=stored, is_active=data["is_active"], **changes)
        if data["password_new"]:
            services.set_password(actor=actor, user=user, password=data["password_new"])
        return user


@admin.register(User)
class UserAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = UserForm
    list_display = ("username", "display_name", "role", "is_active", "last_login")
    list_filter = ("role", "is_active")
    search_fields = ("username", "display_name", "email")
    filter_horizontal = ("partners",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return type(
            "BoundUserForm", (super().get_form(request, obj, change=change, **kwargs),), {"request": request}
        )

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Nothing: the form's services have stored and audited it. The row's id is what the admin goes on with."""
        obj.pk, obj._state.adding = form.saved.pk, False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: partners were given by the service."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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
