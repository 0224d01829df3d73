"""What can be done to the secrets of playbooks. Admin and command call these; values go in and never come out again,
but to the runs that may read them.
"""

from __future__ import annotations

import functools
import re
import uuid

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from opensoar import clock
from opensoar.accounts.models import Partner
from opensoar.accounts.services import audit, resolve_partner
from opensoar.actors import Actor
from opensoar.crypto import SecretsError, decrypt, encrypt
from opensoar.edits import UNSET, Unset
from opensoar.errors import Conflict, Invalid, NotAllowed, NotFound
from opensoar.text import limited_text
from playbooks_engine.masking import MAX_LENGTH, MIN_LENGTH, Secrets
from playbooks_engine.models import Secret

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)


@transaction.atomic
def set_secret(
    *,
    actor: Actor,
    name: str,
    value: str,
    partner: Partner | str | None = None,
    description: str | Unset = UNSET,
) -> Secret:
    """Create the secret of that name and partner, or give it another value; runs read it from their next start on.

    ``partner=None`` means every partner's runs, for somebody bound to one partner that one's.

    Raises:
        Invalid: a name, a value or a partner that cannot be; or no key to seal the value with.
        NotAllowed: one for every partner, by somebody who does not see them all.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Invalid(_("A name is 1 to 100 letters, digits, dots, - and _"), field="name")
    if not isinstance(value, str) or not MIN_LENGTH <= len(value) <= MAX_LENGTH:
        limits = {"least": MIN_LENGTH, "most": MAX_LENGTH}
        text = _(
            "A secret has %(least)d to %(most)d characters: a shorter one could not be hidden in logs and results"
        )
        raise Invalid(text % limits, field="value")
    owner = _owner(actor, partner)
    secret = Secret.objects.select_for_update(of=("self",)).filter(name=name, partner=owner).first()
    is_new = secret is None
    secret = secret or Secret(name=name, partner=owner)
    secret.value = _sealed(secret, value)
    _store(actor, secret, description, is_new=is_new, value_changed=True)
    return secret


@transaction.atomic
def describe_secret(*, actor: Actor, secret: Secret, description: str) -> Secret:
    """Say what it is for; its value stays. Raises as :func:`delete_secret` does."""
    locked = _lock(actor, secret)
    _store(actor, locked, description, is_new=False, value_changed=False)
    return locked


@transaction.atomic
def delete_secret(*, actor: Actor, secret: Secret) -> None:
    """Remove it for good; runs that have begun keep what they were given.

    Raises:
        NotFound: there is none (any more).
        NotAllowed: it is every partner's, and the actor does not see them all.
    """
    locked = _lock(actor, secret)
    _audited(actor, locked, "secret_deleted")
    locked.delete()


def secrets_for(partner_id: uuid.UUID) -> Secrets:
    """What a run of that partner may read: its own, else the one for everybody; a value is opened when it is read.

    Reading one raises :class:`NoSuchSecret`, or :class:`SecretsError` where the key is not set or not the same.
    """
    rows = Secret.objects.filter(Q(partner_id=partner_id) | Q(partner__isnull=True)).order_by()
    found = sorted(rows, key=lambda row: row.partner_id is not None)  # a partner's own replaces everybody's
    return Secrets({row.name: functools.partial(_opened, row) for row in found})


def _opened(secret: Secret) -> str:
    try:
        return decrypt(secret.value, context=str(secret.pk)).decode()
    except SecretsError as error:
        raise SecretsError(f"The secret {secret.name!r} cannot be read. {error}") from None


def _sealed(secret: Secret, value: str) -> bytes:
    try:
        return encrypt(value.encode(), context=str(secret.pk))
    except SecretsError as error:
        raise Invalid(str(error), field="value") from None
    except UnicodeEncodeError:
        raise Invalid(_("This is no text"), field="value") from None


def _store(
    actor: Actor, secret: Secret, description: str | Unset, *, is_new: bool, value_changed: bool
) -> None:
    described = False
    if not isinstance(description, Unset):
        text = limited_text(description, field="description", limit=200)
        described, secret.description = text != secret.description, text
    if not (is_new or value_changed or described):
        return
    secret.updated_at = clock.now()
    if not is_new:
        secret.version += 1
    try:
        with transaction.atomic():
            secret.save(force_insert=is_new)
    except IntegrityError:
        raise Conflict(_("Somebody else made a secret of that name a moment ago")) from None
    if is_new:
        _audited(actor, secret, "secret_created")
    else:
        changed = {"value": value_changed, "description": described}
        _audited(actor, secret, "secret_changed", fields=[field for field, is_so in changed.items() if is_so])


def _lock(actor: Actor, secret: Secret) -> Secret:
    found = Secret.objects.visible_to(actor).select_related("partner").filter(pk=secret.pk)
    locked = found.select_for_update(of=("self",)).first()
    if locked is None:
        raise NotFound(_("Secret not found"))
    _refuse_everybodys(actor, locked.partner)
    return locked


def _owner(actor: Actor, partner: Partner | str | None) -> Partner | None:
    if partner in (None, ""):
        if actor.partner_ids is not None and len(actor.partner_ids) == 1:
            return Partner.objects.get(pk__in=actor.partner_ids)
        _refuse_everybodys(actor, None)
        return None
    if isinstance(partner, str) and not Partner.objects.filter(slug=partner).exists():
        raise Invalid(_("Unknown partner"), field="partner")  # a misspelt one must not come into being here
    return resolve_partner(partner, actor=actor)


def _refuse_everybodys(actor: Actor, owner: Partner | None) -> None:
    if owner is None and actor.partner_ids is not None:
        raise NotAllowed(_("A secret for every partner is changed by those who see every partner"))


def _audited(actor: Actor, secret: Secret, action: str, **more: object) -> None:
    detail = {"name": secret.name, "partner": secret.partner.slug if secret.partner else None, **more}
    audit(actor=actor, action=action, object_kind="secret", object_id=secret.pk, detail=detail)
