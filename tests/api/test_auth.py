"""Credentials: who gets in, as whom, and what refusals say."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from opensoar.accounts.services import create_user, issue_token
from opensoar.actors import Actor

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("tests")
PASSWORD = "correct horse battery"


def person(role: str) -> APIClient:
    create_user(actor=SYSTEM, username=role, display_name=role, password=PASSWORD, role=role)
    client = APIClient()
    answer = client.post("/api/v1/auth/login", {"username": role, "password": PASSWORD})
    assert answer.status_code == 200, answer.content
    client.credentials(HTTP_AUTHORIZATION="Bearer " + answer.json()["access_token"])
    return client


def test_a_session_token_acts_as_its_person_until_it_is_signed_out() -> None:
    client = person("analyst")
    assert client.get("/api/v1/auth/me").json()["username"] == "analyst"
    assert client.post("/api/v1/auth/logout").status_code == 200
    answer = client.get("/api/v1/auth/me")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid token"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", ""), ("get", "auth/me"), ("get", "auth/roles"), ("get", "auth/analysts"), ("post", "auth/analysts"),
        ("get", "auth/analysts/mentionable"), ("patch", "auth/analysts/x"), ("get", "api-keys"), ("post", "api-keys"),
        ("delete", "api-keys/x"), ("get", "audit"), ("post", "auth/change-password"), ("post", "auth/logout"),
    ],
)  # fmt: skip
def test_anonymous_gets_401(method: str, path: str) -> None:
    answer = getattr(APIClient(), method)("/api/v1/" + path)
    assert (answer.status_code, answer.json()["detail"]) == (401, "Authentication required")


def test_open_paths_and_closed_registration() -> None:
    client = APIClient()
    assert client.get("/api/v1/health").json()["database"] == "ok"
    assert client.get("/api/v1/auth/capabilities").status_code == 200
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    assert client.post("/api/v1/auth/register", {}).status_code == 403
    assert client.post("/api/v1/auth/login", {"username": "x", "password": "y"}).status_code == 401


def test_an_analyst_manages_nobody_and_an_admin_does() -> None:
    assert person("analyst").get("/api/v1/auth/analysts").status_code == 403
    admin = person("admin")
    new = {"username": "kim", "display_name": "Kim", "password": PASSWORD}
    assert admin.post("/api/v1/auth/analysts", new).status_code == 201
    assert admin.post("/api/v1/auth/analysts", new).status_code == 409
    assert admin.post("/api/v1/auth/analysts", new | {"role": "king"}).status_code == 422
    extra = admin.post("/api/v1/auth/analysts", new | {"surprise": 1})
    assert extra.status_code == 422
    assert extra.json()["detail"][0]["loc"] == ["body", "surprise"]
    assert admin.patch("/api/v1/auth/analysts/no-id", {}).status_code == 404
    assert admin.get("/api/v1/audit", {"limit": 201}).status_code == 422
    assert admin.get("/api/v1/audit").json()["total"] >= 2


def test_keys_are_told_once_and_open_what_their_scopes_say() -> None:
    admin = person("admin")
    made = admin.post("/api/v1/api-keys", {"name": "sensor"}).json()
    assert "key" not in admin.get("/api/v1/api-keys").json()[0]
    key = APIClient()
    key.credentials(HTTP_X_API_KEY=made["key"])
    assert key.get("/api/v1/api-keys").status_code == 403
    assert key.get("/api/v1/auth/me").status_code == 403
    assert admin.delete("/api/v1/api-keys/" + made["id"]).status_code == 200
    assert key.get("/api/v1/").status_code == 401


def test_bad_bodies_never_break() -> None:
    _token, plaintext = issue_token(actor=SYSTEM, name="all", scopes=["admin"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer " + plaintext)
    url = "/api/v1/api-keys"
    for body, status in [
        ("{", 400),
        ("[" * 70 + "]" * 70, 400),
        ("[]", 422),
        ('{"name": 5}', 422),
        ("null", 422),
    ]:
        assert client.post(url, body, content_type="application/json").status_code == status, body
    assert client.post(url, '"' + "x" * 1_100_000 + '"', content_type="application/json").status_code == 413
    assert client.get("/api/v1/audit?action=%00").status_code == 422
