"""A timeline as pages show it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from opensoar.accounts.models import User
from opensoar.timeline import Shown, TimelineEntry, first_entries, fold


def timeline_of(model: type[TimelineEntry], subject: Any, *, limit: int = 200) -> list[Shown[Any]]:
    """The newest ``limit`` entries of ``subject`` with their words, newest first, in three queries."""
    return without_begun(fold(list(first_entries(model, [subject.pk]).order_by("-seq")[:limit])))


def without_begun[S: Shown[Any]](told: list[S]) -> list[S]:
    """A run that ended says so; that it began is then no line of its own."""
    ended = {s.entry.payload.get("run_id") for s in told if s.entry.action == "playbook_finished"}
    return [s for s in told if s.entry.action != "playbook_started" or s.entry.payload["run_id"] not in ended]


def last_change(model: type[TimelineEntry], subject: Any) -> str:
    """Who did what to ``subject`` last, as one sentence; empty for an empty timeline."""
    newest = model._default_manager.filter(subject_id=subject.pk).order_by("-seq").first()
    if newest is None:
        return ""
    name = display_names().get(newest.actor_name, newest.actor_name)
    return _("%(name)s was faster (%(what)s).") % {"name": name, "what": _(newest.kind.label).lower()}


def display_names() -> dict[str, str]:
    """What people are called, by the username that entries carry: one query for a whole timeline."""
    return dict(User.objects.exclude(display_name="").values_list("username", "display_name"))
