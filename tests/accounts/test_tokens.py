"""Tokens: issued, used, revoked; never more than their giver has."""

from datetime import timedelta

import pytest
from django.utils import timezone

from opensoar.accounts import services
from opensoar.accounts.access import get_token_for
from opensoar.accounts.models import ApiToken, AuditEntry, Role
from opensoar.accounts.services.audit import audit_digest
from opensoar.errors import Invalid, NotAllowed, NotFound
from tests.factories import SYSTEM, make_partner, make_token, make_user

pytestmark = pytest.mark.django_db


def test_service_issues_what_only_its_holder_knows():
    token, text = make_token(scopes=["read", "write", "read"], name="siem")
    assert text.startswith("osr_")
    assert text.startswith(token.prefix)
    assert token.scopes == ["read", "write"]
    row = ApiToken.objects.values().get()
    assert text not in str(row)
    assert len(bytes(row["digest"])) == 32
    assert services.authenticate_token(text) == token
    assert AuditEntry.objects.filter(action="token_issued").count() == 1


@pytest.mark.parametrize("wrong", ["", "osr_", "osr_wrong", "Bearer x", "osr_\ud800", "x" * 5000])
def test_service_knows_no_other(wrong):
    make_token()
    assert services.authenticate_token(wrong) is None


def test_service_refuses_revoked_expired_and_of_people_switched_off():
    revoked, text = make_token()
    services.revoke_token(actor=SYSTEM, token=revoked)
    services.revoke_token(actor=SYSTEM, token=revoked)
    assert services.authenticate_token(text) is None
    assert AuditEntry.objects.filter(action="token_revoked").count() == 1
    expiring, text = make_token(expires_at=timezone.now() + timedelta(hours=1))
    assert services.authenticate_token(text) == expiring
    ApiToken.objects.filter(pk=expiring.pk).update(expires_at=timezone.now())
    assert services.authenticate_token(text) is None
    user = make_user()
    _token, text = make_token(user=user)
    type(user).objects.update(is_active=False)
    assert services.authenticate_token(text) is None


def test_service_notes_the_use_once_a_minute(django_assert_num_queries):
    token, text = make_token()
    services.authenticate_token(text)
    token.refresh_from_db()
    assert token.last_used_at is not None
    with django_assert_num_queries(1):
        services.authenticate_token(text)


def test_service_actor_of_a_token():
    acme = make_partner()
    token, _text = make_token(scopes=["read"], partner=acme)
    actor = services.actor_for_token(token)
    assert (actor.kind, actor.id, actor.user_id, actor.partner_ids) == (
        "token",
        token.pk,
        None,
        frozenset({acme.pk}),
    )
    assert actor.can("alerts:read")
    assert not actor.can("alerts:update")
    ingest, _text = make_token(scopes=["ingest"])
    assert services.actor_for_token(ingest).capabilities == frozenset()


def test_service_nobody_gives_what_they_lack():
    Role.objects.create(id="keys", label="Keys", capabilities=["api_keys:manage", "alerts:read"])
    keeper = make_user(role="keys")
    with pytest.raises(NotAllowed):
        services.issue_token(actor=keeper.actor, name="x", scopes=["admin"])
    services.issue_token(actor=keeper.actor, name="x", scopes=["ingest"])
    ours, theirs = make_partner(), make_partner()
    bound = make_user(role="admin", partners=[ours])
    for partner in (None, theirs):
        with pytest.raises(NotAllowed):
            services.issue_token(actor=bound.actor, name="x", scopes=["read"], partner=partner)
    token, _text = services.issue_token(actor=bound.actor, name="x", scopes=["read"], partner=ours)
    assert token.created_by == bound


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["root"]},
        {"name": ""},
        {"source": "x" * 51},
        {"expires_at": timezone.now() - timedelta(1)},
    ],
)
def test_service_validates(wrong):
    with pytest.raises(Invalid):
        services.issue_token(**{"actor": SYSTEM, "name": "x", "scopes": ["read"]} | wrong)


def test_access():
    ours, theirs = make_partner(), make_partner()
    token, _text = make_token(partner=theirs)
    admin, bound = make_user(role="admin"), make_user(role="admin", partners=[ours])
    assert get_token_for(admin.actor, token.pk) == token
    with pytest.raises(NotFound, match="API key not found"):
        get_token_for(bound.actor, token.pk)
    with pytest.raises(NotAllowed):
        get_token_for(make_user().actor, token.pk)


def test_service_audit_entries_prove_themselves():
    services.audit(actor=SYSTEM, action="x", object_id="1", detail={"a": [1, "\x00"]}, ip="203.0.113.1")
    entry = AuditEntry.objects.get()
    assert bytes(entry.digest) == audit_digest(entry)
    entry.detail = {"a": 2}
    assert bytes(entry.digest) != audit_digest(entry)
