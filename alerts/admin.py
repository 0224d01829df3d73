"""Django admin: what came in, for reading. Alerts themselves are worked on their pages, through services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from alerts.models import Delivery
from opensoar.accounts.admin_base import Scoped

SHOWN_CHARACTERS = 20_000


@admin.register(Delivery)
class DeliveryAdmin(Scoped):
    """Inbound bodies as received; quarantined ones say why. Evidence: nobody changes it here."""

    capability = "alerts:read"
    list_display = ("received_at", "source", "state", "reason", "alert_id")
    list_filter = ("state",)
    fields = (
        "received_at",
        "source",
        "state",
        "reason",
        "content_type",
        "alert_id",
        "token_id",
        "partner_id",
        "text",
    )
    readonly_fields = fields
    show_full_result_count = False  # the table may have millions of rows

    @admin.display(description=_("body"))
    def text(self, delivery: Delivery) -> str:
        """The body as text, as far as it can be read; escaped by the page."""
        return (
            bytes(delivery.body)
            .decode("utf-8", "replace")
            .replace("\x00", "\N{REPLACEMENT CHARACTER}")[:SHOWN_CHARACTERS]
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
