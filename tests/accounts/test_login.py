"""Signing in through the API, and the lock-out."""

from datetime import timedelta

import pytest
from django.utils import timezone

from opensoar.accounts import services
from opensoar.accounts.models import AuditEntry, LoginThrottle
from opensoar.errors import NotAllowed, NotAuthenticated, TooMany
from tests.factories import PASSWORD, make_partner, make_user
from tests.threads import at_once

IP = "203.0.113.1"


@pytest.mark.django_db
def test_service_signs_in():
    ada = make_user("ada", partners=[make_partner()])
    user, text = services.login("ADA", PASSWORD, IP)
    token = services.authenticate_token(text)
    assert (user, token.kind) == (ada, "session")
    assert timedelta(hours=7.9) < token.expires_at - timezone.now() <= timedelta(hours=8)
    actor = services.actor_for_token(token)
    assert (actor.kind, actor.id, actor.capabilities) == ("analyst", ada.pk, ada.actor.capabilities)
    assert actor.partner_ids == ada.actor.partner_ids
    entry = AuditEntry.objects.get(action="login")
    assert (entry.actor_id, entry.ip) == (ada.pk, IP)


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["", " ", "\x00", "wrong", "\ud800", "x" * 100_000])
@pytest.mark.parametrize("username", ["ada", "nobody", "", "a\x00", "\ud800"])
def test_service_one_answer_for_every_failure(username, password):
    make_user("ada")
    with pytest.raises(NotAuthenticated, match=r"^Invalid credentials$"):
        services.login(username, password, IP)


@pytest.mark.django_db
def test_service_unknown_names_cost_a_hash_too(monkeypatch):
    hashed = []
    monkeypatch.setattr("opensoar.accounts.services.signin.make_password", hashed.append)
    with pytest.raises(NotAuthenticated):
        services.login("nobody", "some password", IP)
    assert hashed == ["some password"]


@pytest.mark.django_db
def test_service_switched_off_is_told_only_to_who_knows_the_password():
    make_user("ada", is_active=False)
    with pytest.raises(NotAuthenticated):
        services.login("ada", "wrong", IP)
    with pytest.raises(NotAllowed, match="Account is deactivated"):
        services.login("ada", PASSWORD, IP)


@pytest.mark.django_db
@pytest.mark.parametrize("username", ["ada", "nobody"])
def test_service_locks_out_after_ten_failures(username):
    make_user("ada")
    for _ in range(10):
        with pytest.raises(NotAuthenticated):
            services.login(username, "wrong", IP)
    for _ in range(3):
        with pytest.raises(TooMany) as refusal:
            services.login(username, PASSWORD, IP)
    assert 0 < refusal.value.retry_after <= 301
    assert AuditEntry.objects.filter(action="login_failed").count() == 10
    assert AuditEntry.objects.filter(action="login_locked").count() == 1
    assert username not in str(LoginThrottle.objects.values().get())


@pytest.mark.django_db
def test_service_a_lock_is_of_one_name_from_one_address_for_five_minutes():
    make_user("ada"), make_user("bob")
    for _ in range(10):
        with pytest.raises(NotAuthenticated):
            services.login("ada", "wrong", IP)
    services.login("ada", PASSWORD, "203.0.113.2")
    services.login("bob", PASSWORD, IP)
    with pytest.raises(TooMany):
        services.login("ada", PASSWORD, IP)
    LoginThrottle.objects.update(since=timezone.now() - timedelta(minutes=5, seconds=1))
    services.login("ada", PASSWORD, IP)
    assert not LoginThrottle.objects.exists()


@pytest.mark.django_db
def test_service_success_forgets_the_failures():
    make_user("ada")
    for _ in range(3):
        for _ in range(9):
            with pytest.raises(NotAuthenticated):
                services.login("ada", "wrong", IP)
        services.login("ada", PASSWORD, IP)


def test_service_of_forty_guesses_at_once_ten_are_looked_at(fresh_database):
    make_user("ada")
    outcomes = [o for _ in range(4) for o in at_once([lambda: services.login("ada", "wrong", IP)] * 10)]
    assert sum(isinstance(outcome, NotAuthenticated) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 30


@pytest.mark.django_db
def test_pages_that_nobody_configured_are_not_there(client):
    for path in ("password/reset/", "email/", "confirm-email/x/"):
        assert client.post(f"/accounts/{path}", {"email": "a@b.example"}).status_code == 404


@pytest.mark.django_db
def test_the_current_password_is_not_guessed_at_will(client):
    user = make_user("ada")
    client.force_login(user)
    body = {"current_password": "wrong", "new_password": "another long password"}
    answers = [
        client.post("/api/v1/auth/change-password", body, content_type="application/json").status_code
        for _ in range(11)
    ]
    assert answers == [401] * 10 + [429]


@pytest.mark.django_db
def test_what_is_made_for_one_person_is_kept_by_nobody(client):
    client.force_login(make_user("ada", role="admin"))
    page = client.get("/alerts/", headers={"Accept-Encoding": "gzip"})
    assert (page.headers["Cache-Control"], page.headers["Content-Encoding"]) == ("no-store", "gzip")
    shown = client.get("/api/v1/alerts", headers={"Accept-Encoding": "gzip"})
    assert (shown.headers["Cache-Control"], "Content-Encoding" in shown.headers) == ("no-store", False)


@pytest.mark.django_db
def test_the_admin_answers_no_question_about_secrets(client):
    client.force_login(make_user("root", role="admin"))
    assert client.get("/admin/accounts/user/?username__startswith=r").status_code == 200
    for question in ("user/?password__startswith=a", "apitoken/?digest__startswith=a"):
        assert client.get(f"/admin/accounts/{question}").status_code in {302, 400}
    answer = client.get("/admin/password_change/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/password/change/")
