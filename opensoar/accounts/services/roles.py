"""Roles that an installation makes beside the built-in ones. Nobody puts into a role what they lack themselves."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from opensoar.accounts.models import Role
from opensoar.accounts.permissions import ALL
from opensoar.accounts.services.audit import audit
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid, NotAllowed
from opensoar.text import required_text


@transaction.atomic
def create_role(*, actor: Actor, role_id: str, label: str, capabilities: Iterable[str]) -> Role:
    """A new role. Raises :class:`NotAllowed` for a capability that ``actor`` lacks, :class:`Conflict` for a taken id."""
    _refuse_bound(actor)
    if not role_id or slugify(role_id)[:40].replace("-", "_") != role_id.replace("-", "_"):
        raise Invalid(_("Use lower-case letters, digits, - and _"), field="id")
    role = Role(id=role_id, label=_label(label), capabilities=_given(actor, capabilities))
    try:
        with transaction.atomic():
            role.save(force_insert=True)
    except IntegrityError:
        raise Conflict(_("There is a role of that id")) from None
    _audited(actor, role, "role_created")
    return role


@transaction.atomic
def update_role(
    *, actor: Actor, role: Role, label: str | None = None, capabilities: Iterable[str] | None = None
) -> Role:
    """Change label or capabilities; everybody of that role may do accordingly from their next request on.

    Raises :class:`NotAllowed` for a capability that ``actor`` lacks, whether it is put in or was there already, and
    :class:`Conflict` for a built-in role: those are the same everywhere.
    """
    _refuse_bound(actor)
    role = Role.objects.select_for_update(no_key=True).get(pk=role.pk)
    if role.built_in:
        raise Conflict(_("Built-in roles cannot be changed"))
    _given(actor, role.capabilities)
    values = {
        "label": role.label if label is None else _label(label),
        "capabilities": role.capabilities if capabilities is None else _given(actor, capabilities),
    }
    edited = [name for name, value in values.items() if getattr(role, name) != value]
    if edited:
        for name in edited:
            setattr(role, name, values[name])
        role.save(update_fields=edited)
        _audited(actor, role, "role_changed")
    return role


def _refuse_bound(actor: Actor) -> None:
    """Roles are everybody's: who is bound to partners would change what strangers may do."""
    if actor.partner_ids is not None:
        raise NotAllowed(_("Roles are made by those who see every partner"))


def _label(label: str) -> str:
    return required_text(label, field="label", limit=80)


def _given(actor: Actor, capabilities: Iterable[str]) -> list[str]:
    given = sorted(set(capabilities))
    if unknown := [word for word in given if word not in ALL]:
        raise Invalid(
            _("Unknown capabilities: %(words)s") % {"words": ", ".join(unknown)}, field="capabilities"
        )
    if lacking := [word for word in given if not actor.can(word)]:
        raise NotAllowed(_("You cannot give what you lack: %(words)s") % {"words": ", ".join(lacking)})
    return given


def _audited(actor: Actor, role: Role, action: str) -> None:
    detail = {"label": role.label, "capabilities": role.capabilities}
    audit(actor=actor, action=action, object_kind="role", object_id=role.pk, detail=detail)
