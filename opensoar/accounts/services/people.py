"""People: made, changed, given passwords; who can own an alert and who is mentioned."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from opensoar.accounts.models import Partner, Role, User
from opensoar.accounts.services.audit import audit
from opensoar.accounts.services.tokens import revoke_session_tokens
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid, NotAllowed, NotAuthenticated
from opensoar.text import clean, limited_text, required_text

MAX_PASSWORD = 1024  # characters; hashing a megabyte is a way to keep us busy
_MENTION = re.compile(r"(?<![\w@.+-])@([\w.+-]{1,150})")


@transaction.atomic
def create_user(
    *,
    actor: Actor,
    username: str,
    display_name: str,
    email: str = "",
    password: str,
    role: str = "analyst",
    partners: Iterable[Partner] = (),
) -> User:
    """A new person. Raises :class:`Conflict` for a name that is taken, in whatever case."""
    user = User(
        username=_valid_username(username),
        display_name=limited_text(display_name, field="display_name", limit=150) or clean(username),
        email=_valid_email(email),
        role=_role_for(actor, role),
    )
    _set_valid_password(user, password)
    chosen = _partners_for(actor, partners)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise Conflict(_("Username already taken")) from None
    user.partners.set(chosen)
    detail = {"username": user.username, "role": role, "partners": [p.slug for p in chosen]}
    audit(actor=actor, action="user_created", object_kind="user", object_id=user.pk, detail=detail)
    return user


@transaction.atomic
def update_user(*, actor: Actor, user: User, **changes: Any) -> User:
    """Change ``display_name``, ``email``, ``is_active``, ``role`` (an id) or ``partners``; one audit entry, or none.

    Switching a person off ends their sessions. The last active admin cannot be removed (:class:`Invalid`, 400).
    """
    if unknown := changes.keys() - {"display_name", "email", "is_active", "role", "partners"}:
        raise TypeError(f"update_user cannot change {sorted(unknown)}")
    # All admins are locked, in one order, so that two of them cannot remove each other at the same time.
    locked = (
        User.objects.select_for_update(no_key=True).filter(Q(pk=user.pk) | Q(role="admin")).order_by("pk")
    )
    rows = {row.pk: row for row in locked}
    user = rows[user.pk]
    _refuse_outranked(actor, user)
    was_admin = user.is_active and user.role_id == "admin"
    edited = _edit_fields(actor, user, changes)
    others = any(u.is_active and u.role_id == "admin" for u in rows.values() if u.pk != user.pk)
    if was_admin and not (user.is_active and user.role_id == "admin") and not others:
        raise Invalid(_("Cannot remove the last active admin"), status=400)
    if edited:
        user.save(update_fields=edited)
    detail: dict[str, Any] = {field: _plain(getattr(user, field)) for field in edited}
    if "partners" in changes:
        detail |= _edit_partners(actor, user, changes["partners"])
    if detail:
        audit(actor=actor, action="user_changed", object_kind="user", object_id=user.pk, detail=detail)
    if not user.is_active:
        revoke_session_tokens(user)
    return User.objects.select_related("role").get(pk=user.pk)


def _edit_fields(actor: Actor, user: User, changes: dict[str, Any]) -> list[str]:
    values: dict[str, Any] = {}
    if changes.get("display_name") is not None:
        values["display_name"] = required_text(changes["display_name"], field="display_name", limit=150)
    if changes.get("email") is not None:
        values["email"] = _valid_email(changes["email"])
    if changes.get("is_active") is not None:
        values["is_active"] = bool(changes["is_active"])
    if changes.get("role") is not None and changes["role"] != user.role_id:
        values["role"] = _role_for(actor, changes["role"])
    edited = [field for field, value in values.items() if getattr(user, field) != value]
    for field in edited:
        setattr(user, field, values[field])
    return edited


def _edit_partners(actor: Actor, user: User, partners: Iterable[Partner]) -> dict[str, Any]:
    chosen = _partners_for(actor, partners)
    if {p.pk for p in chosen} == set(user.partners.values_list("pk", flat=True)):
        return {}
    user.partners.set(chosen)
    return {"partners": [p.slug for p in chosen]}


@transaction.atomic
def set_password(*, actor: Actor, user: User, password: str) -> User:
    """An admin gives ``user`` a new password; every session of theirs ends."""
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    _refuse_outranked(actor, user)
    _set_valid_password(user, password)
    _store_password(actor, user, "password_reset")
    return user


@transaction.atomic
def change_password(*, actor: Actor, user: User, current: str, new: str) -> User:
    """A person changes their own password; every session ends (a page keeps its own by rotating the hash)."""
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if not user.has_usable_password():
        raise Invalid(_("Local password is not configured for this account"), status=400)
    if not user.check_password(clean(current)[:MAX_PASSWORD]):
        raise NotAuthenticated(_("Current password is incorrect"))
    _set_valid_password(user, new, field="new_password")
    _store_password(actor, user, "password_changed")
    return user


@transaction.atomic
def store_own_password(*, user: User, password: str) -> User:
    """Keep the password that a person chose on a page, whose form has checked the old one and the new one."""
    user.set_password(password)
    _store_password(user.actor, user, "password_changed")
    return user


def _store_password(actor: Actor, user: User, action: str) -> None:
    user.save(update_fields=["password"])
    revoke_session_tokens(user)
    audit(actor=actor, action=action, object_kind="user", object_id=user.pk)


def create_admin(*, username: str = "admin", password: str | None = None) -> tuple[User, str | None]:
    """The admin of that name and the password they were given; ``None`` where they existed and keep their own."""
    existing = User.objects.filter(username__iexact=username).first()
    if existing is not None:
        return existing, None
    password = password or secrets.token_urlsafe(15)
    try:
        user = create_user(
            actor=Actor.system("create_admin"),
            username=username,
            display_name=username,
            password=password,
            role="admin",
        )
    except Conflict:  # another process was faster
        return User.objects.get_by_natural_key(username), None
    return user, password


def assignable_user(
    user: User | UUID | str | None, *, partner_id: UUID, field: str = "assigned_to"
) -> User | None:
    """The person who is to own something of ``partner_id``: given as a row, an id or a username; ``None`` is nobody.

    Raises :class:`Invalid` at ``field`` for somebody unknown, inactive, or who could not see it.
    """
    if user is None or user == "":
        return None
    found = _find_user(user)
    # One sentence for all: who works for one partner learns of nobody who works for another.
    if found is None or not found.is_active or not found.actor.sees_partner(partner_id):
        raise Invalid(_("Analyst not found or inactive"), field=field)
    return found


def _find_user(user: User | UUID | str) -> User | None:
    people = User.objects.select_related("role")
    if isinstance(user, User):
        return people.filter(pk=user.pk).first()  # as they are now, not as the caller read them
    try:
        return people.filter(pk=UUID(str(user))).first()
    except ValueError:
        return people.filter(username__iexact=clean(str(user))).first()


def mentioned_in(text: str, *, partner_id: UUID) -> tuple[str, ...]:
    """Usernames of active people that ``text`` mentions as ``@name`` and who may see ``partner_id``, in order."""
    names = list(dict.fromkeys(name.rstrip(".").lower() for name in _MENTION.findall(text)))[:50]
    if not names:
        return ()
    people = User.objects.annotate(lower=Lower("username")).filter(is_active=True, lower__in=names)
    people = people.filter(Q(partners__isnull=True) | Q(partners=partner_id))
    known = dict(people.values_list("lower", "username"))
    return tuple(known[name] for name in names if name in known)


def _valid_username(username: object) -> str:
    name = unicodedata.normalize("NFKC", required_text(username, field="username", limit=150))
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError as error:
        raise Invalid(error.messages[0], field="username") from None
    return name


def _valid_email(email: object) -> str:
    address = limited_text(str(email or ""), field="email", limit=254)
    try:
        if address:
            validate_email(address)
    except ValidationError as error:
        raise Invalid(error.messages[0], field="email") from None
    return address


def _set_valid_password(user: User, password: object, field: str = "password") -> None:
    if not isinstance(password, str) or len(password) > MAX_PASSWORD:
        raise Invalid(
            _("The password must have at most %(limit)d characters") % {"limit": MAX_PASSWORD}, field=field
        )
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field=field) from None
    user.set_password(clean(password))


def _role_for(actor: Actor, role: object) -> Role:
    found = Role.objects.filter(pk=role).first() if isinstance(role, str) else None
    if found is None:
        allowed = ", ".join(Role.objects.order_by("pk").values_list("pk", flat=True))
        raise Invalid(_("Invalid role. Must be one of: %(allowed)s") % {"allowed": allowed}, field="role")
    if not all(actor.can(capability) for capability in found.capabilities):
        raise NotAllowed(_("You cannot give a role that may do more than you"))
    return found


def _refuse_outranked(actor: Actor, user: User) -> None:
    """Who may do less than ``user``, or sees less, cannot take over their account."""
    if not all(actor.can(capability) for capability in user.role.capabilities):
        raise NotAllowed(_("You cannot change somebody who may do more than you"))
    if actor.partner_ids is not None:
        theirs = set(user.partners.values_list("pk", flat=True))
        if not theirs or not theirs <= actor.partner_ids:
            raise NotAllowed(_("You cannot change somebody who sees more than you"))


def _partners_for(actor: Actor, partners: Iterable[Partner]) -> list[Partner]:
    """``partners`` if the actor may give them; nobody chosen means all, which only those who see all can give."""
    chosen = list(partners)
    if actor.partner_ids is not None and (not chosen or not all(actor.sees_partner(p.pk) for p in chosen)):
        raise Invalid(_("Choose among your own partners"), field="partners")
    return chosen


def _plain(value: object) -> object:
    return value.pk if isinstance(value, Role) else value
