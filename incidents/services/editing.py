"""Editing an incident: its words, its severity, its owner."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from alerts.models import Severity
from alerts.services.triage import assigned_kind
from incidents.models import Incident
from incidents.services.common import begin, finish
from incidents.services.lifecycle import (
    CLOSED,
    WORKED,
    set_closed,
    set_closed_unassessed,
    set_reopened,
    set_worked_status,
)
from opensoar.accounts.models import User
from opensoar.accounts.services import assignable_user
from opensoar.actors import Actor
from opensoar.edits import UNSET, Edit, Unset
from opensoar.text import choice, limited_text, required_text, tag_list
from opensoar.timeline_kinds import DetailsChanged, SeverityChange, TagsChanged


@transaction.atomic
def update_incident(
    *,
    actor: Actor,
    incident: Incident,
    title: str | None = None,
    description: str | None = None,
    severity: str | None = None,
    tags: Iterable[str] | None = None,
    tlp: str | None = None,
    pap: str | None = None,
    status: str | None = None,
    assigned_to: User | UUID | str | Unset | None = UNSET,
    determination: str | None = None,
    impact: str | None = None,
    summary: str | None = None,
    expected_version: int | None = None,
) -> Incident:
    """Change any of these at once; an entry per thing that changed, none if nothing did.

    ``description=""`` clears it, ``assigned_to=None`` is nobody. ``status="closed"`` closes, with the assessment if one
    is given; another status reopens what is closed. Raises :class:`Invalid`, :class:`Conflict`, :class:`Stale`.
    """
    edit = begin(actor, incident, expected_version)
    was = edit.subject.status
    _set_details(edit, title=title, description=description, tlp=tlp, pap=pap)
    if severity is not None:
        _set_severity(edit, severity)
    if tags is not None:
        _set_tags(edit, tags)
    if assigned_to is not UNSET:
        set_owner(edit, assigned_to)
    assessed = determination is not None or impact is not None or summary is not None
    if status is not None:
        status = choice(status, Incident.Status.values, field="status")
    if assessed and (status or was) == CLOSED:
        set_closed(edit, determination=determination, impact=impact, summary=summary)
    elif status == CLOSED:
        set_closed_unassessed(edit)
    elif status in WORKED and was == CLOSED:
        set_reopened(edit, status)
    elif status is not None:
        set_worked_status(edit, status)
    return finish(edit, was=was)


@transaction.atomic
def assign_incident(
    *, actor: Actor, incident: Incident, user: User | UUID | str | None, expected_version: int | None = None
) -> Incident:
    """Give it to ``user``, or to nobody."""
    edit = begin(actor, incident, expected_version)
    set_owner(edit, user)
    return finish(edit, was=edit.subject.status)


def set_owner(edit: Edit, user: User | UUID | str | None) -> None:
    """Change the owner; the status is people's to move."""
    incident: Incident = edit.subject
    if isinstance(user, User) and user.pk == incident.assigned_to_id:
        return
    owner = assignable_user(user, partner_id=incident.partner_id)
    before = incident.assigned_to
    if owner != before:
        edit.set(assigned_to=owner)
        edit.note(assigned_kind(owner, before, incident.status, incident.status, None))


def _set_severity(edit: Edit, severity: str) -> None:
    before, after = edit.subject.severity, choice(severity, Severity.values, field="severity")
    if before != after:
        edit.set(severity=after)
        edit.note(SeverityChange(before=before, after=after))


def _set_tags(edit: Edit, tags: Iterable[str]) -> None:
    before, after = edit.subject.tags, tag_list(tags)
    if before != after:
        edit.set(tags=after)
        added = tuple(tag for tag in after if tag not in before)
        removed = tuple(tag for tag in before if tag not in after)
        edit.note(TagsChanged(added=added, removed=removed))


def _set_details(
    edit: Edit, *, title: str | None, description: str | None, tlp: str | None, pap: str | None
) -> None:
    """Title, description and markings share one entry; what they were before is in its text."""
    incident: Incident = edit.subject
    values: dict[str, str | None] = {}
    if title is not None:
        values["title"] = required_text(title, field="title", limit=500)
    if description is not None:
        values["description"] = limited_text(description, field="description") or None
    if tlp is not None:
        values["tlp"] = choice(tlp, Incident.Tlp.values, field="tlp")
    if pap is not None:
        values["pap"] = choice(pap, Incident.Pap.values, field="pap")
    before = {
        name: getattr(incident, name) for name, value in values.items() if getattr(incident, name) != value
    }
    if not before:
        return
    edit.set(**{name: values[name] for name in before})
    markings = {name: [was, str(values[name])] for name, was in before.items() if name in {"tlp", "pap"}}
    words = [_("Title was: %(text)s") % {"text": before["title"]}] if "title" in before else []
    if before.get("description"):
        words.append(_("Description was: %(text)s") % {"text": before["description"]})
    edit.note(DetailsChanged(fields=tuple(before), changes=markings or None), text="\n\n".join(words))
