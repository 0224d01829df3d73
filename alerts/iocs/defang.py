"""Defanging: writing an indicator so that nobody clicks it, and back."""

from __future__ import annotations

import re

# Markers people and tools use. Blanks around a marker belong to it only with square brackets: "(at)" between words is
# English, "[at]" is not. Every repetition is bounded, which keeps the standard library's engine linear here; its
# substitution is fifty times cheaper per match than going through RE2 from Python.
_DOT = re.compile(r" ?\[{1,3} ?(?:\.|dot) ?\]{1,3} ?|[({]{1,2}(?:\.|dot)[)}]{1,2}", re.IGNORECASE)
_AT = re.compile(r" ?\[{1,3} ?(?:@|at) ?\]{1,3} ?|[({]{1,2}(?:@|at)[)}]{1,2}", re.IGNORECASE)
_COLON = re.compile(r"\[{1,2}:(/{0,2})\]{1,2}")
_SLASH = re.compile(r"\[{1,2}(/{1,2})\]{1,2}")
_HTTP = re.compile(r"\b(?:h(?:xx|\*\*|__)p|meow)(s?)://", re.IGNORECASE)
_FTP = re.compile(r"\bf(?:x|xx|\*)p(s?)://", re.IGNORECASE)
# Rounds of refanging: markers inside markers, which only somebody who plays with us writes.
_MAX_NESTING = 8
_SCHEMES = {"http": "hxxp", "https": "hxxps", "ftp": "fxp", "ftps": "fxps"}


def is_defanged(text: str) -> bool:
    """Whether :func:`refang` might change ``text``. Cheap, and may say yes in vain."""
    if "[" in text or "(" in text or "{" in text:
        return True
    return "xp" in text or "XP" in text or "xP" in text or "Xp" in text or "*" in text or "__p" in text


def refang(text: str) -> str:
    """``text`` with every defanged form written plainly: ``hxxp://evil[.]com`` → ``http://evil.com``."""
    for _ in range(_MAX_NESTING):
        plain = _refang_once(text)
        if plain == text:
            break
        text = plain
    return text


def _refang_once(text: str) -> str:
    if "[" in text or "(" in text or "{" in text:
        text = _COLON.sub(r":\1", text)
        text = _SLASH.sub(r"\1", text)
        text = _DOT.sub(".", text)
        text = _AT.sub("@", text)
    if "://" in text:
        text = _HTTP.sub(r"http\1://", text)
        text = _FTP.sub(r"ftp\1://", text)
    return text


def defang(value: str) -> str:
    """A URL, address or name that no program turns into a link: ``hxxp://evil[.]com/a.exe``, ``joe[@]evil[.]com``.

    What cannot be clicked (a path, text with blanks) comes back unchanged. ``refang`` undoes it for canonical values.
    """
    scheme, separator, rest = value.partition("://")
    if not separator:
        if any(character in value for character in " \t\r\n/\\"):
            return value
        return value.replace(".", "[.]").replace("@", "[@]")
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    authority = rest[:end].replace(".", "[.]").replace("@", "[@]")
    safe = _SCHEMES.get(scheme.lower())
    return (f"{safe}://" if safe else f"{scheme}[:]//") + authority + rest[end:]
