"""People, tokens and audit entries: by id and as lists, for those who may manage or read them.

Who is bound to partners manages the people *all* of whose partners are their own. Somebody who sees every partner, or
one more, is not theirs: whoever resets a password can use it.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from opensoar.access import parse_id, require
from opensoar.accounts.models import ApiToken, AuditEntry, User
from opensoar.actors import Actor
from opensoar.errors import NotFound


def people_of(actor: Actor) -> QuerySet[User]:
    """The people whom ``actor`` manages if they may manage any."""
    people = User.objects.all()
    if actor.partner_ids is None:
        return people
    assigned = User.partners.through.objects.filter(user_id=OuterRef("pk"))
    own, foreign = (
        assigned.filter(partner_id__in=actor.partner_ids),
        assigned.exclude(partner_id__in=actor.partner_ids),
    )
    return people.filter(Exists(own), ~Exists(foreign))


def tokens_of(actor: Actor) -> QuerySet[ApiToken]:
    """The API tokens that ``actor`` manages if they may manage any: not those of a session, which are their owner's."""
    tokens = ApiToken.objects.filter(kind=ApiToken.Kind.API)
    return tokens if actor.partner_ids is None else tokens.filter(partner_id__in=actor.partner_ids)


def audit_of(actor: Actor) -> QuerySet[AuditEntry]:
    """The audit entries that ``actor`` may read if they may read any.

    An entry names no partner; whose it is follows from who acted. Bound to partners one reads one's own acts and those
    of the people and tokens that are one's own, not what others or the system did to them.
    """
    entries = AuditEntry.objects.all()
    if actor.partner_ids is None:
        return entries
    return entries.filter(
        Q(actor_id=actor.id)
        | Q(actor_kind="analyst", actor_id__in=people_of(actor).values("pk"))
        | Q(actor_kind="token", actor_id__in=tokens_of(actor).values("pk"))
    )


def get_user_for(actor: Actor, pk: object, capability: str = "analysts:manage") -> User:
    """The person; raises :class:`NotAllowed`, or :class:`NotFound` if missing or not the actor's to manage."""
    require(actor, capability)
    missing = _("Analyst not found")
    user = people_of(actor).select_related("role").filter(pk=parse_id(pk, missing=missing)).first()
    if user is None:
        raise NotFound(missing)
    return user


def get_token_for(actor: Actor, pk: object, capability: str = "api_keys:manage") -> ApiToken:
    """The API token; raises :class:`NotAllowed`, or :class:`NotFound` if missing or not the actor's to manage."""
    require(actor, capability)
    missing = _("API key not found")
    token = tokens_of(actor).filter(pk=parse_id(pk, missing=missing)).first()
    if token is None:
        raise NotFound(missing)
    return token
