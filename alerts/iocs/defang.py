"""Defanging: writing an indicator so that nobody clicks it, and back."""

from __future__ import annotations

import re

# Markers people and tools use. Blanks around a marker belong to it with square brackets, and with words in round ones
# that stand before a host: "(at)" between words is English, "[at]" is not. Every repetition is bounded or possessive,
# which keeps the standard library's engine linear here; its substitution is fifty times cheaper per match than going
# through RE2 from Python.
_BRACKETS = re.compile(r"[\[({] ?(?:[.@:/?#=&_-]|dot|at|[ds]\])|\.\]", re.IGNORECASE)
_DOT = re.compile(
    r" ?\[{1,3} ?(?:\.|dot|d) ?\]{1,3} ?|[({]{1,2}(?:\.|dot)[)}]{1,2}| [({]dot[)}] |(?<=\w)\[\.(?=\w)|(?<=\w)\.\](?=\w)",
    re.IGNORECASE,
)
_AT = re.compile(
    r" ?\[{1,3} ?(?:@|at) ?\]{1,3} ?|[({]{1,2}(?:@|at)[)}]{1,2}"
    r"|(?<=\w) (?:[({](?:@|at)[)}]|@) (?=[\w-]{1,63} ?[\[({])|(?<=\w) [({](?:@|at)[)}] (?=[\w-]{1,63}\.\w)",
    re.IGNORECASE,
)
_COLON = re.compile(r"[\[({]{1,2}(:/{0,2})[\])}]{1,2}|(?<=\w)\[{1,2}(::)\]{1,2}")
_SLASH = re.compile(r"[\[({]{1,2}(/{1,2})[\])}]{1,2}")
_PUNCTUATION = re.compile(r"(?<=\w)\[([?#=&_-])\](?=\w)")
_OPTIONAL_S = re.compile(r"\b(h(?:tt|xx|xt|tx|\*\*)p)\[s\](?=:|\[:)", re.IGNORECASE)
_HTTP = re.compile(r"\b(?:h(?:xx|xt|tx|\*\*|__)p|meow)(s?)://", re.IGNORECASE)
_RARE_SCHEME = re.compile(r"\*|_p|xtp|__//|meow", re.IGNORECASE)
_FTP = re.compile(r"\bf(?:x|xx|\*)p(s?)://", re.IGNORECASE)
_UNDERSCORES = re.compile(r"\b(h(?:tt|xx)ps?):?__//", re.IGNORECASE)
_BACKSLASHES = re.compile(
    r"\b((?:h(?:tt|xx|xt|tx|\*\*|__)|f[tx])ps?):\\\\(?![/\\])([^\s\"'<>]{0,2048})", re.IGNORECASE
)
# A pattern's "evil\.com". A folder's "bob\.ssh" has a backslash before it.
_ESCAPED_DOTS = re.compile(r"(?<![\\\w.:/-])[\w-]{1,63}+(?:\\?\.[\w-]{1,63}+)++(?![\w\\])")
_SPOKEN = re.compile(r"(?<![\w-])([\w-]{2,63}+)(?: dot [\w-]{1,63}+)++(?![\w-])", re.IGNORECASE)
_SPOKEN_AT = re.compile(
    r"(?<![\w.-])[\w.+-]{1,64}+ at (?=[\w-]{1,63}+(?: dot [\w-]{1,63}+|\[\.))", re.IGNORECASE
)
_SPOKEN_DOT = re.compile(" dot ", re.IGNORECASE)
# Before "dot com" these make English, as in "the dot com bubble".
_ARTICLES = frozenset(
    {"an", "the", "this", "that", "every", "of", "in", "on", "with", "using", "for", "and", "or", "to", "is", "by", "from"}
)  # fmt: skip
# "Hosted at evil dot com" names a host only. What an address in words follows:
_NO_ONES = frozenset(
    {"available", "found", "hosted", "is", "located", "look", "page", "registered", "resolved", "running", "seen", "server",
     "site", "visit", "was", "website"}
)  # fmt: skip
_BEFORE_ADDRESS = (*"\n\r:<(\"',;=|", "mail", "contact", "to", "from")
# Rounds of refanging: markers inside markers, which only somebody who plays with us writes.
_MAX_NESTING = 8
_SCHEMES = {"http": "hxxp", "https": "hxxps", "ftp": "fxp", "ftps": "fxps"}


def is_defanged(text: str) -> bool:
    """Whether :func:`refang` might change ``text``. Cheap, and may say yes in vain."""
    if "[" in text or "(" in text or "{" in text or "\\" in text or ".]" in text or "<.>" in text:
        return True
    if "//" in text and (
        "xp" in text or "XP" in text or "xP" in text or "Xp" in text or _RARE_SCHEME.search(text)
    ):
        return True
    return " dot " in text or " DOT " in text


def refang(text: str) -> str:
    """``text`` with every defanged form written plainly: ``hxxp://evil[.]com`` → ``http://evil.com``."""
    if not is_defanged(text):
        return text
    for _ in range(_MAX_NESTING):
        plain = _refang_once(text)
        if plain == text:
            break
        text = plain
    return text


def _refang_once(text: str) -> str:
    if "\\" in text:
        text = _without_backslashes(text)
    if " dot " in text or " DOT " in text:
        text = _SPOKEN_AT.sub(_address_in_words, text)
        text = _SPOKEN.sub(_name_in_words, text)
    if ("[" in text or "(" in text or "{" in text or ".]" in text) and _BRACKETS.search(text):
        if "[" in text:
            text = _OPTIONAL_S.sub(r"\1s", text)
            text = _PUNCTUATION.sub(r"\1", text)
        text = _COLON.sub(r"\1\2", text)
        text = _SLASH.sub(r"\1", text)
        text = _AT.sub("@", text)
        text = _DOT.sub(".", text)
    if "<.>" in text:
        text = text.replace("<.>", ".")
    if "//" in text:
        if "__//" in text:
            text = _UNDERSCORES.sub(r"\1://", text)
        text = _HTTP.sub(r"http\1://", text)
        text = _FTP.sub(r"ftp\1://", text)
    return text


def _without_backslashes(text: str) -> str:
    """JSON's ``https:\\/\\/``, a pattern's ``evil\\.com`` and ``hxxp:\\\\evil.com\\x``."""
    if "\\/" in text:
        text = text.replace("\\/", "/")
    if "\\." in text:
        text = _ESCAPED_DOTS.sub(lambda found: found[0].replace("\\", ""), text)
    if ":\\\\" in text:
        text = _BACKSLASHES.sub(lambda found: f"{found[1]}://{found[2].replace('\\', '/')}", text)
    return text


def _address_in_words(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 16) : found.start()].rstrip(" ").lower()
    if (before and not before.endswith(_BEFORE_ADDRESS)) or found[0][:-4].lower() in _NO_ONES:
        return found[0]
    return f"{found[0][:-4]}@"


def _name_in_words(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() in _ARTICLES else _SPOKEN_DOT.sub(".", found[0])


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
