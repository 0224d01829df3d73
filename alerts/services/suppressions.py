"""Hiding alerts that nobody needs to see: making and ending suppressions, and showing again what one hid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from alerts import events, suppressions
from alerts.models import Alert, AlertEntry, Delivery, Suppression
from alerts.services.locks import lock_alert
from alerts.subjects import subject_of
from alerts.timeline_kinds import ShownAgain
from opensoar import clock
from opensoar.accounts.models import DEFAULT_PARTNER_ID, Partner, User
from opensoar.accounts.services import assignable_user, audit, partner_or_everybody
from opensoar.actors import Actor
from opensoar.edits import Edit
from opensoar.errors import Conflict, Invalid, NotAllowed, NotFound
from opensoar.text import limited_text, required_text

USUAL_DAYS = 30
MAX_DAYS = 3660
MAX_CONDITIONS = 50
MAX_REASON = 2000


@transaction.atomic
def create_suppression(
    *,
    actor: Actor,
    name: str,
    conditions: Mapping[str, Any],
    reason: str,
    partner: Partner | str | None = None,
    days: int | None = USUAL_DAYS,
    owner: User | UUID | str | None = None,
) -> Suppression:
    """Hide new alerts that meet ``conditions`` for ``days`` days; ``None`` says explicitly: until it is ended.

    ``partner=None`` means everybody's alerts, for somebody bound to one partner those. The owner answers for it: the
    person who makes it, unless another is named. Alerts that are there already stay; web processes follow in seconds.

    Raises:
        Invalid: no name or reason, conditions that cannot be, an owner who could not see it, days out of range.
    """
    whose = partner_or_everybody(partner, actor=actor)
    if days is not None and (isinstance(days, bool) or not 1 <= days <= MAX_DAYS):
        raise Invalid(_("Between 1 and %d days, or never") % MAX_DAYS, field="days")
    now = clock.now()
    row = Suppression(
        name=required_text(name, field="name", limit=200),
        reason=required_text(reason, field="reason", limit=MAX_REASON),
        conditions=_conditions(conditions),
        partner=whose,
        owner=_owner(actor, owner, whose),
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    row.save(force_insert=True)
    _audit(actor, "suppression_created", row)
    return row


def _conditions(conditions: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(conditions, Mapping) and len(conditions) > MAX_CONDITIONS:
        raise Invalid(_("At most %d conditions") % MAX_CONDITIONS, field="conditions")
    return suppressions.checked(conditions).to_json()


def _owner(actor: Actor, owner: User | UUID | str | None, whose: Partner | None) -> User:
    named = owner or actor.user_id
    found = assignable_user(named, partner_id=whose.pk if whose else DEFAULT_PARTNER_ID, field="owner")
    if found is None:
        raise Invalid(_("Name the person who answers for it"), field="owner")
    if whose is None and found.actor.partner_ids is not None:
        raise Invalid(_("The owner of what concerns everybody must see every partner"), field="owner")
    return found


@transaction.atomic
def end_suppression(*, actor: Actor, suppression: Suppression) -> Suppression:
    """Hide nothing more. What it hid stays hidden until it comes again, or somebody shows it again.

    Raises :class:`Conflict` where it hides nothing any more, :class:`NotAllowed` for everybody's where the actor is
    bound to partners.
    """
    rows = Suppression.objects.visible_to(actor).select_for_update(no_key=True, of=("self",))
    locked = rows.filter(pk=suppression.pk).first()
    if locked is None:
        raise NotFound(_("Suppression not found"))
    if locked.partner_id is None and actor.partner_ids is not None:
        raise NotAllowed(_("It concerns every partner; who is bound to one cannot end it"))
    if not locked.is_active:
        raise Conflict(_("It hides nothing any more: it has ended or expired"))
    locked.ended_at, locked.ended_by_id = clock.now(), actor.user_id
    locked.save(update_fields=["ended_at", "ended_by"])
    _audit(actor, "suppression_ended", locked)
    return locked


@transaction.atomic
def show_alert_again(*, actor: Actor, alert: Alert, reason: str | None = None) -> Alert:
    """Bring a hidden alert back into the queue and start the playbooks that match it, as if it came now.

    One that nothing hides stays as it is; of one that is resolved no playbook starts.
    """
    locked = lock_alert(actor, alert)
    hidden_by = locked.suppressed_by
    if hidden_by is None:
        return locked
    text = limited_text(reason, field="reason") if reason else None
    edit = Edit(subject=locked, actor=actor, entries=AlertEntry, text=text)
    edit.set(suppressed_by=None)
    edit.note(ShownAgain(suppression_id=str(hidden_by.pk), name=hidden_by.name))
    edit.save()
    if locked.is_open:
        events.alert_created.emit([_as_created(locked)])
    return locked


def _as_created(alert: Alert) -> events.CreatedAlert:
    counter, owner = alert.counter, alert.assigned_to
    latest = Delivery.objects.get(pk=counter.last_delivery_id)
    counted = {
        "duplicate_count": counter.duplicate_count,
        "first_seen": counter.first_seen,
        "last_seen": counter.last_seen,
        "assigned_to": str(owner.pk) if owner else None,
        "assigned_username": owner.username if owner else None,
    }
    return events.CreatedAlert(
        alert_id=alert.pk,
        partner_id=alert.partner_id,
        source=alert.source,
        correlation_id=alert.correlation_id,
        severity=alert.severity,
        delivery_id=latest.pk,
        subject=subject_of(alert, latest.payload) | counted,
    )


def _audit(actor: Actor, action: str, row: Suppression) -> None:
    detail = {
        "name": row.name,
        "partner": row.partner.slug if row.partner else None,
        "conditions": row.conditions,
        "reason": row.reason,
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
    }
    audit(actor=actor, action=action, object_kind="suppression", object_id=row.pk, detail=detail)
    transaction.on_commit(suppressions.forget)
