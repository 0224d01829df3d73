"""One edit of a versioned subject with a timeline: changes are gathered, then saved and recorded together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from django.utils.translation import gettext as _

from opensoar import clock, timeline
from opensoar.actors import Actor
from opensoar.errors import Stale
from opensoar.timeline import Draft, Kind, TimelineEntry


class Unset(Enum):
    """The argument was not given, where ``None`` means something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


def check_version(subject: Any, expected: int | None) -> None:
    """Raise :class:`Stale` if the caller had read another version than the one that is now locked."""
    if expected is not None and expected != subject.version:
        raise Stale(
            _("This was changed meanwhile: you have version %(expected)d, it is now version %(current)d")
            % {"expected": expected, "current": subject.version},
            expected=expected,
            current=subject.version,
        )


@dataclass
class Edit:
    """Changes to a row that the caller has locked. ``text`` is why: the status entry's words, else the first one's."""

    subject: Any
    actor: Actor
    entries: type[TimelineEntry]
    text: str | None = None
    metadata: dict[str, Any] | None = None
    changed: set[str] = field(default_factory=set)
    drafts: list[Draft] = field(default_factory=list)

    def set(self, **values: Any) -> None:
        """Assign fields; those that are equal already do not count."""
        for name, value in values.items():
            if getattr(self.subject, name) != value:
                setattr(self.subject, name, value)
                self.changed.add(name)

    def note(self, kind: Kind, *, text: str | None = None, mentions: tuple[str, ...] = ()) -> None:
        """Put an entry on the timeline when the edit is saved."""
        self.drafts.append(Draft(kind=kind, actor=self.actor, text=text or None, mentions=mentions))

    def save(self, *, versioned: bool = True) -> list[TimelineEntry]:
        """Write what changed, raise the version, record the entries. An edit that changed nothing does nothing.

        ``versioned=False`` is for what nobody's edit can collide with (a comment, a link): the version stays.
        """
        if not self.changed and not self.drafts:
            return []
        self.subject.updated_at = clock.now()
        fields = {*self.changed, "updated_at"}
        if versioned:
            self.subject.version += 1
            fields.add("version")
        self.subject.save(update_fields=fields)
        return timeline.record(self.entries, self.subject, *self._worded())

    def _worded(self) -> list[Draft]:
        silent = [i for i, draft in enumerate(self.drafts) if draft.text is None]
        if self.text and silent:
            first = next((i for i in silent if self.drafts[i].kind.action == "status_change"), silent[0])
            self.drafts[first] = replace(self.drafts[first], text=self.text)
        return self.drafts
