"""Partners: found by what a payload or a person calls them, made when nobody knows them yet."""

from __future__ import annotations

import hashlib

from django.db import transaction
from django.db.models import Q
from django.utils.text import slugify
from django.utils.translation import gettext as _

from opensoar.accounts.models import DEFAULT_PARTNER_ID, Partner, ProductSettings
from opensoar.accounts.services.audit import audit
from opensoar.actors import Actor
from opensoar.errors import Invalid
from opensoar.text import clean


def partner_slug(name: str) -> str:
    """The slug of ``name``; names that have no Latin letter get one derived from their bytes. At most 100 characters."""
    slug = slugify(name)[:100].strip("-")
    return slug or "partner-" + hashlib.sha256(name.strip().encode("utf-8", "replace")).hexdigest()[:12]


@transaction.atomic
def get_or_create_partner(slug_or_name: str, *, actor: Actor) -> Partner | None:
    """The partner of that slug, or name whatever its case; an unknown one is made, with an audit entry.

    ``None`` where the installation's settings refuse unknown partners.
    """
    name = clean(slug_or_name).strip()[:200]
    slug = partner_slug(name)
    known = Partner.objects.filter(slug=slug).first() or Partner.objects.filter(name__iexact=name).first()
    if known is not None:
        return known
    if not ProductSettings.load().create_unknown_partners:
        return None
    partner, created = Partner.objects.get_or_create(slug=slug, defaults={"name": name})
    if created:
        audit(
            actor=actor,
            action="partner_created",
            object_kind="partner",
            object_id=partner.pk,
            detail={"slug": slug},
        )
    return partner


def resolve_partner(partner: Partner | str | None, *, actor: Actor) -> Partner:
    """The partner that ``actor`` means: a row, a slug or name, or ``None`` for the one every installation has.

    Raises :class:`Invalid` where the actor may not see it; that a partner exists is not given away.
    """
    if partner is None or partner == "":
        partner = Partner.objects.get(pk=DEFAULT_PARTNER_ID)
    if isinstance(partner, str):
        found = _named(partner, actor=actor)
    else:
        found = partner
    if found is None or not actor.sees_partner(found.pk):
        raise Invalid(_("Unknown partner"), field="partner")
    return found


def partner_or_everybody(partner: Partner | str | None, *, actor: Actor) -> Partner | None:
    """Whose a thing is that can be everybody's: ``None`` means that, for somebody bound to one partner that one.

    Raises as :func:`resolve_partner`; it makes no partner, and who is bound to several has to choose.
    """
    if partner in (None, ""):
        if actor.partner_ids is None:
            return None
        if len(actor.partner_ids) > 1:
            raise Invalid(_("Choose one of your partners"), field="partner")
        return Partner.objects.get(pk__in=actor.partner_ids)
    if isinstance(partner, str) and actor.partner_ids is None:
        known = Partner.objects.filter(slug=partner).first()  # a misspelt one must not come into being here
        if known is None:
            raise Invalid(_("Unknown partner"), field="partner")
        return known
    return resolve_partner(partner, actor=actor)


def _named(name: str, *, actor: Actor) -> Partner | None:
    if actor.partner_ids is None:
        if actor.kind != "analyst" or actor.can("settings:manage"):
            return get_or_create_partner(name, actor=actor)
        # A person who mistypes a name does not mean a new customer.
        return Partner.objects.filter(Q(slug=partner_slug(name)) | Q(name__iexact=name.strip())).first()
    # Who is bound to partners cannot make new ones: the row would vanish from their own sight.
    return Partner.objects.filter(pk__in=actor.partner_ids, slug=partner_slug(name)).first()
