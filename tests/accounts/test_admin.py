"""Django admin: who gets in, and that what it changes is audited and goes through services."""

from __future__ import annotations

import pytest
from django.contrib.admin import site as admin_site
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from alerts.models import Delivery
from opensoar.accounts.models import ApiToken, AuditEntry, Role, User
from opensoar.accounts.services import issue_token
from opensoar.crypto import decrypt
from playbooks_engine.models import Connector, Playbook
from tests.factories import make_alert, make_partner, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> User:
    user = make_user("root", role="admin")
    client.force_login(user)
    return user


def test_only_those_who_may_manage_settings_get_in(client: Client) -> None:
    client.force_login(make_user("ada"))
    assert client.get(reverse("admin:index")).status_code == 302


@pytest.mark.parametrize("model", ["user", "role", "partner", "apitoken", "productsettings", "auditentry"])
def test_every_list_opens(client: Client, admin: User, model: str) -> None:
    assert client.get(reverse(f"admin:accounts_{model}_changelist")).status_code == 200


def test_a_user_is_made_with_a_password(client: Client, admin: User) -> None:
    data = {"username": "new", "display_name": "New", "role": "analyst", "is_active": "on"}
    answer = client.post(
        reverse("admin:accounts_user_add"), {**data, "password_new": "a long enough password"}
    )
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    assert User.objects.get(username="new").check_password("a long enough password")
    assert AuditEntry.objects.filter(action="user_created", actor_name="root").exists()


def test_a_token_is_shown_once_and_revoked(client: Client, admin: User) -> None:
    data = {"name": "siem", "scopes": "ingest", "source": ""}
    page = client.post(reverse("admin:accounts_apitoken_add"), data, follow=True).content.decode()
    token = ApiToken.objects.get(name="siem")
    assert "osr_" in page
    client.post(
        reverse("admin:accounts_apitoken_changelist"), {"action": "revoke", "_selected_action": str(token.pk)}
    )
    token.refresh_from_db()
    assert not token.is_usable


def _user_form(user: User, **changes: str) -> dict[str, str]:
    data = {
        "username": user.username,
        "display_name": user.display_name,
        "role": user.role_id,
        "is_active": "on",
    }
    return {name: value for name, value in (data | changes).items() if value}


def test_the_last_admin_stays(client: Client, admin: User) -> None:
    User.objects.exclude(pk=admin.pk).filter(role="admin").update(is_active=False)
    url = reverse("admin:accounts_user_change", args=[admin.pk])
    for changes in ({"role": "viewer"}, {"is_active": ""}):
        page = client.post(url, _user_form(admin, **changes))
        assert page.status_code == 200
        assert "last active admin" in page.content.decode()
    admin.refresh_from_db()
    assert (admin.role_id, admin.is_active) == ("admin", True)


def test_nobody_raises_themselves_to_admin(client: Client) -> None:
    Role.objects.create(id="settings", label="Settings", capabilities=["settings:manage", "analysts:manage"])
    user = make_user("sam", role="settings")
    client.force_login(user)
    page = client.post(reverse("admin:accounts_user_change", args=[user.pk]), _user_form(user, role="admin"))
    assert page.status_code == 200
    user.refresh_from_db()
    assert user.role_id == "settings"


@pytest.mark.parametrize(
    ("capability", "seen", "written"),
    [
        (
            "settings:manage",
            {"partner", "productsettings"},
            {"partner", "alertsource", "observableexclusion"},
        ),
        ("analysts:manage", {"user", "role"}, {"user", "role"}),
        ("api_keys:manage", {"apitoken"}, {"apitoken"}),
        ("audit:read", {"auditentry"}, set()),
        ("alerts:read", {"delivery"}, set()),
        ("integrations:read", {"connector", "secret"}, set()),
        ("integrations:manage", set(), {"connector", "secret"}),
        ("playbooks:read", {"playbook"}, set()),
        ("incidents:read", {"suggestionexclusion"}, set()),
        ("incidents:update", set(), {"suggestionexclusion"}),
    ],
)
def test_the_admin_takes_the_rights_that_rest_takes(
    client: Client, capability: str, seen: set[str], written: set[str]
) -> None:
    """Whoever may enter (``settings:manage``) sees and adds what their other capabilities allow, and no more."""
    Role.objects.create(id="one", label="One", capabilities=sorted({"settings:manage", capability}))
    client.force_login(make_user("sam", role="one"))
    always = {"partner", "productsettings", "alertsource", "observableexclusion"}
    for model in admin_site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        looks = client.get(reverse(f"{name}_changelist")).status_code == 200
        adds = client.get(reverse(f"{name}_add")).status_code == 200
        assert looks == (model._meta.model_name in seen | written | always), name
        assert adds == (
            model._meta.model_name in written | {"partner", "alertsource", "observableexclusion"}
        ), name


