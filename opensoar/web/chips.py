"""Active filters as chips: each says what it narrows and carries the address without it."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.http import QueryDict


@dataclass(frozen=True, slots=True)
class Chip:
    """One active filter; ``without`` is the query string that lacks it."""

    label: str
    value: str
    without: str


def chips(form: forms.Form, data: QueryDict, *, skip: tuple[str, ...] = ("q",)) -> list[Chip]:
    """What ``form`` narrows by, in the order of its fields; words of the search box are in the box already."""
    found: list[Chip] = []
    for name, field in form.fields.items():
        if name in skip:
            continue
        words = dict(getattr(field, "choices", None) or ())
        for value in data.getlist(name):
            if not value:
                continue
            rest = data.copy()
            rest.setlist(name, [other for other in rest.getlist(name) if other != value])
            rest.pop("page", None)
            # An empty one stays: without any parameter the list falls back to its default.
            if not rest.getlist(name):
                rest[name] = ""
            found.append(Chip(str(field.label), str(words.get(value, value)), rest.urlencode()))
    return found
