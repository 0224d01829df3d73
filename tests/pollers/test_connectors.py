"""Pollers as connectors: what configuration is taken, what is shown of their state, and that polling now is a verb."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from opensoar.accounts.models import AuditEntry
from opensoar.errors import Invalid
from playbooks_engine.connectors.services import create_connector, delete_connector, update_connector
from playbooks_engine.models import Connector, PollState
from playbooks_engine.pollers import KINDS, poller
from tests.api.clients import API, person
from tests.factories import SYSTEM, make_partner, make_user

pytestmark = pytest.mark.django_db
URL = API + "integrations"
MADE = {
    "integration_type": "elastic", "name": "main", "config": {"url": "https://elastic.example.com"},
    "secrets": {"api_key": "canary-api-key"},
}  # fmt: skip


def make(**changes: object) -> Connector:
    return create_connector(
        actor=SYSTEM, kind="elastic", name="main", config={"url": "https://elastic.example.com"},
        secrets={"api_key": "canary-api-key"}, **changes,
    )  # fmt: skip


def later(connector: Connector) -> None:
    """It failed, and waits."""
    PollState.objects.filter(connector=connector).update(
        next_at=timezone.now() + timedelta(hours=1),
        failures=3,
        last_error="elastic.example.com does not answer",
    )


def test_every_kind_has_a_source_and_a_page() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "pull.md").read_text()
    for kind in KINDS:
        assert poller(kind).kind == kind
        assert f"`{kind}`" in page
        for name in poller(kind).settings.__struct_fields__:
            assert f"`{name}`" in page, f"{kind}: docs/pull.md says nothing of {name}"
        for name in poller(kind).credentials.__struct_fields__:
            assert f'"{name}"' in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": {}}, "missing required field `url`"),
        ({"config": {"url": "http://elastic.example.com"}}, "must begin with https://"),
        ({"config": {"url": "https://169.254.169.254"}}, "link-local"),
        ({"config": {"url": "https://elastic.example.com", "interval": 5}}, ">= 30"),
        ({"config": {"url": "https://elastic.example.com", "intervall": 60}}, "unknown field `intervall`"),
        ({"config": {"url": "https://elastic.example.com", "interval": "60"}}, "Expected `int`"),
        ({"config": {"url": "https://elastic.example.com", "ca_pem": "nonsense"}}, "PEM"),
        ({"config": {"url": "https://elastic.example.com", "index": "UPPER"}}, "index"),
        ({"secrets": {}}, "missing required field `api_key`"),
        ({"secrets": {"api_key": 5}}, "Expected `str`"),
        ({"secrets": {"api_key": "canary", "other": "canary"}}, "unknown field `other`"),
    ],
)  # fmt: skip
def test_what_is_no_configuration_is_refused_and_says_why(change: dict[str, object], words: str) -> None:
    answer = person("admin").post(URL, MADE | change)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert "canary" not in answer.content.decode()
    assert not Connector.objects.exists()


def test_an_edit_is_checked_as_well() -> None:
    connector = make()
    admin = person("admin")
    one = f"{URL}/{connector.pk}"
    assert admin.patch(one, {"config": {"url": "ftp://x"}}).status_code == 422
    assert admin.patch(one, {"secrets": {"token": "canary"}}).status_code == 422
    other = {"config": {"url": "https://other.example.com", "interval": 90}, "secrets": {"api_key": "canary"}}
    assert admin.patch(one, other).status_code == 200
    assert admin.patch(one, {"name": "renamed"}).json()["name"] == "renamed"


def test_the_answer_tells_how_it_goes() -> None:
    admin = person("admin")
    made = admin.post(URL, MADE)
    assert made.status_code == 201
    one = f"{URL}/{made.json()['id']}"
    later(Connector.objects.get())
    told = admin.get(one).json()["poll"]
    assert (told["failures"], told["last_error"]) == (3, "elastic.example.com does not answer")
    assert set(told) == {
        "next_at", "last_ok_at", "last_error", "last_error_at", "failures", "accepted", "duplicates", "quarantined",
    }  # fmt: skip
    assert admin.get(URL).json()[0]["poll"] == told
    docker = admin.post(URL, {"integration_type": "docker", "name": "here"}).json()
    assert docker["poll"] is None
    assert admin.post(f"{URL}/{docker['id']}/poll").status_code == 409


def test_polling_now(client: Client) -> None:
    connector = make()
    later(connector)
    answer = person("admin").post(f"{URL}/{connector.pk}/poll")
    assert answer.status_code == 202
    assert PollState.objects.get().next_at <= timezone.now()
    assert AuditEntry.objects.filter(action="connector_polled", object_id=connector.pk).count() == 1
    update_connector(actor=SYSTEM, connector=connector, enabled=False)
    off = person("admin").post(f"{URL}/{connector.pk}/poll")
    assert (off.status_code, off.json()["detail"]) == (409, "This integration is switched off")
    for role in ("viewer", "analyst"):
        assert person(role).post(f"{URL}/{connector.pk}/poll").status_code == 403


def test_polling_now_keeps_to_one_s_partner() -> None:
    own = make_partner("own")
    shared, foreign = make(), make(partner=make_partner("foreign"))
    bound = person("admin", partners=[own])
    assert bound.post(f"{URL}/{shared.pk}/poll").status_code == 403
    assert bound.post(f"{URL}/{foreign.pk}/poll").status_code == 404


def test_stored_secrets_go_to_no_other_server() -> None:
    connector = make()
    elsewhere = {"url": "https://elastic.example.com.evil.example"}
    with pytest.raises(Invalid, match="Give the secrets again"):
        update_connector(actor=SYSTEM, connector=connector, config=elsewhere)
    answer = person("admin").patch(f"{URL}/{connector.pk}", {"config": elsewhere}, format="json")
    assert answer.status_code == 422
    connector.refresh_from_db()
    assert connector.config == {"url": "https://elastic.example.com"}
    same = {"url": "https://elastic.example.com", "index": "other"}
    assert update_connector(actor=SYSTEM, connector=connector, config=same).config == same
    update_connector(actor=SYSTEM, connector=connector, config=elsewhere, secrets={"api_key": "another"})


def test_an_edit_takes_the_poll_from_its_worker_and_tries_at_once() -> None:
    connector = make()
    later(connector)
    before = PollState.objects.get().fence
    update_connector(
        actor=SYSTEM,
        connector=connector,
        config={"url": "https://other.example.com"},
        secrets={"api_key": "new"},
    )
    state = PollState.objects.get()
    assert (state.fence, state.failures, state.leased_until) == (before + 1, 0, None)
    assert state.next_at <= timezone.now()
    delete_connector(actor=SYSTEM, connector=connector)
    assert not PollState.objects.exists()


def test_in_the_admin(client: Client) -> None:
    client.force_login(make_user("root", role="admin"))
    add = reverse("admin:playbooks_engine_connector_add")
    page = client.get(add).content.decode()
    assert "url* client_id* interval" in page, "what types there are and what they need"
    form = {
        "kind": "elastic", "name": "main", "partner": "", "enabled": "on",
        "config": json.dumps({"url": "http://elastic.example.com"}), "new_secrets": '{"api_key": "canary-api-key"}',
    }  # fmt: skip
    refused = client.post(add, form)
    assert "must begin with https://" in refused.content.decode()
    assert "canary" not in refused.content.decode()
    form["config"] = json.dumps({"url": "https://elastic.example.com"})
    assert client.post(add, form).status_code == 302
    connector = Connector.objects.get()
    later(connector)
    change = reverse("admin:playbooks_engine_connector_change", args=[connector.pk])
    page = client.get(change).content.decode()
    assert "elastic.example.com does not answer" in page
    assert "Save and fetch alerts now" in page
    assert "canary" not in page
    form["new_secrets"] = ""
    answer = client.post(change, {**form, "_poll_now": "1"}, follow=True)
    assert "alerts are fetched within seconds" in answer.content.decode()
    assert PollState.objects.get().next_at <= timezone.now()
    later(connector)
    listing = reverse("admin:playbooks_engine_connector_changelist")
    assert "3 failures" in client.get(listing).content.decode()
    client.post(listing, {"action": "poll_now", "_selected_action": str(connector.pk)})
    assert PollState.objects.get().next_at <= timezone.now()


def test_the_list_costs_the_same_however_long(django_assert_max_num_queries: object) -> None:
    for number in range(20):
        create_connector(
            actor=SYSTEM, kind="elastic", name=str(number), partner=make_partner(),
            config={"url": "https://elastic.example.com"}, secrets={"api_key": "canary-api-key"},
        )  # fmt: skip
    client: APIClient = person("admin")
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        assert len(client.get(URL).json()) == 20
