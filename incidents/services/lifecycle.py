"""An incident's way: open → investigating → contained → closed, and back when it was not over."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from incidents.models import Incident, can_move
from incidents.services.common import begin, finish
from incidents.timeline_kinds import Closed, Reopened
from opensoar import clock
from opensoar.accounts.models import ProductSettings
from opensoar.actors import Actor
from opensoar.edits import Edit
from opensoar.errors import Conflict, Invalid
from opensoar.text import choice, limited_text, required_text
from opensoar.timeline_kinds import StatusChange

OPEN, INVESTIGATING = Incident.Status.OPEN, Incident.Status.INVESTIGATING
CONTAINED, CLOSED = Incident.Status.CONTAINED, Incident.Status.CLOSED
WORKED = [
    OPEN,
    INVESTIGATING,
    CONTAINED,
]  # what people move between; closing and reopening are verbs of their own


@transaction.atomic
def move_incident(
    *, actor: Actor, incident: Incident, status: str, expected_version: int | None = None
) -> Incident:
    """To open, investigating or contained. :class:`Invalid` where no way leads there."""
    edit = begin(actor, incident, expected_version)
    was = edit.subject.status
    set_worked_status(edit, choice(status, WORKED, field="status"))
    return finish(edit, was=was)


@transaction.atomic
def close_incident(
    *,
    actor: Actor,
    incident: Incident,
    determination: str,
    impact: str,
    summary: str,
    expected_version: int | None = None,
) -> Incident:
    """Close it with its assessment. Its alerts stay as they are: each has a determination of its own.

    A closed incident without assessment takes one; with another assessment it is a :class:`Conflict`.
    """
    edit = begin(actor, incident, expected_version)
    was = edit.subject.status
    set_closed(edit, determination=determination, impact=impact, summary=summary)
    return finish(edit, was=was)


@transaction.atomic
def close_unassessed(*, actor: Actor, incident: Incident, expected_version: int | None = None) -> Incident:
    """Close it as the public API does, without a word; marked so. Settings may refuse (:class:`Invalid`)."""
    edit = begin(actor, incident, expected_version)
    was = edit.subject.status
    set_closed_unassessed(edit)
    return finish(edit, was=was)


@transaction.atomic
def reopen_incident(
    *,
    actor: Actor,
    incident: Incident,
    reason: str | None = None,
    status: str | None = None,
    expected_version: int | None = None,
) -> Incident:
    """Work it again: under investigation if it has an owner, else open. The old assessment stays on the timeline."""
    edit = begin(
        actor, incident, expected_version, text=limited_text(reason, field="reason") if reason else None
    )
    was = edit.subject.status
    if was == CLOSED:
        set_reopened(edit, status)
    return finish(edit, was=was)


def set_worked_status(edit: Edit, status: str) -> None:
    """Move between the states of work; contained is a time that reports count from."""
    incident: Incident = edit.subject
    before = incident.status
    if before == status:
        return
    if before == CLOSED:
        raise Invalid(_("%(reference)s is closed; reopen it first") % {"reference": incident}, field="status")
    if not can_move(incident, status):
        message = _("An incident that is %(before)s cannot become %(after)s")
        raise Invalid(message % {"before": before, "after": status}, field="status")
    edit.set(status=status, contained_at=clock.now() if status == CONTAINED else None)
    edit.note(StatusChange(before=before, after=status))


def set_closed(edit: Edit, *, determination: str | None, impact: str | None, summary: str | None) -> None:
    """Close with an assessment, or give one to an incident that was closed without."""
    incident: Incident = edit.subject
    values = {
        "determination": choice(determination, Incident.Determination.values, field="determination"),
        "impact": choice(impact, Incident.Impact.values, field="impact"),
        "summary": required_text(summary, field="summary"),
    }
    before = incident.status
    if before == CLOSED and not incident.closed_unassessed:
        if any(getattr(incident, name) != value for name, value in values.items()):
            raise Conflict(_("%(reference)s is closed with another assessment") % {"reference": incident})
        return
    edit.set(status=CLOSED, closed_at=incident.closed_at or clock.now(), closed_unassessed=False, **values)
    kind = Closed(before=before, determination=values["determination"], impact=values["impact"])
    edit.note(kind, text=values["summary"])


def set_closed_unassessed(edit: Edit) -> None:
    """Close without assessment, unless the installation wants one."""
    incident: Incident = edit.subject
    if incident.status == CLOSED:
        return
    if ProductSettings.load().require_assessment:
        raise Invalid(
            _("Closing an incident needs a determination, an impact and a summary"), field="determination"
        )
    before = incident.status
    edit.set(status=CLOSED, closed_at=clock.now(), closed_unassessed=True)
    edit.note(Closed(before=before, assessed=False))


def set_reopened(edit: Edit, status: str | None = None) -> None:
    """From closed back to work."""
    incident: Incident = edit.subject
    target = status or (OPEN if incident.assigned_to_id is None else INVESTIGATING)
    if not can_move(incident, target):
        message = _("An incident that is %(before)s cannot become %(after)s")
        raise Invalid(message % {"before": incident.status, "after": target}, field="status")
    edit.set(status=target, closed_at=None, contained_at=None, closed_unassessed=False)
    edit.set(determination=None, impact=None, summary=None)
    edit.note(Reopened(after=target))
