"""People and tokens by id, for those who may manage them."""

from __future__ import annotations

from django.utils.translation import gettext as _

from opensoar.access import parse_id, require
from opensoar.accounts.models import ApiToken, User
from opensoar.actors import Actor
from opensoar.errors import NotFound


def get_user_for(actor: Actor, pk: object, capability: str = "analysts:manage") -> User:
    """The person; raises :class:`NotAllowed` or :class:`NotFound`."""
    require(actor, capability)
    missing = _("Analyst not found")
    user = User.objects.select_related("role").filter(pk=parse_id(pk, missing=missing)).first()
    if user is None:
        raise NotFound(missing)
    return user


def get_token_for(actor: Actor, pk: object, capability: str = "api_keys:manage") -> ApiToken:
    """The API token; raises :class:`NotAllowed` or :class:`NotFound`. Session tokens are their owner's affair."""
    require(actor, capability)
    missing = _("API key not found")
    tokens = ApiToken.objects.filter(pk=parse_id(pk, missing=missing), kind=ApiToken.Kind.API)
    if actor.partner_ids is not None:
        tokens = tokens.filter(partner_id__in=actor.partner_ids)
    token = tokens.first()
    if token is None:
        raise NotFound(missing)
    return token
