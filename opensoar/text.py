"""Text from outside, made fit for the database: PostgreSQL takes neither NUL nor lone surrogates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from opensoar.errors import Invalid

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_TEXT = 20_000  # characters of a comment, a note, a description
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


# Direction marks and zero-width characters: they make "exe.fdp" out of what the machine runs as "pdf.exe".
_HIDDEN = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def visible(text: str) -> str:
    """``text`` as it is shown: characters that hide or turn others are named instead, ``⟨U+202E⟩``."""
    if text.isascii():
        return text
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def clean(text: str) -> str:
    """``text`` with what PostgreSQL cannot store replaced by U+FFFD."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def clean_json(value: Any) -> Any:
    """``value`` with every string in it cleaned; raises :class:`Invalid` for what is not JSON."""
    match value:
        case str():
            return clean(value)
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case dict():
            return {clean(str(key)): clean_json(item) for key, item in value.items()}
        case list() | tuple():
            return [clean_json(item) for item in value]
    raise Invalid(_("%(type)s is not JSON") % {"type": type(value).__name__}, field="metadata")


def required_text(text: object, *, field: str, limit: int = MAX_TEXT) -> str:
    """``text`` stripped and cleaned; raises :class:`Invalid` where it is empty, no text, or over ``limit`` characters."""
    if not isinstance(text, str) or not text.strip():
        raise Invalid(_("%(field)s must not be empty") % {"field": field}, field=field)
    return limited_text(text, field=field, limit=limit)


def limited_text(text: str, *, field: str, limit: int = MAX_TEXT) -> str:
    """``text`` stripped and cleaned, possibly empty; raises :class:`Invalid` over ``limit`` characters."""
    text = clean(text.strip())
    if len(text) > limit:
        raise Invalid(
            _("%(field)s is longer than %(limit)d characters") % {"field": field, "limit": limit}, field=field
        )
    return text


def choice(value: object, allowed: Iterable[str], *, field: str) -> str:
    """``value`` if it is one of ``allowed``; raises :class:`Invalid` that lists them in order."""
    allowed = list(allowed)
    if isinstance(value, str) and value in allowed:
        return value
    raise Invalid(
        _("Invalid %(field)s. Must be one of: %(allowed)s") % {"field": field, "allowed": ", ".join(allowed)},
        field=field,
    )


def tag_list(tags: Iterable[object], *, limit: int = 100) -> list[str]:
    """Tags stripped, without blanks and repeats, in the order given; :class:`Invalid` past ``limit`` tags or characters."""
    if isinstance(tags, str):
        raise Invalid(_("tags must be a list"), field="tags")
    cleaned = dict.fromkeys(required_text(tag, field="tag", limit=100) for tag in tags if tag != "")
    if len(cleaned) > limit:
        raise Invalid(_("There can be at most %(limit)d tags") % {"limit": limit}, field="tags")
    return list(cleaned)
