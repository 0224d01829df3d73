"""The rules of the sources, and how they have done."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from alerts.rules import DAYS, LOOKED_AT, rules
from opensoar.typing import AuthenticatedRequest
from opensoar.web.decorators import require_capability

SHOWN = 200


@require_safe
@require_capability("alerts:read")
def rule_list(request: AuthenticatedRequest) -> HttpResponse:
    """Rules by how many alerts they made, or how many of these were benign or malicious; ``?q=`` narrows."""
    orders = {
        "alerts": _("Most alerts"),
        "benign": _("Most false positives"),
        "malicious": _("Most malicious"),
    }
    chosen = request.GET.get("order")
    chosen = chosen if chosen in orders else "alerts"
    found = rules(request.actor, words=request.GET.get("q", ""), order=chosen)
    context = {
        "rows": found[:SHOWN], "total": len(found), "orders": orders.items(), "chosen": chosen, "days": DAYS,
        "looked_at": LOOKED_AT,
    }  # fmt: skip
    return render(request, "rules/list.html", context)
