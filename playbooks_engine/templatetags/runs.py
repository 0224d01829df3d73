"""The runs panel for pages of layers below: they name the tag, and import nothing from here."""

from __future__ import annotations

from typing import Any

from django import template

from alerts.models import Alert
from incidents.models import Incident
from playbooks_engine import pages

register = template.Library()


@register.inclusion_tag("runs/_panel_rows.html", takes_context=True)
def runs_about(context: dict[str, Any], subject: Alert | Incident) -> dict[str, Any]:
    """The newest runs about an alert or an incident."""
    alert, incident = (subject, None) if isinstance(subject, Alert) else (None, subject)
    return pages.panel(context["request"].actor, alert=alert, incident=incident)
