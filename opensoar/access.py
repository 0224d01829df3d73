"""What every ``access.py`` shares: the capability comes first, then the object, and only what the actor may see."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from opensoar.actors import Actor
from opensoar.errors import NotAllowed, NotFound


def require(actor: Actor, capability: str) -> None:
    """Raise :class:`NotAllowed` unless ``actor`` holds ``capability``."""
    if not actor.can(capability):
        raise NotAllowed(_("Permission denied: requires %(capability)s") % {"capability": capability})


def parse_id(value: object, *, missing: str) -> UUID:
    """``value`` as an id; what is no id cannot be found: :class:`NotFound` with the text ``missing``."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError:
        raise NotFound(missing) from None
