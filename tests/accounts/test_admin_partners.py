"""Django admin for somebody bound to a partner: no foreign row is seen, chosen or written, on any of its pages."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from alerts.models import Delivery
from opensoar.accounts.admin_base import Scoped
from opensoar.accounts.models import ApiToken, AuditEntry, Partner, ProductSettings, Role, User
from playbooks_engine.models import Connector, Playbook, Secret
from tests.factories import make_alert, make_partner, make_token, make_user

pytestmark = pytest.mark.django_db
CANARY = "canary"


@pytest.fixture
def own() -> Partner:
    return make_partner("own")


@pytest.fixture
def foreign() -> Partner:
    return make_partner(CANARY, name=f"{CANARY} corp")


@pytest.fixture
def bound(client: Client, own: Partner) -> User:
    user = make_user("bound", role="admin", partners=[own])
    client.force_login(user)
    return user


@pytest.fixture
def rows(foreign: Partner) -> dict[str, object]:
    """A foreign row of every table that the admin shows."""
    make_alert(CANARY, partner=foreign, source=CANARY)
    user = make_user(f"{CANARY}-user", partners=[foreign])
    return {
        "accounts_user": user,
        "accounts_partner": foreign,
        "accounts_apitoken": make_token(name=f"{CANARY}-token", partner=foreign)[0],
        "accounts_auditentry": AuditEntry.objects.filter(action="token_issued").last(),
        "alerts_delivery": Delivery.objects.get(),
        "playbooks_engine_playbook": Playbook.objects.create(
            name=f"{CANARY}-playbook", module_path="p.py", function_name="p", partner=foreign
        ),
        "playbooks_engine_connector": Connector.objects.create(
            kind="x", name=f"{CANARY}-box", partner=foreign
        ),
        "playbooks_engine_secret": Secret.objects.create(
            name=f"{CANARY}-secret", partner=foreign, value=b"x"
        ),
    }


def test_every_admin_is_scoped() -> None:
    unscoped = [m.__name__ for m, a in admin.site._registry.items() if not isinstance(a, Scoped)]
    assert unscoped == []


def test_foreign_rows_are_on_no_page(client: Client, bound: User, rows: dict[str, object]) -> None:
    for model, row in rows.items():
        listed = client.get(reverse(f"admin:{model}_changelist"))
        assert listed.status_code == 200
        assert CANARY not in listed.content.decode(), model
        for page in ("change", "history", "delete"):
            answer = client.get(reverse(f"admin:{model}_{page}", args=[row.pk]), follow=True)  # type: ignore[attr-defined]
            assert CANARY not in answer.content.decode().replace(str(row.pk), ""), (model, page)  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", ["accounts_user", "accounts_apitoken", "playbooks_engine_connector"])
def test_foreign_partners_are_no_choice(
    client: Client, bound: User, foreign: Partner, own: Partner, model: str
) -> None:
    page = client.get(reverse(f"admin:{model}_add")).content.decode()
    assert str(own.pk) in page
    assert str(foreign.pk) not in page


def test_a_foreign_partner_that_is_sent_all_the_same_is_refused(
    client: Client, bound: User, foreign: Partner
) -> None:
    forms = {
        "accounts_apitoken": {"name": "t", "scopes": "ingest", "partner": foreign.pk},
        "playbooks_engine_connector": {"kind": "x", "name": "t", "config": "{}", "partner": foreign.pk},
        "accounts_user": {
            "username": "t", "display_name": "t", "role": "viewer", "is_active": "on",
            "password_new": "a long enough password", "partners": [foreign.pk],
        },
    }  # fmt: skip
    for model, data in forms.items():
        assert client.post(reverse(f"admin:{model}_add"), data).status_code == 200, model
    assert not Connector.objects.exists()
    assert not ApiToken.objects.exists()
    assert not User.objects.filter(username="t").exists()


def test_no_token_or_person_without_a_partner(client: Client, bound: User) -> None:
    page = client.post(reverse("admin:accounts_apitoken_add"), {"name": "t", "scopes": "ingest"})
    assert "Bind the token to one of your partners" in page.content.decode()
    assert not ApiToken.objects.exists()


def test_who_sees_more_is_not_managed(client: Client, bound: User, own: Partner, foreign: Partner) -> None:
    everywhere = make_user("chief", role="admin")
    both = make_user("both", partners=[own, foreign])
    mate = make_user("mate", partners=[own])
    seen = client.get(reverse("admin:accounts_user_changelist")).context["cl"].queryset
    assert set(seen) == {bound, mate}
    for user in (everywhere, both):
        url = reverse("admin:accounts_user_change", args=[user.pk])
        client.post(url, {"display_name": "x", "role": "viewer", "password_new": "a long enough password"})
        before = user.password
        user.refresh_from_db()
        assert (user.password, user.display_name) == (before, user.username.title())


def test_what_is_everybody_s_is_read_only(client: Client, bound: User) -> None:
    role = Role.objects.create(id="tier1", label="Tier 1", capabilities=["alerts:read"])
    shared = Connector.objects.create(kind="x", name="shared")
    playbook = Playbook.objects.create(name="p", module_path="p.py", function_name="p")
    targets = [
        ("accounts_role", role), ("accounts_productsettings", ProductSettings.load()),
        ("playbooks_engine_connector", shared), ("playbooks_engine_playbook", playbook),
    ]  # fmt: skip
    for model, row in targets:
        url = reverse(f"admin:{model}_change", args=[row.pk])
        assert client.get(url).status_code == 200, model
        assert client.post(url, {"label": "x", "name": "x"}).status_code == 403, model
    assert client.get(reverse("admin:accounts_role_add")).status_code == 403
    assert client.get(reverse("admin:accounts_partner_add")).status_code == 403
    assert (
        client.post(reverse("admin:playbooks_engine_connector_delete", args=[shared.pk])).status_code == 403
    )
    chosen = {"action": "delete_selected", "_selected_action": [str(shared.pk)], "post": "yes"}
    client.post(reverse("admin:playbooks_engine_connector_changelist"), chosen)
    assert Connector.objects.filter(pk=shared.pk).exists()


def test_foreign_tokens_are_not_revoked_in_bulk(
    client: Client, bound: User, rows: dict[str, object], own: Partner
) -> None:
    mine, _text = make_token(partner=own)
    chosen = [str(mine.pk), str(rows["accounts_apitoken"].pk)]  # type: ignore[attr-defined]
    client.post(
        reverse("admin:accounts_apitoken_changelist"), {"action": "revoke", "_selected_action": chosen}
    )
    revoked = ApiToken.objects.filter(revoked_at__isnull=False)
    assert [token.pk for token in revoked] == [mine.pk]
