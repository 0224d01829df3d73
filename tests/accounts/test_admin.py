"""Django admin: who gets in, and that what it changes is audited and goes through services."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from opensoar.accounts.models import ApiToken, AuditEntry, User
from tests.factories import make_user

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
