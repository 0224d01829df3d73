"""Timeline kinds that only alerts have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils.translation import gettext_noop as _

from opensoar.timeline import Kind, register


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Kind):
    """An analyst took the alert."""

    action: ClassVar[str] = "claimed"
    label: ClassVar[str] = _("Claimed")
    icon: ClassVar[str] = "user-plus"
    user_id: str
    username: str
    status_before: str
    status_after: str


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerChanged(Kind):
    """The alert was moved to another partner; slugs."""

    action: ClassVar[str] = "partner_changed"
    label: ClassVar[str] = _("Partner changed")
    icon: ClassVar[str] = "building"
    before: str
    after: str
    metadata: dict[str, Any] | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentLinked(Kind):
    """The alert became part of an incident."""

    action: ClassVar[str] = "incident_linked"
    label: ClassVar[str] = _("Linked to incident")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "link"
    incident_id: str
    number: int


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentUnlinked(Kind):
    """The alert was taken out of an incident."""

    action: ClassVar[str] = "incident_unlinked"
    label: ClassVar[str] = _("Unlinked from incident")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "link"
    incident_id: str
    number: int


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateReceived(Kind):
    """A resolved alert was sent again; it stays resolved."""

    action: ClassVar[str] = "duplicate_received"
    label: ClassVar[str] = _("Received again")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "stack-2"
    delivery_id: str
    duplicate_count: int | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class SaidToBeOver(Kind):
    """The source says that it is over; somebody has to say what it was."""

    action: ClassVar[str] = "said_to_be_over"
    label: ClassVar[str] = _("Over, says its source")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "flag"
    delivery_id: str


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed(Kind):
    """A suppression hid the alert when it came; the text is its reason."""

    action: ClassVar[str] = "suppressed"
    label: ClassVar[str] = _("Suppressed")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "ban"
    suppression_id: str
    name: str


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAgain(Kind):
    """What hid the alert does so no longer; the text says why."""

    action: ClassVar[str] = "shown_again"
    label: ClassVar[str] = _("Shown again")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "inbox"
    suppression_id: str
    name: str


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Archived(Kind):
    """The alert was deleted: out of sight, kept until retention ends."""

    action: ClassVar[str] = "archived"
    label: ClassVar[str] = _("Deleted")
    icon: ClassVar[str] = "ban"
