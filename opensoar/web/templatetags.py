"""Template builtins (registered in settings): one tag or filter is one component of the design.

Colour is never the only sign: every component carries its word, and severity and states a shape beside it.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django import template
from django.forms import BoundField
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from opensoar.markup import render_markdown
from opensoar.text import visible

register = template.Library()

SEVERITY_BARS = {"informational": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}
VERDICT_ICONS = {
    "malicious": "bug",
    "suspicious": "alert-triangle",
    "benign": "circle-check",
    "unknown": "help-circle",
}
# State: (icon, class that says who must act). Neutral unless somebody must.
STATES = {
    "new": ("circle-dashed", ""), "in_progress": ("circle-half-2", ""), "resolved": ("circle-check", "is-ok"),
    "open": ("circle-dashed", ""), "investigating": ("circle-half-2", ""), "contained": ("shield-lock", ""),
    "closed": ("circle-check", "is-ok"),
    "pending": ("circle-dashed", ""), "running": ("loader-2", "is-live"), "waiting": ("hourglass", "is-wait"),
    "needs_attention": ("alert-triangle", "is-bad"), "success": ("circle-check", "is-ok"),
    "failed": ("circle-x", "is-bad"), "cancelled": ("ban", ""), "skipped": ("circle-dashed", ""),
    "started": ("loader-2", "is-live"), "unknown": ("help-circle", "is-wait"),
    "ready": ("circle-dashed", ""), "held": ("hourglass", "is-wait"), "done": ("circle-check", "is-ok"),
    "accepted": ("circle-check", "is-ok"), "duplicate": ("stack-2", ""), "replayed": ("rotate-clockwise", "is-ok"),
    "quarantined": ("alert-triangle", "is-wait"),
    "learning": ("hourglass", ""), "speaking": ("circle-check", "is-ok"), "silent": ("wifi-off", "is-bad"),
}  # fmt: skip
OBSERVABLE_ICONS = {
    "ip": "map-pin", "domain": "world", "hostname": "device-laptop", "url": "link", "email": "mail",
    "md5": "hash", "sha1": "hash", "sha256": "hash", "sha512": "hash", "ssdeep": "hash",
    "filename": "file-zip", "path": "file-text", "username": "user", "process": "code", "command_line": "code",
    "cve": "bug", "asn": "building", "mac": "plug", "registry_key": "settings", "mutex": "lock",
    "user_agent": "world", "file": "file-zip",
}  # fmt: skip


@cache
def _sprite() -> str:
    return static("icons/icons.svg")


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """One symbol of the sprite; ``size`` adds classes (``i-s``, ``spin``). Never alone: a word or a label goes with it."""
    classes = f"i {size}" if size else "i"
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#{}"></use></svg>', classes, _sprite(), name
    )


ACRONYMS = {"ip", "url", "md5", "sha1", "sha256", "sha512", "asn", "cve", "mac"}


@register.filter
def words(value: object) -> str:
    """``in_progress`` as people write it: ``In progress``, ``sha256``: ``SHA256``."""
    text = "" if value is None else str(value)
    return text.upper() if text in ACRONYMS else text.replace("_", " ").capitalize()


@register.simple_tag
def sev(value: str, shown: bool = True) -> SafeString:
    """Severity: bars and word. ``shown=False`` keeps the word for screen readers only."""
    word = _("Info") if value == "informational" else words(value)
    text = word if shown else format_html('<span class="vh">{}</span>', word)
    bars = icon(f"sev-{SEVERITY_BARS.get(value, 0)}")
    return format_html('<span class="sev sev-{}">{}{}</span>', value, bars, text)


@register.simple_tag
def verdict(value: str) -> SafeString:
    """Determination of an alert, or verdict about an observable: shape, word, colour."""
    known = VERDICT_ICONS.get(value, "help-circle")
    colour = "" if value == "unknown" else f" v-{value}"
    return format_html('<span class="verdict{}">{}{}</span>', colour, icon(known, "i-s"), words(value))


@register.simple_tag
def state(value: str, text: str = "", shown: bool = True) -> SafeString:
    """State of an alert, incident, run or call: shape and word; coloured only where a person must act.

    ``text`` stands in place of the word; ``shown=False`` keeps the word for screen readers only.
    """
    symbol, colour = STATES.get(value, ("circle-dashed", ""))
    size = "i-s spin" if symbol == "loader-2" else "i-s"
    word = text or (words(value) if shown else format_html('<span class="vh">{}</span>', words(value)))
    return format_html('<span class="state {}">{}{}</span>', colour, icon(symbol, size), word)


@register.simple_tag
def avatar(user: Any) -> SafeString:
    """A person's initials on a hue of their own; a dashed circle where nobody is."""
    if not user:
        none = _("Nobody")
        return format_html(
            '<span class="avatar avatar-none" title="{}">{}<span class="vh">{}</span></span>',
            none, icon("user", "i-s"), none,
        )  # fmt: skip
    name = str(user)
    parts = name.replace(".", " ").split() or ["?"]
    initials = (parts[0][0] + (parts[-1][0] if len(parts) > 1 else parts[0][1:2])).upper()
    return format_html(
        '<span class="avatar hue-{}" title="{}">{}<span class="vh"> ({})</span></span>',
        user.pk.int % 4 + 1, name, initials, name,
    )  # fmt: skip


