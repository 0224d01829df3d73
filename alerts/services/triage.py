"""Working an alert: whose it is, how bad, what it turned out to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from alerts import events
from alerts.models import Alert, AlertEntry, Severity
from alerts.services.locks import lock_alert
from alerts.services.observables import move_observables
from alerts.timeline_kinds import Archived, Claimed, PartnerChanged
from opensoar import clock
from opensoar.accounts.models import Partner, User
from opensoar.accounts.services import assignable_user, resolve_partner
from opensoar.actors import Actor
from opensoar.edits import UNSET, Edit, Unset, check_version
from opensoar.errors import Conflict, Invalid, NotAllowed
from opensoar.text import choice, clean_json, limited_text, tag_list
from opensoar.timeline_kinds import (
    Assigned,
    DetailsChanged,
    DeterminationSet,
    SeverityChange,
    StatusChange,
    TagsChanged,
)

NEW, IN_PROGRESS, RESOLVED = Alert.Status.NEW, Alert.Status.IN_PROGRESS, Alert.Status.RESOLVED
UNKNOWN = Alert.Determination.UNKNOWN


def _begin(actor: Actor, alert: Alert, expected_version: int | None = None, **texts: Any) -> Edit:
    locked = lock_alert(actor, alert)
    check_version(locked, expected_version)
    return Edit(subject=locked, actor=actor, entries=AlertEntry, **texts)


def _finish(edit: Edit, *, was: str) -> Alert:
    """Save, then tell the subscribers; ``was`` is the status the edit began with."""
    alert: Alert = edit.subject
    if not edit.changed:
        return alert
    edit.save()
    change = events.AlertChange(alert=alert, actor=edit.actor, changed=frozenset(edit.changed), was=was)
    events.alert_updated.emit(change)
    if change.resolved:
        events.alert_resolved.emit(change)
    if change.reopened:
        events.alert_reopened.emit(change)
    return alert


@transaction.atomic
def update_alert(
    *,
    actor: Actor,
    alert: Alert,
    status: str | None = None,
    severity: str | None = None,
    determination: str | None = None,
    resolve_reason: str | None = None,
    tags: Iterable[str] | None = None,
    partner: Partner | str | Unset | None = UNSET,
    assigned_to: User | UUID | str | Unset | None = UNSET,
    expected_version: int | None = None,
    detail: str | None = None,
    metadata: dict[str, Any] | None = None,
    learnt: Mapping[str, str | None] | None = None,
) -> Alert:
    """Change any of these fields at once; one entry per field that changed, none if nothing did.

    ``detail`` (else the reason) becomes the text of the first entry. ``partner=None`` means the partner that every
    installation has, ``assigned_to=None`` nobody. Of ``learnt`` only what is still empty is filled in.

    Raises:
        Invalid: a value is none of these words, or too long.
        Stale: the alert is of another version by now.
        NotFound: nobody of that name, or no such partner.
    """
    text = detail if detail is not None else resolve_reason
    edit = _begin(
        actor, alert, expected_version,
        text=limited_text(text, field="detail") if text else None,
        metadata=clean_json(metadata) if metadata else None,
    )  # fmt: skip
    was = edit.subject.status
    if partner is not UNSET:
        _set_partner(edit, partner)
    if status is not None:
        status = choice(status, Alert.Status.values, field="status")
    # Before the status, so that one request can determine and resolve.
    if determination is not None:
        _set_determination(edit, determination, stays_resolved=(status or was) == RESOLVED)
    if status is not None:
        _set_status(edit, status)
    if assigned_to is not UNSET:
        _set_owner(edit, assigned_to, starts_work=status is None)
    if severity is not None:
        _set_severity(edit, severity)
    if tags is not None:
        _set_tags(edit, tags)
    if learnt is not None:
        _fill_in(edit, learnt)
    if resolve_reason is not None:
        _set_reason(edit, resolve_reason)
    return _finish(edit, was=was)


@transaction.atomic
def claim_alert(*, actor: Actor, alert: Alert) -> Alert:
    """Make it the actor's own; :class:`Conflict` names the owner if somebody was faster. New → in progress."""
    if actor.user_id is None:
        raise NotAllowed(_("Only a person can claim an alert"))
    edit = _begin(actor, alert)
    locked, was = edit.subject, edit.subject.status
    if locked.assigned_to_id == actor.user_id:
        return _started(edit, was)
    if locked.assigned_to_id is not None:
        raise Conflict(_("Already claimed by %(name)s") % {"name": locked.assigned_to.username})
    user = assignable_user(actor.user_id, partner_id=locked.partner_id)
    assert user is not None
    edit.set(assigned_to=user, status=IN_PROGRESS if was == NEW else was)
    edit.note(
        Claimed(user_id=str(user.pk), username=user.username, status_before=was, status_after=locked.status)
    )
    return _finish(edit, was=was)


def _started(edit: Edit, was: str) -> Alert:
    """Claiming what is one's own changes nothing, unless it had not been started."""
    if was == NEW:
        _set_status(edit, IN_PROGRESS)
    return _finish(edit, was=was)


@transaction.atomic
def assign_alert(
    *, actor: Actor, alert: Alert, user: User | UUID | str | None, expected_version: int | None = None
) -> Alert:
    """Give it to ``user``, or to nobody. New → in progress where somebody gets it."""
    edit = _begin(actor, alert, expected_version)
    was = edit.subject.status
    _set_owner(edit, user, starts_work=True)
    return _finish(edit, was=was)


