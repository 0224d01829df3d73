"""Django admin: entities that group no alerts. Incidents are worked on their pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from incidents.models import SuggestionExclusion
from incidents.services import delete_exclusion, save_exclusion
from opensoar.accounts.admin_base import Served, ServedForm, actor_of
from opensoar.actors import Actor


class ExclusionForm(ServedForm):
    """What it is, why, and until when; afterwards only the last two."""

    class Meta:
        model = SuggestionExclusion
        fields = ("partner", "entity", "value", "reason", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("partner", "entity", "value"):
            if not self.is_new and name in self.fields:
                self.fields[name].disabled = True

    def serve(self, actor: Actor, data: dict[str, Any]) -> SuggestionExclusion:
        return save_exclusion(actor=actor, exclusion=None if self.is_new else self.instance, **data)


@admin.register(SuggestionExclusion)
class ExclusionAdmin(Served):
    """Who may dismiss a suggestion may exclude what it was made of."""

    capability, reading = "incidents:update", "incidents:read"
    form = ExclusionForm
    list_display = ("entity", "value", "partner", "reason", "expires_at", "created_by")
    list_select_related = ("partner", "created_by")
    search_fields = ("value", "reason")

    def seen(self, rows: QuerySet[SuggestionExclusion], actor: Actor) -> QuerySet[SuggestionExclusion]:
        return SuggestionExclusion.objects.visible_to(actor).kept()

    def owned(self, obj: Any, actor: Actor) -> bool:
        return obj.partner_id is not None and actor.sees_partner(obj.partner_id)

    def delete_model(self, request: HttpRequest, obj: SuggestionExclusion) -> None:
        delete_exclusion(actor=actor_of(request), exclusion=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SuggestionExclusion]) -> None:
        for row in queryset:
            self.delete_model(request, row)
