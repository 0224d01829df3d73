"""Django admin: the switch and the partner of a playbook. Everything else follows the file."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from opensoar.accounts.services import audit
from playbooks_engine.models import Playbook


@admin.register(Playbook)
class PlaybookAdmin(admin.ModelAdmin):
    list_display = ("name", "order", "trigger", "enabled", "partner", "missing_since")
    fields = ("enabled", "partner")

    def save_model(self, request: HttpRequest, obj: Playbook, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit(
            actor=request.user.actor,  # type: ignore[union-attr]
            action="playbook_changed",
            object_kind="playbook",
            object_id=str(obj.pk),
            detail={"name": obj.name, "enabled": obj.enabled},
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