@transaction.atomic
def resolve_alert(
    *,
    actor: Actor,
    alert: Alert,
    determination: str,
    reason: str | None = None,
    expected_version: int | None = None,
) -> Alert:
    """Settle it: what it turned out to be, and why. The determination has an entry of its own where it changed."""
    edit = _begin(
        actor, alert, expected_version, text=limited_text(reason, field="reason") if reason else None
    )
    was = edit.subject.status
    _set_determination(edit, determination, stays_resolved=True)
    _set_status(edit, RESOLVED)
    if reason is not None:
        _set_reason(edit, reason)
    return _finish(edit, was=was)


@transaction.atomic
def reopen_alert(
    *, actor: Actor, alert: Alert, reason: str | None = None, expected_version: int | None = None
) -> Alert:
    """Work it again: in progress if it has an owner, else new. One that is open already stays as it is."""
    edit = _begin(
        actor, alert, expected_version, text=limited_text(reason, field="reason") if reason else None
    )
    was = edit.subject.status
    if was == RESOLVED:
        _set_status(edit, NEW if edit.subject.assigned_to_id is None else IN_PROGRESS)
    return _finish(edit, was=was)


@transaction.atomic
def archive_alert(*, actor: Actor, alert: Alert, expected_version: int | None = None) -> Alert:
    """Delete it: out of sight at once, kept with its timeline until retention ends."""
    edit = _begin(actor, alert, expected_version)
    edit.set(archived_at=clock.now())
    edit.note(Archived())
    return _finish(edit, was=edit.subject.status)


def _set_status(edit: Edit, status: str) -> None:
    alert: Alert = edit.subject
    before = alert.status
    if before == status:
        return
    if status == RESOLVED and alert.determination == UNKNOWN:
        raise Invalid(
            _("Cannot resolve an alert with determination 'unknown'. Set a determination first."),
            field="determination",
        )
    edit.set(status=status, resolved_at=clock.now() if status == RESOLVED else None)
    if before == RESOLVED:
        edit.set(resolve_reason=None)
    edit.note(StatusChange(before=before, after=status, metadata=edit.metadata))


def _set_determination(edit: Edit, determination: str, *, stays_resolved: bool) -> None:
    determination = choice(determination, Alert.Determination.values, field="determination")
    if determination == UNKNOWN and stays_resolved:
        raise Invalid(
            _("Cannot resolve an alert with determination 'unknown'. Set a determination first."),
            field="determination",
        )
    before = edit.subject.determination
    if before != determination:
        edit.set(determination=determination)
        edit.note(DeterminationSet(before=before, after=determination, metadata=edit.metadata))


def _set_severity(edit: Edit, severity: str) -> None:
    severity = choice(severity, Severity.values, field="severity")
    before = edit.subject.severity
    if before != severity:
        edit.set(severity=severity)
        edit.note(SeverityChange(before=before, after=severity, metadata=edit.metadata))


def _set_owner(edit: Edit, user: User | UUID | str | None, *, starts_work: bool) -> None:
    alert: Alert = edit.subject
    if isinstance(user, User) and user.pk == alert.assigned_to_id:
        return
    owner = assignable_user(user, partner_id=alert.partner_id)
    before, status = alert.assigned_to, alert.status
    if owner == before:
        return
    edit.set(assigned_to=owner)
    if starts_work and owner is not None and status == NEW:
        edit.set(status=IN_PROGRESS)
    edit.note(assigned_kind(owner, before, status, alert.status, edit.metadata))


def assigned_kind(
    owner: User | None,
    before: User | None,
    status_before: str,
    status_after: str,
    metadata: dict[str, Any] | None,
) -> Assigned:
    """The entry of a change of owner."""
    return Assigned(
        user_id=None if owner is None else str(owner.pk),
        username=None if owner is None else owner.username,
        before_user_id=None if before is None else str(before.pk),
        before_username=None if before is None else before.username,
        status_before=status_before if status_before != status_after else None,
        status_after=status_after if status_before != status_after else None,
        metadata=metadata,
    )


def _set_tags(edit: Edit, tags: Iterable[str]) -> None:
    before, after = edit.subject.tags, tag_list(tags)
    if before != after:
        edit.set(tags=after)
        added = tuple(tag for tag in after if tag not in before)
        removed = tuple(tag for tag in before if tag not in after)
        edit.note(TagsChanged(added=added, removed=removed, metadata=edit.metadata))


def _fill_in(edit: Edit, learnt: Mapping[str, str | None]) -> None:
    new = {name: value for name, value in learnt.items() if value and not getattr(edit.subject, name)}
    if new:
        edit.set(**new)
        edit.note(DetailsChanged(fields=tuple(new), metadata=edit.metadata))


def _set_reason(edit: Edit, reason: str) -> None:
    reason = limited_text(reason, field="resolve_reason")
    if (edit.subject.resolve_reason or "") != reason:
        edit.set(resolve_reason=reason or None)
        if not edit.drafts:  # a reason alone; with another change it is that change's text
            edit.note(DetailsChanged(fields=("resolve_reason",), metadata=edit.metadata), text=reason)


def _set_partner(edit: Edit, partner: Partner | str | None) -> None:
    """Move the alert, and what it mentions, to another customer."""
    alert: Alert = edit.subject
    target = resolve_partner(partner, actor=edit.actor)
    if target.pk == alert.partner_id:
        return
    if alert.incident_links.exists():
        raise Conflict(_("The alert is part of an incident of its partner; unlink it first"))
    before = alert.partner.slug
    edit.set(partner=target)
    if alert.assigned_to is not None and not alert.assigned_to.actor.sees_partner(target.pk):
        _set_owner(edit, None, starts_work=False)
    move_observables(edit.actor, alert, target.pk)
    edit.note(PartnerChanged(before=before, after=target.slug, metadata=edit.metadata))
