"""Secrets while a run knows them: handed out by name, and hidden in everything that leaves the run.

Pure Python, so that ``opensoar.testing`` masks exactly as the engine does.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

from opensoar.conditions import nearest

MIN_LENGTH, MAX_LENGTH = 6, 32_768  # characters; what is shorter would be found in any text
DOTS = "••••"
_PERCENT = re.compile("%[0-9A-F]{2}")
_TWICE = "\"'"  # with both kinds of quotes in it, repr escapes the one it uses


class NoSuchSecret(KeyError):
    """``secret(name)`` of a name that this run has no secret of. Its only argument is the message."""

    def __str__(self) -> str:
        return str(self.args[0])


class Secrets(Mapping[str, str]):
    """What a run may read, by name. A value is opened when it is asked for, and not before."""

    def __init__(self, sealed: Mapping[str, Callable[[], str]]) -> None:
        self._sealed = dict(sealed)

    def __getitem__(self, name: str) -> str:
        if name not in self._sealed:
            raise NoSuchSecret(
                f"there is no secret {name!r}{nearest(str(name), self._sealed)}; an administrator sets it in the admin, "
                f"or with: manage.py set_secret {name}"
            )
        return self._sealed[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._sealed)

    def __len__(self) -> int:
        return len(self._sealed)

    def __bool__(self) -> bool:
        return True  # an empty one is no less able to say what is missing

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(sorted(self._sealed))}>"


class Mask:
    """Replaces the values of secrets, however they are written, by ``••••(name)``.

    False while it knows none: masking then costs nothing.
    """

    __slots__ = ("_forms",)

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}  # how a value may be written -> its secret's name; longest first

    def __bool__(self) -> bool:
        return bool(self._forms)

    def add(self, name: str, value: str) -> None:
        """From now on hide ``value``, which is at least six characters long."""
        if value in self._forms:
            return
        forms = self._forms | {form: name for form in _forms(value) if form not in self._forms}
        self._forms = dict(sorted(forms.items(), key=lambda item: -len(item[0])))

    def text(self, text: str) -> str:
        """``text`` without any of the values. For JSON text see :meth:`json`.

        Linear in the text: each form is looked for by itself, and what overlaps goes as one.
        """
        found = self._found(text)
        masked = _replaced(text, found, lambda name: f"{DOTS}({name})") if found else text
        # A mask and what stands beside it, or the name in it, may spell a value. Dots alone are shorter than any: this
        # ends.
        while found and (found := self._found(masked)):
            masked = _replaced(masked, found, lambda name: DOTS)
        return masked

    def json(self, text: str) -> str:
        """JSON text without any of the values; it stays JSON, also where a value is a number or holds punctuation."""
        if not self._forms:
            return text
        value = orjson.loads(text)
        masked = self._value(value)
        return text if masked == value else orjson.dumps(masked).decode()

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self._value(item) for key, item in value.items()}
            case list():
                return [self._value(item) for item in value]
            case int() | float() if not isinstance(value, bool):
                written = orjson.dumps(value).decode()
                return self.text(written) if self._found(written) else value
        return value

    def _found(self, text: str) -> list[tuple[int, int, str]]:
        """Where the values stand: beginning, end and name, in order; what overlaps is one, named by its longest."""
        spans: list[tuple[int, int, str]] = []
        for form, name in self._forms.items():
            at = text.find(form)
            while at >= 0:
                spans.append((at, at + len(form), name))
                at = text.find(form, at + len(form))
        spans.sort(key=lambda span: (span[0], -span[1]))
        merged: list[tuple[int, int, str]] = []
        for begin, end, name in spans:
            if merged and begin < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
            else:
                merged.append((begin, end, name))
        return merged


def _replaced(text: str, found: list[tuple[int, int, str]], written: Callable[[str], str]) -> str:
    parts, at = [], 0
    for begin, end, name in found:
        parts += [text[at:begin], written(name)]
        at = end
    return "".join([*parts, text[at:]])


def _forms(value: str) -> set[str]:
    """The value as it is, and as JSON, URLs, Python and base64 would have it."""
    raw = value.encode(errors="surrogatepass")
    readable = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    readable |= {json.dumps(form)[1:-1] for form in readable}  # JSON inside JSON
    for written in (repr, ascii):
        readable |= {written(value)[1:-1], written(value + _TWICE)[1 : -1 - len(written(_TWICE)[1:-1])]}
    readable.add(repr(raw)[2:-1])
    quoted = {quote(raw, safe="/"), quote(raw, safe=""), quote_plus(raw)}
    quoted |= {_PERCENT.sub(lambda found: found[0].lower(), form) for form in quoted}
    return {form for form in readable | quoted | _base64(raw) if len(form) >= MIN_LENGTH}


def _base64(raw: bytes) -> set[str]:
    """The whole value, and those characters of it that do not depend on what stands before and behind it."""
    forms = {base64.b64encode(raw).decode()}
    for before, cut in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        forms.add(encoded[cut : (before + len(raw)) * 8 // 6])
    return forms | {form.replace("+", "-").replace("/", "_") for form in forms}
