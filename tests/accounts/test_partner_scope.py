"""People, tokens and the audit trail by REST, for somebody bound to a partner."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from opensoar.accounts import services
from opensoar.accounts.models import Partner, User
from opensoar.errors import NotAllowed
from tests.api.clients import API, machine, person
from tests.factories import PASSWORD, SYSTEM, make_partner, make_token, make_user

pytestmark = pytest.mark.django_db
NEW = "a long enough password"


@pytest.fixture
def own() -> Partner:
    return make_partner("own")


@pytest.fixture
def foreign() -> Partner:
    return make_partner("foreign")


@pytest.fixture
def bound(own: Partner) -> APIClient:
    return person("admin", partners=[own], username="bound")


@pytest.fixture
def strangers(own: Partner, foreign: Partner) -> list[User]:
    """People who see something that ``bound`` does not."""
    return [
        make_user("chief", role="admin"),
        make_user("everywhere", role="viewer"),
        make_user("theirs", partners=[foreign]),
        make_user("both", partners=[own, foreign]),
    ]


def test_the_list_holds_one_s_own_people(bound: APIClient, own: Partner, strangers: list[User]) -> None:
    make_user("mate", partners=[own])
    for caller in (bound, machine("admin", partner=own)):
        assert [user["username"] for user in caller.get(API + "auth/analysts").json()] == ["bound", "mate"]
    everybody = person("admin", username="zoe").get(API + "auth/analysts").json()
    assert len(everybody) == 7


def test_who_sees_more_is_neither_shown_nor_changed(bound: APIClient, strangers: list[User]) -> None:
    for user in strangers:
        one = f"{API}auth/analysts/{user.pk}"
        for answer in (
            bound.get(one), bound.patch(one, {"display_name": "x"}), bound.patch(one, {"partners": ["own"]}),
            bound.post(one + "/reset-password", {"new_password": NEW}),
        ):  # fmt: skip
            assert (answer.status_code, answer.json()) == (404, {"detail": "Analyst not found"})
        user.refresh_from_db()
        assert user.check_password(PASSWORD)
        assert user.display_name == user.username.title()


def test_the_services_refuse_by_themselves(own: Partner, strangers: list[User]) -> None:
    actor = make_user("another", role="admin", partners=[own]).actor
    for user in strangers:
        with pytest.raises(NotAllowed, match="sees more than you"):
            services.set_password(actor=actor, user=user, password=NEW)
        with pytest.raises(NotAllowed, match="sees more than you"):
            services.update_user(actor=actor, user=user, is_active=False)


def test_one_s_own_people_are_managed_within_one_s_partners(
    bound: APIClient, own: Partner, foreign: Partner
) -> None:
    new = {"username": "mate", "display_name": "Mate", "password": NEW, "partners": ["own"]}
    made = bound.post(API + "auth/analysts", new)
    assert (made.status_code, made.json()["partners"]) == (201, ["own"])
    one = f"{API}auth/analysts/{made.json()['id']}"
    assert bound.patch(one, {"display_name": "Friend"}).json()["display_name"] == "Friend"
    assert bound.post(one + "/reset-password", {"new_password": NEW + "!"}).status_code == 200
    for partners in ([], ["foreign"], ["own", "foreign"]):
        assert bound.patch(one, {"partners": partners}).status_code == 422
        assert (
            bound.post(API + "auth/analysts", new | {"username": "x", "partners": partners}).status_code
            == 422
        )
    assert list(User.objects.get(username="mate").partners.all()) == [own]


def test_tokens_are_those_of_one_s_partners(bound: APIClient, own: Partner, foreign: Partner) -> None:
    mine = make_token(name="mine", partner=own)[0]
    others = [make_token(name="canary", partner=foreign)[0], make_token(name="canary")[0]]
    assert [token["name"] for token in bound.get(API + "api-keys").json()] == ["mine"]
    for token in others:
        assert bound.delete(f"{API}api-keys/{token.pk}").status_code == 404
        token.refresh_from_db()
        assert token.revoked_at is None
    assert bound.delete(f"{API}api-keys/{mine.pk}").status_code == 200
    assert bound.post(API + "api-keys", {"name": "unbound"}).status_code == 403
    assert bound.post(API + "api-keys", {"name": "x", "partner": "foreign"}).status_code == 422


def test_the_audit_trail_is_what_one_s_own_people_and_tokens_did(
    bound: APIClient, own: Partner, strangers: list[User]
) -> None:
    mate, token = make_user("mate", partners=[own]), make_token(partner=own)[0]
    for user in [*strangers, mate]:
        services.audit(actor=user.actor, action=f"by_{user.username}")
    services.audit(actor=services.actor_for_token(token), action="by_token")
    services.audit(actor=services.actor_for_token(make_token(name="unbound")[0]), action="by_unbound")
    services.audit(actor=SYSTEM, action="by_system")
    bound.post(API + "api-keys", {"name": "made", "partner": "own"})
    answer = bound.get(API + "audit").json()
    assert [entry["action"] for entry in answer["entries"]] == ["token_issued", "by_token", "by_mate"]
    assert answer["total"] == 3
    assert bound.get(API + "audit", {"action": "by_chief"}).json()["total"] == 0
    everything = person("admin", username="zoe").get(API + "audit", {"limit": 200}).json()
    assert {"by_chief", "by_system", "by_mate", "by_unbound"} <= {e["action"] for e in everything["entries"]}


def test_a_lead_bound_to_a_partner_reads_their_own_too(own: Partner, strangers: list[User]) -> None:
    lead = person("lead", partners=[own])
    services.audit(actor=strangers[0].actor, action="by_chief")
    services.audit(actor=make_user("mate", partners=[own]).actor, action="by_mate")
    assert [entry["action"] for entry in lead.get(API + "audit").json()["entries"]] == ["by_mate"]
    assert lead.get(API + "auth/analysts").status_code == 403
