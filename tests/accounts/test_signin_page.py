"""The sign-in page: it shares the API's lock-out, and the admin has no door of its own."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from opensoar.accounts import services
from opensoar.accounts.models import ApiToken, AuditEntry, LoginThrottle
from opensoar.errors import NotAuthenticated, TooMany
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
IP = "127.0.0.1"  # the test client's


def sign_in(client: Client, password: str, name: str = "ada") -> str:
    answer = client.post(reverse("account_login"), {"login": name, "password": password})
    return "in" if answer.status_code == 302 else answer.content.decode()


def test_a_sign_in_is_audited_and_forgets_the_failures(client: Client) -> None:
    ada = make_user("ada")
    assert sign_in(client, "wrong") != "in"
    assert LoginThrottle.objects.get().attempts == 1
    assert sign_in(client, PASSWORD, name="ADA") == "in"
    assert not LoginThrottle.objects.exists()
    assert list(AuditEntry.objects.order_by("id").values_list("action", "actor_id")) == [
        ("login_failed", None),
        ("login", ada.pk),
    ]


def test_page_and_api_count_together(client: Client) -> None:
    make_user("ada")
    for _ in range(5):
        sign_in(client, "wrong")
        with pytest.raises(NotAuthenticated):
            services.login("ada", "wrong", IP)
    assert "Too many failed attempts" in sign_in(client, PASSWORD)
    with pytest.raises(TooMany):
        services.login("ada", PASSWORD, IP)
    assert AuditEntry.objects.filter(action="login_failed").count() == 10
    assert AuditEntry.objects.filter(action="login_locked").count() == 1


def test_somebody_else_from_there_is_not_locked_out(client: Client) -> None:
    make_user("ada"), make_user("bob")
    for _ in range(11):
        sign_in(client, "wrong")
    assert sign_in(client, PASSWORD, name="bob") == "in"


def test_an_account_that_is_switched_off_gets_nowhere_and_counts(client: Client) -> None:
    make_user("ada", is_active=False)
    client.post(reverse("account_login"), {"login": "ada", "password": PASSWORD})
    assert "_auth_user_id" not in client.session
    assert LoginThrottle.objects.get().attempts == 1
    assert not AuditEntry.objects.filter(action="login").exists()


def test_the_admin_s_own_form_is_closed(client: Client) -> None:
    """It would take passwords without counting."""
    make_user("root", role="admin")
    answer = client.post(reverse("admin:login"), {"username": "root", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/accounts/login/")
    assert "_auth_user_id" not in client.session


def test_who_may_not_enter_the_admin_is_told(client: Client) -> None:
    client.force_login(make_user("ada"))
    assert client.get(reverse("admin:index"), follow=True).status_code == 403


def test_a_password_changed_on_the_page_ends_the_api_sessions(client: Client) -> None:
    ada = make_user("ada")
    _user, plaintext = services.login("ada", PASSWORD, IP)
    client.force_login(ada)
    new = "quite another password"
    fields = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert client.post(reverse("account_change_password"), fields).status_code == 302
    ada.refresh_from_db()
    assert ada.check_password(new)
    assert services.authenticate_token(plaintext) is None
    assert ApiToken.objects.get().revoked_at is not None
    assert AuditEntry.objects.filter(action="password_changed", actor_id=ada.pk).count() == 1
    assert client.get("/api/v1/auth/me").status_code == 200, "the page's own session goes on"
