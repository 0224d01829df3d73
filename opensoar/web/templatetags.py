"""Template builtins (registered in settings): what every page needs to show values."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from opensoar.markup import render_markdown

register = template.Library()

# Colour is never the only sign: the badge carries the word.
SEVERITY_COLOURS = {
    "critical": "red",
    "high": "orange",
    "medium": "yellow",
    "low": "azure",
    "informational": "secondary",
}
STATE_COLOURS = {
    "new": "blue", "open": "blue", "in_progress": "azure", "investigating": "azure", "contained": "teal",
    "resolved": "secondary", "closed": "secondary",
    "malicious": "red", "suspicious": "orange", "benign": "green", "unknown": "secondary",
    "success": "green", "failed": "red", "running": "azure", "needs_attention": "orange", "waiting": "yellow",
    "pending": "secondary", "cancelled": "secondary", "skipped": "secondary", "started": "azure",
    "ready": "secondary", "held": "orange", "done": "green", "quarantined": "orange",
}  # fmt: skip


@register.filter
def words(value: object) -> str:
    """``in_progress`` as people write it: ``In progress``."""
    return str(value).replace("_", " ").capitalize() if value not in (None, "") else ""


@register.filter
def severity_badge(value: str) -> SafeString:
    """The severity as a badge: colour and word."""
    return _badge(value, SEVERITY_COLOURS.get(value, "secondary"))


@register.filter
def state_badge(value: str) -> SafeString:
    """A status, determination or run state as a badge: colour and word."""
    return _badge(value, STATE_COLOURS.get(value, "secondary"))


def _badge(value: str, colour: str) -> SafeString:
    return format_html('<span class="badge bg-{}-lt badge-{}">{}</span>', colour, colour, words(value))


@register.filter
def ago(value: datetime | None) -> SafeString | str:
    """A moment relative to now, the exact one on hover and for machines; an em dash for none."""
    if value is None:
        return "—"
    local = timezone.localtime(value)
    exact = f"{date_format(local, 'Y-m-d H:i:s')} {local.tzname()}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(),
        exact,
        _relative(timezone.now() - value),
    )


def _relative(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    if abs(seconds) < 5:
        return _("just now")
    amount = abs(seconds)
    if amount < 60:
        text = ngettext("%d second", "%d seconds", amount) % amount
    elif amount < 3600:
        text = ngettext("%d minute", "%d minutes", amount // 60) % (amount // 60)
    elif amount < 86_400:
        text = ngettext("%d hour", "%d hours", amount // 3600) % (amount // 3600)
    else:
        text = ngettext("%d day", "%d days", amount // 86_400) % (amount // 86_400)
    return (_("%s ago") if seconds > 0 else _("in %s")) % text


@register.filter
def exact(value: datetime | None) -> str:
    """A moment to the second, with its zone."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    return f"{date_format(local, 'Y-m-d H:i:s')} {local.tzname()}"


@register.filter
def markdown(value: str | None) -> SafeString | str:
    """People's text as safe HTML (``opensoar.markup`` is the only place that makes any)."""
    return render_markdown(value) if value else ""


@register.filter
def pretty_json(value: Any) -> str:
    """A JSON value for reading; escaped by the template like any text."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False, default=str)


@register.filter
def can(user: Any, capability: str) -> bool:
    """Whether the signed-in person holds ``capability``: ``{% if request.user|can:"alerts:update" %}``."""
    return bool(user.is_authenticated and user.actor.can(capability))


@register.simple_tag(takes_context=True)
def theme(context: dict[str, Any]) -> str:
    """``light`` or ``dark`` where the person chose one, else nothing: theme.js follows the system."""
    request: HttpRequest | None = context.get("request")
    chosen = request.COOKIES.get("theme", "") if request is not None else ""
    return chosen if chosen in {"light", "dark"} else ""


@register.simple_tag(takes_context=True)
def current(context: dict[str, Any], prefix: str) -> str:
    """``active`` where the page lies under ``prefix``."""
    request: HttpRequest | None = context.get("request")
    return "active" if request is not None and request.path.startswith(prefix) else ""
