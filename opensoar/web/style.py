"""The style page: every component in both themes, made with the product's own tags. Only where DEBUG is on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from opensoar.web.templatetags import SEVERITY_BARS, STATES, VERDICT_ICONS

GROUNDS = ("bg", "surface", "sunken", "line", "line-strong", "control")
INKS = ("ink-3", "ink-2", "ink", "accent", "accent-soft", "good")
MARKINGS = ("red", "amber+strict", "amber", "green", "clear")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to show; no row of the database."""

    name: str
    pk: UUID

    def __str__(self) -> str:
        return self.name


PEOPLE = [
    Person(name, UUID(int=hue)) for hue, name in enumerate(("Priya Nair", "Tomás Rivera", "Ada Lindqvist"))
]


@require_safe
def style(request: HttpRequest) -> HttpResponse:
    """Nothing here comes from the database, and nobody need be signed in."""
    if not settings.DEBUG:
        raise Http404
    now = timezone.now()
    ages: list[datetime] = [now - timedelta(minutes=minutes) for minutes in (5, 20, 34)]
    context = {
        "themes": ("light", "dark"),
        "colours": (*GROUNDS, *INKS),
        "severities": list(reversed(SEVERITY_BARS)),
        "verdicts": list(VERDICT_ICONS),
        "states": list(STATES),
        "markings": MARKINGS,
        "people": [*PEOPLE, None],
        "ada": PEOPLE[2],
        "ages": ages,
    }
    return render(request, "style.html", context)
