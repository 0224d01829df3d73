"""What can be done to pollers beside what can be done to every connector: check, begin, poll now."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from opensoar.accounts.services import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid, NotAllowed
from playbooks_engine.models import Connector, PollState
from playbooks_engine.pollers import KINDS, poller


def refuse_foreign(actor: Actor, connector: Connector) -> None:
    """What is every partner's belongs to those who see every partner. Raises :class:`NotAllowed` for the others."""
    if actor.partner_ids is not None and connector.partner_id not in actor.partner_ids:
        raise NotAllowed(_("This integration is every partner's; only those who see all of them can use it"))


def check_config(kind: str, config: dict[str, Any]) -> None:
    """Raises :class:`Invalid` where ``config`` is none of a poller; other kinds may hold anything."""
    if kind in KINDS:
        try:
            poller(kind).read_settings(config)
        except ValueError as error:
            raise Invalid(_("Configuration: %s") % error, field="config") from None


def check_secrets(kind: str, secrets: dict[str, Any]) -> None:
    """Likewise for the secrets, which are all that it needs; what is wrong is named, never a value."""
    if kind in KINDS:
        try:
            poller(kind).read_credentials(secrets)
        except ValueError as error:
            raise Invalid(_("Secrets: %s") % error, field="secrets") from None


def follow_edit(connector: Connector) -> None:
    """A connector was made or edited: whoever polls it stops, and it is polled soon, since the edit may be the cure."""
    if connector.kind in KINDS:
        PollState.objects.get_or_create(connector=connector)
        PollState.objects.filter(connector=connector).update(
            next_at=Now(), failures=0, fence=F("fence") + 1, leased_until=None, leased_by=None
        )


def poll_now(*, actor: Actor, connector: Connector) -> None:
    """Let a worker poll it within seconds. Raises :class:`Conflict` where nothing is polled, or it is switched off."""
    refuse_foreign(actor, connector)
    if connector.kind not in KINDS:
        raise Conflict(_("Nothing is fetched from integrations of this type"))
    if not connector.enabled:
        raise Conflict(_("This integration is switched off"))
    PollState.objects.get_or_create(connector=connector)
    PollState.objects.filter(connector=connector).update(next_at=Now())
    audit(
        actor=actor, action="connector_polled", object_kind="connector", object_id=connector.pk,
        detail={"kind": connector.kind, "name": connector.name},
    )  # fmt: skip
