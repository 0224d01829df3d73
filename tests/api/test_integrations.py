"""Integrations by REST: made, edited, looked at, removed; secrets go in and never come out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from opensoar.accounts.models import AuditEntry, Partner
from opensoar.crypto import decrypt
from playbooks_engine.models import Connector
from tests.api.clients import API, machine, person
from tests.factories import make_partner

pytestmark = pytest.mark.django_db
URL = API + "integrations"
EDR = {"integration_type": "edr", "name": "main", "config": {"url": "https://edr.example"}}
SHAPE = {
    "id", "integration_type", "name", "partner", "tenant_id", "enabled", "has_secrets", "health_status", "last_health_check",
    "version", "created_at", "poll",
}  # fmt: skip


@pytest.fixture
def admin() -> APIClient:
    return person("admin")


def opened(pk: str) -> dict[str, object]:
    connector = Connector.objects.get(pk=pk)
    return {} if connector.secrets is None else json.loads(decrypt(connector.secrets, context=pk))


def acts() -> list[str]:
    return list(
        AuditEntry.objects.filter(object_kind="connector").order_by("id").values_list("action", flat=True)
    )


def test_the_whole_life(admin: APIClient) -> None:
    made = admin.post(URL, EDR | {"tenant_id": None})
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    body = made.json()
    assert set(body) == SHAPE
    assert (body["partner"], body["enabled"], body["has_secrets"]) == (None, True, False)
    one = f"{URL}/{body['id']}"
    assert admin.get(one).json() == body
    assert admin.get(URL).json() == [body]
    renamed = admin.patch(one, {"name": "second", "enabled": False}, headers={"If-Match": '"1"'})
    assert (renamed.json()["name"], renamed.json()["enabled"], renamed.json()["version"]) == (
        "second",
        False,
        2,
    )
    assert admin.patch(one, {"name": "third"}, headers={"If-Match": '"1"'}).status_code == 412
    assert admin.patch(one, {"name": "second"}).json()["version"] == 2, "a repeat changes nothing"
    assert admin.delete(one).json() == {"detail": "Integration deleted"}
    gone = admin.get(one)
    assert (gone.status_code, gone.json()) == (404, {"detail": "Integration not found"})
    assert acts() == ["connector_created", "connector_changed", "connector_deleted"]


def test_secrets_are_sealed_and_told_to_nobody(admin: APIClient) -> None:
    config = {"url": "https://edr.example", "api_key": "canary-1", "proxy": {"password": "canary-2"}}
    made = admin.post(URL, EDR | {"config": config, "secrets": {"cert": "canary-3"}}).json()
    assert made["has_secrets"] is True
    assert opened(made["id"]) == {
        "api_key": "canary-1", "proxy": {"password": "canary-2"}, "cert": "canary-3",
    }  # fmt: skip
    row = Connector.objects.get()
    assert row.config == {"url": "https://edr.example"}
    assert row.secrets is not None
    told = [admin.get(URL).content, admin.get(f"{URL}/{row.pk}").content, bytes(row.secrets)]
    told.append(str(list(AuditEntry.objects.values_list("detail", flat=True))).encode())
    assert not any(b"canary" in text for text in told)


def test_secrets_stay_until_they_are_replaced_or_forgotten(admin: APIClient) -> None:
    pk = admin.post(URL, EDR | {"secrets": {"api_key": "a"}}).json()["id"]
    admin.patch(f"{URL}/{pk}", {"config": {"url": "https://other.example"}})
    assert opened(pk) == {"api_key": "a"}
    admin.patch(f"{URL}/{pk}", {"config": {"token": "b"}})
    assert opened(pk) == {"token": "b"}
    admin.patch(f"{URL}/{pk}", {"secrets": {"token": "c"}})
    assert opened(pk) == {"token": "c"}
    assert admin.patch(f"{URL}/{pk}", {"secrets": None}).json()["has_secrets"] is False
    assert opened(pk) == {}


def test_without_a_key_no_secret_is_taken(admin: APIClient, settings: Settings) -> None:
    settings.SECRETS_KEY = ""
    answer = admin.post(URL, EDR | {"secrets": {"api_key": "canary"}})
    assert answer.status_code == 422
    assert "OPENSOAR_SECRETS_KEY" in answer.json()["detail"]
    assert "canary" not in answer.content.decode()
    assert not Connector.objects.exists()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"integration_type": "Not A Type"}, 422), ({"integration_type": 5}, 422), ({"name": ""}, 422),
        ({"name": "x" * 151}, 422), ({"config": []}, 422), ({"config": {"x": "y" * 70_000}}, 422),
        ({"secrets": "text"}, 422), ({"enabled": "yes"}, 422), ({"partner": "nobody"}, 422), ({"extra": 1}, 422),
        ({"tenant_id": "acme"}, 422),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(admin: APIClient, change: dict[str, object], status: int) -> None:
    assert admin.post(URL, EDR | change).status_code == status
    assert not Connector.objects.exists()
    assert not Partner.objects.filter(slug="nobody").exists()


def test_one_name_a_type_and_partner(admin: APIClient) -> None:
    make_partner("acme")
    assert admin.post(URL, EDR).status_code == 201
    assert admin.post(URL, EDR).status_code == 409
    acme = admin.post(URL, EDR | {"partner": "acme"})
    assert (acme.status_code, acme.json()["partner"]) == (201, "acme")
    assert admin.patch(f"{URL}/{acme.json()['id']}", {"partner": None}).status_code == 409


@pytest.mark.parametrize("role", ["viewer", "analyst", "lead", "playbook_author"])
def test_reading_is_for_many_and_writing_for_admins(admin: APIClient, role: str) -> None:
    one = f"{URL}/{admin.post(URL, EDR).json()['id']}"
    reader = person(role)
    assert reader.get(URL).status_code == reader.get(one).status_code == 200
    for answer in (
        reader.post(URL, EDR), reader.patch(one, {"name": "x"}), reader.delete(one), reader.post(one + "/health")
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["detail"]) == (
            403,
            "Permission denied: requires integrations:manage",
        )


def test_nobody_without_credentials() -> None:
    for path in ("", "/types", "/x"):
        assert APIClient().get(URL + path).status_code == 401


def test_a_partner_s_admin_keeps_to_their_partner(admin: APIClient) -> None:
    own, foreign = make_partner("own"), make_partner("foreign")
    theirs = admin.post(URL, EDR | {"partner": "foreign"}).json()["id"]
    shared = admin.post(URL, EDR).json()["id"]
    for bound in (person("admin", partners=[own]), machine("admin", partner=own)):
        name = f"of {bound.__hash__()}"
        made = bound.post(URL, EDR | {"name": name})
        assert (made.status_code, made.json()["partner"]) == (201, "own"), "theirs without being told"
        assert {row["id"] for row in bound.get(URL).json()} >= {shared, made.json()["id"]}
        assert theirs not in bound.get(URL).content.decode()
        for answer in (
            bound.get(f"{URL}/{theirs}"), bound.patch(f"{URL}/{theirs}", {"name": "x"}),
            bound.delete(f"{URL}/{theirs}"), bound.post(f"{URL}/{theirs}/health"),
        ):  # fmt: skip
            assert answer.status_code == 404
        for answer in (
            bound.patch(f"{URL}/{shared}", {"name": "x"}), bound.delete(f"{URL}/{shared}"),
            bound.post(f"{URL}/{shared}/health"),
        ):  # fmt: skip
            assert answer.status_code == 403
        assert bound.post(URL, EDR | {"partner": foreign.slug}).status_code == 422
        assert bound.patch(f"{URL}/{made.json()['id']}", {"partner": foreign.slug}).status_code == 422
    assert Connector.objects.filter(pk__in=[theirs, shared], name="main").count() == 2


def test_who_has_several_partners_chooses() -> None:
    bound = person("admin", partners=[make_partner("one"), make_partner("two")])
    assert bound.post(URL, EDR).status_code == 422
    assert bound.post(URL, EDR | {"partner": "two"}).json()["partner"] == "two"


def test_the_list_costs_the_same_however_long(
    admin: APIClient, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        Connector.objects.create(kind="edr", name=str(number), partner=make_partner())
    with django_assert_max_num_queries(6):
        assert len(admin.get(URL).json()) == 30


# --- health ----------------------------------------------------------------------------------------------------


class Engine(BaseHTTPRequestHandler):
    """What a Docker Engine says about itself."""

    status, body = 200, b'{"Version": "29.1", "ApiVersion": "1.52", "Os": "linux", "Secret": "canary"}'

    def do_GET(self) -> None:
        assert self.path == "/version"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine(settings: Settings) -> Iterator[type[Engine]]:
    handler = type("OneEngine", (Engine,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        settings.DOCKER_URL = f"http://127.0.0.1:{server.server_port}"
        yield handler
        server.shutdown()
        thread.join(5)


def test_types_are_those_that_are_known(admin: APIClient) -> None:
    known = [known["type"] for known in admin.get(URL + "/types").json()]
    assert known == ["docker", "elastic", "splunk", "sentinel", "defender", "crowdstrike", "imap"]


def test_an_unknown_type_is_not_called_healthy(admin: APIClient) -> None:
    pk = admin.post(URL, EDR).json()["id"]
    answer = admin.post(f"{URL}/{pk}/health")
    assert (answer.status_code, answer.json()) == (
        200,
        {"healthy": False, "message": "Integration type 'edr' not supported", "details": {}},
    )
    assert admin.get(f"{URL}/{pk}").json()["health_status"] is None


def test_docker_answers(admin: APIClient, engine: type[Engine]) -> None:
    pk = admin.post(URL, {"integration_type": "docker", "name": "here"}).json()["id"]
    found = admin.post(f"{URL}/{pk}/health").json()
    assert found == {
        "healthy": True, "message": "It answers", "details": {"version": "29.1", "api_version": "1.52", "os": "linux"},
    }  # fmt: skip
    row = admin.get(f"{URL}/{pk}").json()
    assert row["health_status"] == "healthy"
    assert row["last_health_check"] is not None
    assert row["version"] == 1, "a look is no edit"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"", "status 500"), (302, b"", "status 302"), (200, b"<html>", "no Docker Engine"),
        (200, b"[]", "no Docker Engine"), (200, b" " * 100_000, "more than it should"),
    ],
)  # fmt: skip
def test_what_is_no_docker_is_unhealthy(
    admin: APIClient, engine: type[Engine], status: int, body: bytes, words: str
) -> None:
    engine.status, engine.body = status, body
    pk = admin.post(URL, {"integration_type": "docker", "name": "here"}).json()["id"]
    found = admin.post(f"{URL}/{pk}/health").json()
    assert found["healthy"] is False
    assert words in found["message"]
    assert admin.get(f"{URL}/{pk}").json()["health_status"] == "unhealthy"


@pytest.mark.parametrize(
    ("url", "words"),
    [("", "OPENSOAR_DOCKER_URL is not set"), ("ftp://x", "must be"), ("http://127.0.0.1:1", "does not answer"),
     ("unix:///nowhere/docker.sock", "does not answer")],
)  # fmt: skip
def test_docker_away_says_why(admin: APIClient, settings: Settings, url: str, words: str) -> None:
    settings.DOCKER_URL = url
    made = admin.post(
        URL, {"integration_type": "docker", "name": "here", "config": {"url": "http://169.254.169.254"}}
    )
    found = admin.post(f"{URL}/{made.json()['id']}/health").json()
    assert found["healthy"] is False
    assert words in found["message"]
