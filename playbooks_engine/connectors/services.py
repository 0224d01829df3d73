"""What can be done to connectors. REST and admin call these; secrets go in and never come out again.

A secret is stored only sealed for its row, is in no answer, no audit entry and no error. What is *named* like one
inside ``config`` is taken for one, since the public API has no other place for it.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from opensoar.accounts.models import Partner
from opensoar.accounts.services import audit, partner_or_everybody
from opensoar.actors import Actor
from opensoar.crypto import SecretsError, encrypt
from opensoar.edits import UNSET, Unset, check_version
from opensoar.errors import Conflict, Invalid, NotFound
from opensoar.text import clean_json, required_text
from playbooks_engine.connectors import Health, known_type
from playbooks_engine.models import Connector
from playbooks_engine.pollers import services as polls

MAX_BYTES = 64 * 1024
_KIND = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}", re.ASCII)
_SECRET_NAME = re.compile(r"key|token|secret|passw|passphrase|credential|auth|cookie", re.IGNORECASE)
# Configuration that decides who hears the secrets.
_DESTINATION = re.compile(
    r"url|uri|host|port|server|address|endpoint|security|tls|ssl|verify|ca_|proxy|cloud", re.IGNORECASE
)


@transaction.atomic
def create_connector(
    *,
    actor: Actor,
    kind: str,
    name: str,
    partner: Partner | str | None = None,
    config: dict[str, Any] | None = None,
    secrets: dict[str, Any] | None = None,
    enabled: bool = True,
) -> Connector:
    """A new connector; ``partner=None`` means every partner's, for somebody bound to one partner that one.

    Raises :class:`Invalid`, and :class:`Conflict` where there is one of that kind, name and partner.
    """
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise Invalid(_("A type is lower-case letters, digits, - and _"), field="integration_type")
    plain, named_secret = _split(config or {})
    polls.check_config(kind, plain)
    polls.check_secrets(kind, named_secret | (secrets or {}))
    connector = Connector(
        kind=kind,
        name=required_text(name, field="name", limit=150),
        partner=partner_or_everybody(partner, actor=actor),
        config=plain,
        enabled=enabled,
    )
    connector.secrets = _sealed(connector, named_secret | (secrets or {}))
    _store(connector)
    polls.follow_edit(connector)
    _audited(actor, connector, "connector_created")
    return connector


@transaction.atomic
def update_connector(
    *,
    actor: Actor,
    connector: Connector,
    name: str | None = None,
    partner: Partner | str | Unset | None = UNSET,
    config: dict[str, Any] | None = None,
    secrets: dict[str, Any] | Unset | None = UNSET,
    enabled: bool | None = None,
    expected_version: int | None = None,
) -> Connector:
    """Change what is given; one audit entry naming the fields, none if nothing changed.

    ``config`` replaces the whole configuration; secrets in it, or given as ``secrets``, replace the stored ones, which
    otherwise stay, unless the configuration names another server: whoever may edit a connector must not get to know
    its secrets by having them sent elsewhere. ``secrets=None`` forgets them. Raises as :func:`create_connector`, and
    :class:`Stale`.
    """
    locked = _lock(actor, connector)
    check_version(locked, expected_version)
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = required_text(name, field="name", limit=150)
    if not isinstance(partner, Unset):
        values["partner"] = partner_or_everybody(partner, actor=actor)
    if enabled is not None:
        values["enabled"] = enabled
    named_secret: dict[str, Any] = {}
    if config is not None:
        values["config"], named_secret = _split(config)
        polls.check_config(locked.kind, values["config"])
        moved = _destination(locked.config) != _destination(values["config"])
        if moved and locked.secrets and not named_secret and isinstance(secrets, Unset):
            raise Invalid(
                _("Give the secrets again: with this configuration they go to another server"),
                field="secrets",
            )
    if named_secret or not isinstance(secrets, Unset):
        given = named_secret | (secrets if isinstance(secrets, dict) else {})
        if given:
            polls.check_secrets(locked.kind, given)
        values["secrets"] = _sealed(locked, given)
    edited = [field for field, value in values.items() if getattr(locked, field) != value]
    if edited:
        for field in edited:
            setattr(locked, field, values[field])
        locked.version += 1
        _store(locked, [*edited, "version"])
        polls.follow_edit(locked)
        _audited(actor, locked, "connector_changed", fields=sorted(edited))
    return locked


@transaction.atomic
def delete_connector(*, actor: Actor, connector: Connector) -> None:
    """Remove it, its secrets with it; what it was called stays in the audit trail."""
    locked = _lock(actor, connector)
    _audited(actor, locked, "connector_deleted")
    locked.delete()


def check_connector(*, actor: Actor, connector: Connector) -> Health:
    """Look at the other system now and keep what was found. Nothing is kept for a kind that cannot be looked at."""
    polls.refuse_foreign(actor, connector)
    known = known_type(connector.kind)
    if known is None:
        text = _("Integration type '%(kind)s' not supported") % {"kind": connector.kind}
        return Health(healthy=False, message=text)
    found = known.health(connector)  # no transaction is open while it takes its time
    Connector.objects.filter(pk=connector.pk).update(
        health_status="healthy" if found.healthy else "unhealthy", last_health_check=timezone.now()
    )
    return found


def _lock(actor: Actor, connector: Connector) -> Connector:
    locked = (
        Connector.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=connector.pk).first()
    )
    if locked is None:
        raise NotFound(_("Integration not found"))
    polls.refuse_foreign(actor, locked)
    return locked


def _split(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may be stored readably, and what is named like a secret, with whatever contains it."""
    _refuse_large(config, "config")
    hidden = {name: value for name, value in config.items() if _hides(name, value)}
    return clean_json({name: value for name, value in config.items() if name not in hidden}), hidden


def _destination(config: dict[str, Any]) -> dict[str, Any]:
    return {k: value for k, value in config.items() if isinstance(value, dict) or _DESTINATION.search(k)}


def _hides(name: object, value: Any) -> bool:
    if _SECRET_NAME.search(str(name)):
        return True
    if isinstance(value, dict):
        return any(_hides(inner, held) for inner, held in value.items())
    return isinstance(value, list) and any(_hides("", held) for held in value)


def _sealed(connector: Connector, secrets: dict[str, Any]) -> bytes | None:
    if not secrets:
        return None
    _refuse_large(secrets, "secrets")
    try:
        return encrypt(orjson.dumps(secrets), context=str(connector.pk))
    except SecretsError as error:
        raise Invalid(str(error), field="secrets") from None


def _refuse_large(value: dict[str, Any], field: str) -> None:
    try:
        size = len(orjson.dumps(value))
    except TypeError:
        raise Invalid(_("This is no JSON object"), field=field) from None
    if size > MAX_BYTES:
        raise Invalid(_("At most %(limit)d bytes") % {"limit": MAX_BYTES}, field=field)


def _store(connector: Connector, edited: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            connector.save(update_fields=edited, force_insert=edited is None)
    except IntegrityError:
        raise Conflict(_("There is an integration of that type and name already")) from None


def _audited(actor: Actor, connector: Connector, action: str, **more: Any) -> None:
    detail = {"kind": connector.kind, "name": connector.name, **more}
    audit(actor=actor, action=action, object_kind="connector", object_id=connector.pk, detail=detail)
