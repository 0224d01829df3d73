"""People: made, changed, given passwords, and what nobody may do to whom."""

import pytest
from django.contrib.auth import get_user

from opensoar.accounts import services
from opensoar.accounts.access import get_user_for
from opensoar.accounts.models import ApiToken, AuditEntry, Role, User
from opensoar.errors import Conflict, Invalid, NotAllowed, NotAuthenticated, NotFound
from tests.factories import PASSWORD, SYSTEM, make_partner, make_token, make_user
from tests.threads import at_once

NEW = "another horse entirely"


def create(**fields):
    return services.create_user(
        **{"actor": SYSTEM, "username": "ada", "display_name": "Ada", "password": NEW} | fields
    )


@pytest.mark.django_db
def test_service_creates():
    acme = make_partner()
    user = create(email="ada@example.com", partners=[acme], role="lead")
    assert (user.username, user.role_id, list(user.partners.all())) == ("ada", "lead", [acme])
    assert user.check_password(NEW)
    entry = AuditEntry.objects.get(action="user_created")
    assert entry.detail == {"username": "ada", "role": "lead", "partners": [acme.slug]}
    assert NEW not in str(entry.__dict__)


@pytest.mark.django_db
def test_service_usernames_are_unique_in_any_case():
    create()
    with pytest.raises(Conflict, match="Username already taken"):
        create(username="ADA")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [("username", ""), ("username", "a b"), ("username", "x" * 151), ("username", "a\x00b"), ("email", "nope"),
     ("role", "king"), ("role", None), ("password", ""), ("password", "short"), ("password", "password123"),
     ("password", "x" * 1025), ("password", None)],
)  # fmt: skip
def test_service_validates(field, value):
    with pytest.raises(Invalid) as refusal:
        create(**{field: value})
    assert refusal.value.field == field
    assert not User.objects.exists()


@pytest.mark.django_db
def test_service_names_the_roles():
    with pytest.raises(Invalid, match="admin, analyst, lead, playbook_author, viewer"):
        create(role="king")


@pytest.mark.django_db
def test_service_changes_leave_one_audit_entry():
    user, acme = make_user(), make_partner()
    changed = services.update_user(
        actor=SYSTEM, user=user, display_name="New", role="lead", email="n@example.com", partners=[acme]
    )
    assert (changed.display_name, changed.role.pk, changed.actor.partner_ids) == (
        "New",
        "lead",
        frozenset({acme.pk}),
    )
    services.update_user(actor=SYSTEM, user=user, display_name="New", partners=[acme])
    entry = AuditEntry.objects.get(action="user_changed")
    assert entry.detail["role"] == "lead"
    assert entry.detail["partners"] == [acme.slug]


@pytest.mark.django_db
def test_service_the_last_active_admin_stays():
    admin, other = make_user(role="admin"), make_user(role="admin", is_active=False)
    for change in ({"is_active": False}, {"role": "viewer"}):
        with pytest.raises(Invalid, match="Cannot remove the last active admin") as refusal:
            services.update_user(actor=admin.actor, user=admin, **change)
        assert refusal.value.status == 400
    services.update_user(actor=admin.actor, user=other, is_active=True)
    services.update_user(actor=admin.actor, user=admin, role="viewer")


def test_service_two_admins_cannot_remove_each_other_at_once(fresh_database):
    admins = [make_user(role="admin") for _ in range(4)]
    actors = [admin.actor for admin in admins]
    outcomes = at_once(
        [
            lambda a=actor, u=admins[n - 1]: services.update_user(actor=a, user=u, is_active=False)
            for n, actor in enumerate(actors)
        ]
    )
    assert sum(isinstance(outcome, Invalid) for outcome in outcomes) == 1
    assert User.objects.filter(is_active=True).count() == 1


@pytest.mark.django_db
def test_service_switching_off_ends_sessions():
    user = make_user()
    _user, text = services.login(user.username, PASSWORD, "203.0.113.1")
    services.update_user(actor=SYSTEM, user=user, is_active=False)
    assert services.authenticate_token(text) is None


@pytest.mark.django_db
def test_service_nobody_rises_above_the_one_who_lifts():
    Role.objects.create(id="manager", label="Manager", capabilities=["analysts:manage", "alerts:read"])
    manager, admin = make_user(role="manager"), make_user(role="admin")
    viewer = make_user(role="manager")
    with pytest.raises(NotAllowed):
        services.update_user(actor=manager.actor, user=viewer, role="admin")
    with pytest.raises(NotAllowed):
        create(actor=manager.actor, role="admin")
    with pytest.raises(NotAllowed):
        services.set_password(actor=manager.actor, user=admin, password=NEW)
    with pytest.raises(NotAllowed):
        services.update_user(actor=manager.actor, user=admin, email="mine@example.com")


@pytest.mark.django_db
def test_service_partners_are_given_by_those_who_see_them():
    ours, theirs = make_partner(), make_partner()
    admin, ada = make_user(role="admin", partners=[ours]), make_user(partners=[ours])
    for partners in ([], [theirs], [ours, theirs]):
        with pytest.raises(Invalid):
            services.update_user(actor=admin.actor, user=ada, partners=partners)
        with pytest.raises(Invalid):
            create(actor=admin.actor, partners=partners)


@pytest.mark.django_db
def test_service_a_new_password_ends_every_session(client):
    user = make_user()
    client.force_login(user)
    _user, session = services.login(user.username, PASSWORD, None)
    _token, api = make_token(user=user)
    services.set_password(actor=SYSTEM, user=user, password=NEW)
    assert services.authenticate_token(session) is None
    assert services.authenticate_token(api) is not None, "tokens of machines go on"
    request = type("Request", (), {"session": client.session})()
    assert not get_user(request).is_authenticated


@pytest.mark.django_db
def test_service_people_change_their_own_password():
    user = make_user()
    with pytest.raises(NotAuthenticated, match="Current password is incorrect"):
        services.change_password(actor=user.actor, user=user, current="wrong", new=NEW)
    with pytest.raises(Invalid) as refusal:
        services.change_password(actor=user.actor, user=user, current=PASSWORD, new="short")
    assert refusal.value.field == "new_password"
    services.change_password(actor=user.actor, user=user, current=PASSWORD, new=NEW)
    user.refresh_from_db()
    assert user.check_password(NEW)
    user.set_unusable_password()
    user.save(update_fields=["password"])
    with pytest.raises(Invalid) as refusal:
        services.change_password(actor=user.actor, user=user, current="", new=NEW)
    assert refusal.value.status == 400


@pytest.mark.django_db
def test_service_create_admin_keeps_who_exists():
    user, password = services.create_admin()
    assert (user.username, user.role_id, user.check_password(password)) == ("admin", "admin", True)
    assert services.create_admin(username="ADMIN", password="other password") == (user, None)
    assert services.create_admin(username="root", password=NEW)[1] == NEW


def test_service_create_admin_at_once_makes_one(fresh_database):
    outcomes = at_once([services.create_admin] * 4)
    assert sum(outcome[1] is not None for outcome in outcomes) == 1
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_access():
    ada, admin = make_user(), make_user(role="admin")
    assert get_user_for(admin.actor, str(ada.pk)) == ada
    with pytest.raises(NotAllowed, match="Permission denied: requires analysts:manage"):
        get_user_for(ada.actor, ada.pk)
    for missing in ("nope", SYSTEM, "00000000-0000-7000-8000-000000000009", ""):
        with pytest.raises(NotFound):
            get_user_for(admin.actor, missing)
    assert ApiToken.objects.count() == 0
