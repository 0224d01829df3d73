"""Timeline kinds that the engine records on alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from opensoar.timeline import Kind, register


@register
@dataclass(frozen=True, slots=True)
class PlaybookStarted(Kind):
    """A run began."""

    action: ClassVar[str] = "playbook_started"
    label: ClassVar[str] = "Playbook started"
    group: ClassVar[str] = "actions"
    icon: ClassVar[str] = "player-play"

    playbook: str
    run_id: str
    position: int
    total: int


@register
@dataclass(frozen=True, slots=True)
class PlaybookFinished(Kind):
    """A run ended, or waits for a person (``needs_attention``)."""

    action: ClassVar[str] = "playbook_finished"
    label: ClassVar[str] = "Playbook finished"
    group: ClassVar[str] = "actions"
    icon: ClassVar[str] = "route"

    playbook: str
    run_id: str
    state: str
    position: int
    total: int
    error: str | None = None


@register
@dataclass(frozen=True, slots=True)
class RunDecided(Kind):
    """A person said what became of a call whose outcome was unknown, or cancelled the run."""

    action: ClassVar[str] = "run_decided"
    label: ClassVar[str] = "Run decided"
    group: ClassVar[str] = "actions"
    icon: ClassVar[str] = "checklist"

    playbook: str
    run_id: str
    call: str | None
    decision: str


@register
@dataclass(frozen=True, slots=True)
class ApprovalAsked(Kind):
    """A run asks people to approve something."""

    action: ClassVar[str] = "approval_requested"
    label: ClassVar[str] = "Approval requested"
    group: ClassVar[str] = "actions"
    icon: ClassVar[str] = "hourglass"

    playbook: str
    run_id: str
    summary: str


@register
@dataclass(frozen=True, slots=True)
class ApprovalDecided(Kind):
    """A person approved or denied what a run asked for."""

    action: ClassVar[str] = "approval_decided"
    label: ClassVar[str] = "Approval decided"
    group: ClassVar[str] = "actions"
    icon: ClassVar[str] = "checklist"

    playbook: str
    run_id: str
    summary: str
    decision: str
    comment: str = ""


@register
@dataclass(frozen=True, slots=True)
class RunCancelled(Kind):
    """A person cancelled a run, or a whole sequence."""

    action: ClassVar[str] = "run_cancelled"
    label: ClassVar[str] = "Run cancelled"
    group: ClassVar[str] = "actions"
    icon: ClassVar[str] = "ban"

    playbook: str
    run_id: str
