"""Entities that must not group alerts."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from incidents.grouping import ADDRESSES, ip_entities
from incidents.models import EXCLUDABLE, SuggestionExclusion
from opensoar import clock
from opensoar.accounts.models import Partner
from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid, NotAllowed
from opensoar.text import choice, required_text

LOWERED = frozenset({"host", "user"})


@transaction.atomic
def save_exclusion(
    *,
    actor: Actor,
    entity: str,
    value: str,
    reason: str,
    partner: Partner | None = None,
    expires_at: datetime | None = None,
    exclusion: SuggestionExclusion | None = None,
) -> SuggestionExclusion:
    """Keep an entity from grouping alerts, with a reason and until ``expires_at``; or change how it is kept.

    Suggestions follow within seconds. Raises :class:`Invalid`, :class:`Conflict` where it is excluded already, and
    :class:`NotAllowed` for rows of partners that ``actor`` does not see (everybody's take an actor who sees all).
    """
    row = exclusion or SuggestionExclusion(created_by_id=actor.user_id, created_at=clock.now())
    _may_write(actor, partner)
    row.partner, row.reason = partner, required_text(reason, field="reason", limit=500)
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid(_("That moment has passed"), field="expires_at")
    row.expires_at = expires_at
    if exclusion is None:
        row.entity = choice(entity, list(EXCLUDABLE), field="entity")
        row.entity, row.value = _canonical(row.entity, required_text(value, field="value", limit=2_000))
    try:
        with transaction.atomic():
            if exclusion is None:
                row.save(force_insert=True)
            else:
                row.save(update_fields=["reason", "expires_at"])
    except IntegrityError:
        raise Conflict(_("%(value)s is excluded already") % {"value": row.value}) from None
    _audit(actor, "suggestion_exclusion_saved", row)
    return row


@transaction.atomic
def delete_exclusion(*, actor: Actor, exclusion: SuggestionExclusion) -> None:
    """Let the entity group alerts again; the row goes once suggestions have followed."""
    _may_write(actor, exclusion.partner)
    SuggestionExclusion.objects.filter(pk=exclusion.pk).update(deleted=True)
    if not exclusion.applied:
        SuggestionExclusion.objects.filter(pk=exclusion.pk, applied=False).delete()
    _audit(actor, "suggestion_exclusion_deleted", exclusion)


def _may_write(actor: Actor, partner: Partner | None) -> None:
    if actor.partner_ids is not None and (partner is None or not actor.sees_partner(partner.pk)):
        raise NotAllowed(_("This is for people who see every partner"))


def _canonical(entity: str, value: str) -> tuple[str, str]:
    """As grouping compares it: an address of either kind finds its own."""
    value = value.strip()
    if entity in LOWERED:
        return entity, value.lower()
    if entity in ADDRESSES:
        found = next(ip_entities(value), None)
        if found is None:
            raise Invalid(_("That is no IP address"), field="value")
        return found
    if entity == "cidr":
        found = next((one for one in ip_entities(value.partition("/")[0]) if one[0] == "cidr"), None)
        if found is None or found[1] != value:
            raise Invalid(_("Give a /24 of IPv4 or a /64 of IPv6 on the internet"), field="value")
    return entity, value


def _audit(actor: Actor, action: str, row: SuggestionExclusion) -> None:
    audit(
        actor=actor, action=action, object_kind="suggestion_exclusion", object_id=str(row.pk),
        detail={"entity": row.entity, "value": row.value, "reason": row.reason},
    )  # fmt: skip
