"""Timeline kinds that only incidents have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from django.utils.translation import gettext_noop as _

from opensoar.timeline import Kind, register


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentCreated(Kind):
    """The incident was opened; the text is its title. ``suggestion_id`` where it came from a suggestion."""

    action: ClassVar[str] = "incident_created"
    label: ClassVar[str] = _("Incident opened")
    icon: ClassVar[str] = "briefcase"
    severity: str
    alert_count: int = 0
    suggestion_id: str | None = None


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLinked(Kind):
    """An alert became part of the incident; the text is the alert's title."""

    action: ClassVar[str] = "alert_linked"
    label: ClassVar[str] = _("Alert linked")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "link"
    alert_id: str
    severity: str
    source: str


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class AlertUnlinked(Kind):
    """An alert was taken out of the incident; the text is the alert's title."""

    action: ClassVar[str] = "alert_unlinked"
    label: ClassVar[str] = _("Alert unlinked")
    group: ClassVar[str] = "alerts"
    icon: ClassVar[str] = "link"
    alert_id: str
    severity: str
    source: str


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffNote(Kind):
    """One person hands over to another; the text is the note."""

    action: ClassVar[str] = "handoff_note"
    label: ClassVar[str] = _("Handoff note")
    group: ClassVar[str] = "handoffs"
    personal: ClassVar[bool] = True
    icon: ClassVar[str] = "arrows-exchange"
    handoff_id: str
    to_user_id: str
    to_username: str
    shift: str = ""
    open_questions: tuple[str, ...] = ()


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffAcknowledged(Kind):
    """The receiver of a handoff note has taken over."""

    action: ClassVar[str] = "handoff_acknowledged"
    label: ClassVar[str] = _("Handoff acknowledged")
    group: ClassVar[str] = "handoffs"
    icon: ClassVar[str] = "check"
    handoff_id: str
    entry_id: str


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Kind):
    """The incident was closed; the text is the summary. Without assessment both words are ``None``."""

    action: ClassVar[str] = "closed"
    label: ClassVar[str] = _("Closed")
    icon: ClassVar[str] = "circle-check"
    before: str
    determination: str | None = None
    impact: str | None = None
    assessed: bool = True


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened(Kind):
    """A closed incident is worked again; the text is the reason."""

    action: ClassVar[str] = "reopened"
    label: ClassVar[str] = _("Reopened")
    icon: ClassVar[str] = "rotate-clockwise"
    after: str
