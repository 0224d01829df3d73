"""Roles of one's own: made and changed by people who hold what is in them."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from opensoar.accounts import services
from opensoar.accounts.models import AuditEntry, Role
from opensoar.accounts.permissions import READS
from opensoar.actors import Actor
from opensoar.errors import Conflict, Invalid, NotAllowed, ServiceError
from tests.factories import make_partner, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Actor:
    return make_user("root", role="admin").actor


@pytest.fixture
def half() -> Actor:
    """May enter the admin, manage people, and read; nothing else."""
    Role.objects.create(id="half", label="Half", capabilities=["settings:manage", "analysts:manage", *READS])
    return make_user("half", role="half").actor


def test_a_role_is_made_and_changed_with_one_entry_each(root: Actor) -> None:
    role = services.create_role(actor=root, role_id="tier_1", label=" Tier 1 ", capabilities=["alerts:read"])
    assert (role.label, role.capabilities, role.built_in) == ("Tier 1", ["alerts:read"], False)
    for _ in range(2):
        services.update_role(actor=root, role=role, capabilities=["alerts:update", "alerts:read"])
    assert make_user("kim", role="tier_1").actor.can("alerts:update")
    entries = AuditEntry.objects.filter(object_kind="role", object_id="tier_1").order_by("id")
    assert [entry.action for entry in entries] == ["role_created", "role_changed"]
    assert entries[1].detail["capabilities"] == ["alerts:read", "alerts:update"]


def test_nobody_puts_in_what_they_lack(half: Actor) -> None:
    services.create_role(actor=half, role_id="readers", label="Readers", capabilities=["alerts:read"])
    with pytest.raises(NotAllowed, match="api_keys:manage"):
        services.create_role(actor=half, role_id="x", label="X", capabilities=["api_keys:manage"])
    with pytest.raises(NotAllowed, match="alerts:delete"):
        services.update_role(actor=half, role=Role.objects.get(pk="half"), capabilities=["alerts:delete"])


def test_nobody_touches_a_role_above_their_own(root: Actor, half: Actor) -> None:
    role = services.create_role(actor=root, role_id="chief", label="Chief", capabilities=["alerts:delete"])
    for change in ({"capabilities": []}, {"label": "Nobody"}):
        with pytest.raises(NotAllowed, match="alerts:delete"):
            services.update_role(actor=half, role=role, **change)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"role_id": "admin"}, Conflict),
        ({"role_id": ""}, Invalid),
        ({"role_id": "Not A Slug"}, Invalid),
        ({"role_id": "x" * 41}, Invalid),
        ({"label": " "}, Invalid),
        ({"capabilities": ["everything"]}, Invalid),
    ],
)
def test_what_makes_no_sense_is_refused(
    root: Actor, fields: dict[str, object], error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        services.create_role(**{"actor": root, "role_id": "new", "label": "New", "capabilities": []} | fields)
    assert not Role.objects.filter(pk="new").exists()


def test_built_in_roles_stay(root: Actor) -> None:
    with pytest.raises(Conflict):
        services.update_role(actor=root, role=Role.objects.get(pk="viewer"), label="Spectator")


def test_who_is_bound_to_partners_makes_none() -> None:
    bound = make_user("bound", role="admin", partners=[make_partner()]).actor
    with pytest.raises(NotAllowed):
        services.create_role(actor=bound, role_id="new", label="New", capabilities=[])


def test_the_admin_says_the_refusal_at_the_form(client: Client, half: Actor) -> None:
    from opensoar.accounts.models import User

    client.force_login(User.objects.get(pk=half.id))
    url = reverse("admin:accounts_role_add")
    data = {"id": "new", "label": "New", "capabilities": ["api_keys:manage"]}
    page = client.post(url, data)
    assert page.status_code == 200
    assert "You cannot give what you lack: api_keys:manage" in page.content.decode()
    assert client.post(url, data | {"capabilities": ["alerts:read"]}).status_code == 302
    assert AuditEntry.objects.get(action="role_created").object_id == "new"
    change = reverse("admin:accounts_role_change", args=["new"])
    assert client.post(change, {"label": "Newer", "capabilities": ["alerts:read"]}).status_code == 302
    assert Role.objects.get(pk="new").label == "Newer"
    assert (
        client.post(reverse("admin:accounts_role_change", args=["viewer"]), {"label": "x"}).status_code == 403
    )
