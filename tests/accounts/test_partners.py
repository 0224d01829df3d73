"""Partners: found by slug or name, made when nobody knows them."""

import pytest

from opensoar.accounts import services
from opensoar.accounts.models import DEFAULT_PARTNER_ID, AuditEntry, Partner, ProductSettings
from opensoar.errors import Invalid
from tests.factories import SYSTEM, default_partner, make_partner, make_user
from tests.threads import at_once


@pytest.mark.django_db
def test_service_finds_by_slug_or_name():
    acme = make_partner("acme", name="Acme Industries")
    for words in ("acme", "ACME", " acme ", "Acme Industries", "acme industries"):
        assert services.get_or_create_partner(words, actor=SYSTEM) == acme
    assert services.get_or_create_partner("Default", actor=SYSTEM) == default_partner()
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["New Corp", "株式会社", "a\x00b", "x" * 500, "../etc", "\ud800"])
def test_service_makes_unknown_ones_with_an_audit_entry(name):
    partner = services.get_or_create_partner(name, actor=SYSTEM)
    assert partner == services.get_or_create_partner(name, actor=SYSTEM)
    assert partner.slug
    assert len(partner.slug) <= 100
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id, entry.detail) == (
        "partner_created",
        str(partner.pk),
        {"slug": partner.slug},
    )


@pytest.mark.django_db
def test_service_refuses_where_settings_say_so():
    ProductSettings.objects.update(create_unknown_partners=False)
    assert services.get_or_create_partner("new", actor=SYSTEM) is None
    assert services.get_or_create_partner("default", actor=SYSTEM) == default_partner()


@pytest.mark.django_db
def test_service_resolves_what_the_actor_may_see():
    ours, theirs = make_partner("ours"), make_partner("theirs")
    ada = make_user(partners=[ours]).actor
    assert services.resolve_partner(None, actor=SYSTEM).pk == DEFAULT_PARTNER_ID
    assert services.resolve_partner("ours", actor=ada) == services.resolve_partner(ours, actor=ada) == ours
    for hidden in (None, "theirs", theirs, "brand-new"):
        with pytest.raises(Invalid, match="Unknown partner"):
            services.resolve_partner(hidden, actor=ada)
    assert not Partner.objects.filter(slug="brand-new").exists()


def test_service_made_by_many_at_once_exists_once(fresh_database):
    outcomes = at_once([lambda: services.get_or_create_partner("New Corp", actor=SYSTEM)] * 8)
    assert {outcome.slug for outcome in outcomes} == {"new-corp"}
    assert (Partner.objects.count(), AuditEntry.objects.count()) == (2, 1)