@register.simple_tag
def who(user: Any) -> SafeString:
    """Avatar and name."""
    name = str(user) if user else _("Nobody")
    return format_html('<span class="who">{}<span>{}</span></span>', avatar(user), name)


@register.simple_tag
def ent(kind: str, value: str | None) -> SafeString | str:
    """A value that a machine wrote (host, user, address), with the symbol of its type; nothing for none."""
    if not value:
        return ""
    value = visible(value)
    symbol = icon(OBSERVABLE_ICONS.get(kind, "fingerprint"), "i-s")
    return format_html(
        '<span class="obs">{}<span class="vh">{} </span><span class="mono" title="{}: {}">{}</span></span>',
        symbol, words(kind), words(kind), value, value,
    )  # fmt: skip


@register.simple_tag
def tlp(value: str, scale: str = "TLP") -> SafeString:
    """A TLP 2.0 or PAP marking in FIRST's own colours."""
    return format_html('<span class="tlp tlp-{}">{}:{}</span>', value.partition("+")[0], scale, value.upper())


def _time(value: datetime, text: str, pattern: str) -> SafeString:
    # app.js goes on counting by the pattern while the page stays open.
    return format_html(
        '<time datetime="{}" title="{}" data-age="{}">{}</time>',
        value.isoformat(),
        exact(value),
        pattern,
        text,
    )


@register.filter
def age(value: datetime | None) -> SafeString | str:
    """How long ago, as short as a column wants it (``9m``); the exact moment on hover."""
    return _time(value, _short(timezone.now() - value), "%s") if value else "—"


@register.filter
def ago(value: datetime | None) -> SafeString | str:
    """A moment relative to now for a sentence (``9m ago``, ``in 2h``); an em dash for none."""
    if value is None:
        return "—"
    passed = timezone.now() - value
    past = _("%s ago")
    if abs(passed.total_seconds()) < 5:
        text = _("just now")
    else:
        text = (past if passed > timedelta(0) else _("in %s")) % _short(passed)
    return _time(value, text, past)


def _short(passed: timedelta) -> str:
    seconds = abs(int(passed.total_seconds()))
    if seconds < 60:
        return _("%ds") % seconds
    if seconds < 3600:
        return _("%dm") % (seconds // 60)
    if seconds < 86_400:
        return _("%dh") % (seconds // 3600)
    return _("%dd") % (seconds // 86_400)


@register.filter
def duration(milliseconds: int | None) -> str:
    """Milliseconds as people read them: ``840 ms``, ``2.4 s``, ``3 min 12 s``, ``27 min``."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min" + (f" {int(seconds % 60)} s" if seconds < 600 else "")


@register.filter
def exact(value: datetime | None) -> str:
    """A moment to the second, with its zone."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    return f"{date_format(local, 'Y-m-d H:i:s')} {local.tzname()}"


@register.filter
def markdown(value: str | None, actor_kind: str = "analyst") -> SafeString | str:
    """Text as safe HTML (``opensoar.markup`` is the only place that makes any); links only where a person wrote it."""
    return render_markdown(value, links=actor_kind == "analyst") if value else ""


@register.filter
def seen(value: str | None) -> str:
    """What came from outside, with characters named that would hide or turn others; an em dash for nothing."""
    return visible(value) if value else "—"


@register.filter
def pretty_json(value: Any) -> str:
    """A JSON value for reading; escaped by the template like any text."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False, default=str)


@register.filter
def named(username: str, names: dict[str, str]) -> str:
    """What the person of that username is called; the username where nobody has it any more."""
    return names.get(username, username)


@register.filter
def control(field: BoundField) -> SafeString:
    """A field of a form that is not ours, with the design's class."""
    return field.as_widget(attrs={"class": "form-control"})


@register.filter
def filename(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


@register.filter
def condition(value: Any) -> str:
    """A condition's value as a person reads it: lists with commas, the rest as it was written."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | bool) else str(value)


@register.filter
def timeline_templates(action: str) -> list[str]:
    """The template that shows a timeline kind; a kind without one is named by its label."""
    return [f"timeline/{action}.html", "timeline/_other.html"]


@register.filter
def can(user: Any, capability: str) -> bool:
    """Whether the signed-in person holds ``capability``: ``{% if request.user|can:"alerts:update" %}``."""
    return bool(user.is_authenticated and user.actor.can(capability))


@register.simple_tag(takes_context=True)
def cookie(context: dict[str, Any], name: str, allowed: str) -> str:
    """A look that the person chose, kept in a cookie: its value where it is one of ``allowed`` (comma list), else nothing."""
    request: HttpRequest | None = context.get("request")
    chosen = request.COOKIES.get(name, "") if request is not None else ""
    return chosen if chosen in allowed.split(",") else ""


@register.simple_tag(takes_context=True)
def current(context: dict[str, Any], *prefixes: str) -> SafeString | str:
    """``aria-current`` where the page lies under one of ``prefixes``."""
    request: HttpRequest | None = context.get("request")
    here = request is not None and request.path.startswith(prefixes)
    return format_html(' aria-current="{}"', "page") if here else ""
