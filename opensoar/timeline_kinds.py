"""Timeline kinds that more than one app records. One name is one class, whoever the subject is.

Payloads hold identifiers and words of ours; what people or attackers wrote goes into the entry's text, which can be
erased.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils.translation import gettext_noop as _

from opensoar.timeline import Kind, register


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Kind):
    """Somebody wrote something. An edit is a new entry whose ``supersedes`` is the *first* entry of the comment."""

    action: ClassVar[str] = "comment"
    label: ClassVar[str] = _("Comment")
    group: ClassVar[str] = "comments"
    icon: ClassVar[str] = "message"
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange(Kind):
    """The status went from ``before`` to ``after``; the text is the reason."""

    action: ClassVar[str] = "status_change"
    label: ClassVar[str] = _("Status changed")
    icon: ClassVar[str] = "arrow-right"
    before: str
    after: str
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityChange(Kind):
    """The severity went from ``before`` to ``after``."""

    action: ClassVar[str] = "severity_change"
    label: ClassVar[str] = _("Severity changed")
    icon: ClassVar[str] = "trending-up"
    before: str
    after: str
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DeterminationSet(Kind):
    """The determination went from ``before`` to ``after``."""

    action: ClassVar[str] = "determination_set"
    label: ClassVar[str] = _("Determination set")
    icon: ClassVar[str] = "bug"
    before: str
    after: str
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned(Kind):
    """The owner changed; ``None`` means nobody. Status words differ where assigning also started the work."""

    action: ClassVar[str] = "assigned"
    label: ClassVar[str] = _("Assigned")
    icon: ClassVar[str] = "user"
    user_id: str | None
    username: str | None
    before_user_id: str | None = None
    before_username: str | None = None
    status_before: str | None = None
    status_after: str | None = None
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TagsChanged(Kind):
    """Tags were added or removed."""

    action: ClassVar[str] = "tags_changed"
    label: ClassVar[str] = _("Tags changed")
    icon: ClassVar[str] = "bookmark"
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DetailsChanged(Kind):
    """Other fields were edited. ``changes`` maps short words (``tlp``) to [before, after]; the text tells the rest."""

    action: ClassVar[str] = "details_changed"
    label: ClassVar[str] = _("Details changed")
    icon: ClassVar[str] = "adjustments-horizontal"
    fields: tuple[str, ...]
    changes: dict[str, list[str]] | None = None
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ObservableAdded(Kind):
    """Observables were added: ``observables`` lists ``{id, type}``, the text has one ``type value`` a line."""

    action: ClassVar[str] = "observable_added"
    label: ClassVar[str] = _("Observables added")
    icon: ClassVar[str] = "fingerprint"
    observables: list[dict[str, str]]