def test_switching_a_person_off_ends_their_tokens_and_is_audited_once(client: Client, admin: User) -> None:
    user = make_user("leaver")
    token, _plain = issue_token(actor=user.actor, name="s", scopes=(), user=user, kind="session")
    url = reverse("admin:accounts_user_change", args=[user.pk])
    assert client.post(url, _user_form(user, is_active="")).status_code == 302
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert AuditEntry.objects.filter(object_id=str(user.pk), action="user_changed").count() == 1


def test_a_taken_name_and_a_short_password_are_said_at_the_form(client: Client, admin: User) -> None:
    data = {"username": "ROOT", "display_name": "Twin", "role": "analyst", "is_active": "on"}
    for changes in (
        {"password_new": "a long enough password"},
        {"username": "fine", "password_new": "short"},
    ):
        page = client.post(reverse("admin:accounts_user_add"), data | changes)
        assert page.status_code == 200
        assert page.context["adminform"].form.errors
    assert not User.objects.filter(display_name="Twin").exists()


def test_deliveries_are_read_only(client: Client, admin: User) -> None:
    make_alert()
    delivery = Delivery.objects.get()
    assert client.get(reverse("admin:alerts_delivery_changelist")).status_code == 200
    url = reverse("admin:alerts_delivery_change", args=[delivery.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"state": "replayed"}).status_code == 403


def test_a_connectors_secrets_are_sealed_and_never_shown(client: Client, admin: User) -> None:
    data = {
        "kind": "edr",
        "name": "main",
        "enabled": "on",
        "config": "{}",
        "new_secrets": '{"api_key": "s3cr3t-value"}',
    }
    assert client.post(reverse("admin:playbooks_engine_connector_add"), data).status_code == 302
    connector = Connector.objects.get()
    assert connector.secrets is not None
    assert b"s3cr3t-value" in decrypt(connector.secrets, context=str(connector.pk))
    assert b"s3cr3t-value" not in bytes(connector.secrets)
    url = reverse("admin:playbooks_engine_connector_change", args=[connector.pk])
    assert "s3cr3t" not in client.get(url).content.decode()
    assert "s3cr3t" not in str(list(AuditEntry.objects.values_list("detail", flat=True)))
    assert client.post(url, data | {"new_secrets": "", "name": "renamed"}).status_code == 302
    connector.refresh_from_db()
    assert (connector.name, connector.version) == ("renamed", 2)
    assert connector.secrets is not None
    assert decrypt(connector.secrets, context=str(connector.pk))
    assert client.post(url, data | {"new_secrets": "", "forget_secrets": "on"}).status_code == 302
    connector.refresh_from_db()
    assert connector.secrets is None


def test_without_a_key_no_secret_is_taken(client: Client, admin: User, settings: Settings) -> None:
    settings.SECRETS_KEY = ""
    data = {"kind": "edr", "name": "main", "config": "{}", "new_secrets": '{"api_key": "s3cr3t-value"}'}
    page = client.post(reverse("admin:playbooks_engine_connector_add"), data).content.decode()
    assert "OPENSOAR_SECRETS_KEY" in page
    assert "s3cr3t" not in page
    assert not Connector.objects.exists()


def test_a_playbook_is_switched_by_its_service(client: Client, admin: User) -> None:
    row = Playbook.objects.create(name="p", module_path="p.py", function_name="p")
    url = reverse("admin:playbooks_engine_playbook_change", args=[row.pk])
    assert client.post(url, {}).status_code == 302
    row.refresh_from_db()
    assert (row.enabled, row.version) == (False, 2)
    assert AuditEntry.objects.filter(action="playbook_disabled").count() == 1
    partner = make_partner("acme")
    assert client.post(url, {"partner": str(partner.pk)}).status_code == 302
    row.refresh_from_db()
    assert (row.partner, row.version) == (partner, 3)
    assert AuditEntry.objects.get(action="playbook_changed").detail == {"name": "p", "partner": "acme"}
