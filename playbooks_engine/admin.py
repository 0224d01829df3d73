"""Django admin: the switch and the partner of a playbook, and connectors. A playbook's rest follows its file."""

from __future__ import annotations

from typing import Any

import orjson
from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from opensoar.accounts.services import audit
from opensoar.crypto import SecretsError, encrypt
from playbooks_engine.models import Connector, Playbook
from playbooks_engine.services import update_playbook


@admin.register(Playbook)
class PlaybookAdmin(admin.ModelAdmin):
    """Whether it runs, and for whom."""

    list_display = ("name", "order", "trigger", "enabled", "partner", "missing_since")
    list_select_related = ("partner",)
    fields = ("enabled", "partner")

    def save_model(self, request: HttpRequest, obj: Playbook, form: Any, change: bool) -> None:
        actor = request.user.actor  # type: ignore[union-attr]
        update_playbook(actor=actor, playbook=obj, enabled=obj.enabled, partner=obj.partner)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ConnectorForm(forms.ModelForm):
    """A connector. Its secrets go in and never come out again: not to the page, not to the audit trail."""

    new_secrets = forms.JSONField(
        label=_("Secrets"), required=False, widget=forms.PasswordInput(render_value=False, attrs={"size": 80}),
        help_text=_('JSON such as {"api_key": "…"}. Kept encrypted and never shown; empty: stays as it is.'),
    )  # fmt: skip
    forget_secrets = forms.BooleanField(label=_("Forget the stored secrets"), required=False)

    class Meta:
        model = Connector
        fields = ("kind", "name", "partner", "enabled", "config")

    def clean_new_secrets(self) -> bytes | None:
        """The secrets, sealed for this row. What was typed goes no further than here."""
        typed = self.cleaned_data["new_secrets"]
        if typed in (None, "", {}):
            return None
        if not isinstance(typed, dict):
            raise forms.ValidationError(_("The secrets must be a JSON object."))
        try:
            return encrypt(orjson.dumps(typed), context=str(self.instance.pk))
        except SecretsError as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(Connector)
class ConnectorAdmin(admin.ModelAdmin):
    """Connections to other systems."""

    form = ConnectorForm
    list_display = ("name", "kind", "partner", "enabled", "has_secrets", "health_status")
    list_filter = ("kind", "enabled")
    list_select_related = ("partner",)

    @admin.display(description=_("secrets stored"), boolean=True)
    def has_secrets(self, connector: Connector) -> bool:
        """Whether there are any; never which."""
        return connector.secrets is not None

    def save_model(self, request: HttpRequest, obj: Connector, form: Any, change: bool) -> None:
        sealed, forget = form.cleaned_data["new_secrets"], form.cleaned_data["forget_secrets"]
        if sealed is not None or forget:
            obj.secrets = sealed
        obj.version += 1 if change else 0
        super().save_model(request, obj, form, change)
        audit(
            actor=request.user.actor,  # type: ignore[union-attr]
            action="connector_changed" if change else "connector_created",
            object_kind="connector",
            object_id=obj.pk,
            detail={"kind": obj.kind, "name": obj.name, "fields": sorted(form.changed_data)},
        )

    def delete_model(self, request: HttpRequest, obj: Connector) -> None:
        actor = request.user.actor  # type: ignore[union-attr]
        detail = {"kind": obj.kind, "name": obj.name}
        audit(
            actor=actor, action="connector_deleted", object_kind="connector", object_id=obj.pk, detail=detail
        )
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for connector in queryset:
            self.delete_model(request, connector)
