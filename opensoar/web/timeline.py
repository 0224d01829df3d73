"""A timeline as pages show it: entries with their words, edits folded into what they edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opensoar.timeline import Kind, TimelineEntry


@dataclass(slots=True)
class Shown:
    """One entry as it is read: ``text`` is the newest edit's, ``None`` where it was erased or there is none."""

    entry: TimelineEntry
    kind: Kind
    text: str | None
    edited: bool = False
    erased: bool = False


def timeline_of(model: type[TimelineEntry], subject: Any, *, limit: int = 200) -> list[Shown]:
    """The newest ``limit`` entries of ``subject``, newest first, in two queries."""
    entries = list(model._default_manager.filter(subject_id=subject.pk).order_by("-seq")[:limit])
    texts = dict(
        model.text_model._default_manager.filter(pk__in=[entry.pk for entry in entries]).values_list(
            "pk", "text"
        )
    )
    newest: dict[Any, TimelineEntry] = {}
    for entry in reversed(entries):
        if entry.supersedes is not None:
            newest[entry.supersedes] = entry
    return [
        _shown(entry, newest.get(entry.pk, entry), texts) for entry in entries if entry.supersedes is None
    ]


def _shown(entry: TimelineEntry, newest: TimelineEntry, texts: dict[Any, str]) -> Shown:
    text = texts.get(newest.pk)
    return Shown(
        entry=entry,
        kind=newest.kind,
        text=text,
        edited=newest is not entry,
        erased=text is None and newest.text_digest is not None,
    )
