"""Entities that must not group alerts: by service, on the card, by REST; until they expire or are deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from incidents.models import SuggestionExclusion
from incidents.services import delete_exclusion, save_exclusion
from opensoar.accounts.models import AuditEntry
from opensoar.errors import Conflict, Invalid, NotAllowed
from tests.api.clients import V1, client_of
from tests.factories import SYSTEM, default_partner, make_alert, make_partner, make_user, suggested

pytestmark = pytest.mark.django_db
IP = "203.0.113.7"


def pair(**fields: object) -> None:
    for _ in range(2):
        make_alert(**({"source_ip": IP} | fields))  # type: ignore[arg-type]


def test_service_excluded_until_it_expires() -> None:
    pair()
    assert len(suggested()) == 1
    for entity, value in (("external_ip", IP), ("cidr", "203.0.113.0/24")):
        save_exclusion(
            actor=SYSTEM, entity=entity, value=value, reason="our scanner", expires_at=timezone.now() + timedelta(days=1)
        )  # fmt: skip
    assert suggested() == []
    SuggestionExclusion.objects.update(expires_at=timezone.now())
    assert len(suggested()) == 1
    assert AuditEntry.objects.filter(action="suggestion_exclusion_saved").count() == 2


def test_service_deleted_groups_again() -> None:
    pair(source_ip=None, hostname="WS-1")
    row = save_exclusion(
        actor=SYSTEM, entity="host", value=" Ws-1 ", reason="kiosk", partner=default_partner()
    )
    assert suggested() == []
    row.refresh_from_db()
    delete_exclusion(actor=SYSTEM, exclusion=row)
    assert len(suggested()) == 1
    assert not SuggestionExclusion.objects.exists()


def test_service_of_one_partner_leaves_others_alone() -> None:
    ours, theirs = make_partner(), make_partner()
    pair(partner=theirs, source_ip=None, username="scan")
    pair(partner=ours, source_ip=None, username="scan")
    save_exclusion(actor=SYSTEM, entity="user", value="scan", reason="service account", partner=ours)
    assert [found.partner for found in suggested()] == [theirs]


def test_service_refuses() -> None:
    partner = make_partner()
    bound = make_user(partners=[partner]).actor
    with pytest.raises(NotAllowed):
        save_exclusion(actor=bound, entity="host", value="x", reason="y")
    with pytest.raises(Invalid):
        save_exclusion(actor=SYSTEM, entity="host", value="x", reason=" ")
    with pytest.raises(Invalid):
        save_exclusion(actor=SYSTEM, entity="external_ip", value="nonsense", reason="y")
    with pytest.raises(Invalid):
        save_exclusion(actor=SYSTEM, entity="cidr", value="203.0.113.0/25", reason="y")
    with pytest.raises(Invalid):
        save_exclusion(actor=SYSTEM, entity="host", value="x", reason="y", expires_at=timezone.now())
    save_exclusion(actor=bound, entity="host", value="x", reason="y", partner=partner)
    with pytest.raises(Conflict):
        save_exclusion(actor=bound, entity="host", value="X", reason="y", partner=partner)


def test_page_excludes_from_the_card(client: Client) -> None:
    client.force_login(make_user())
    pair()
    [found] = suggested()
    url = reverse("incidents:suggestion-exclude", args=[found.id])
    assert IP in client.get(url).content.decode()
    assert client.post(url, {"entity": "0", "reason": "", "days": "7"}).status_code == 422
    assert client.post(url, {"entity": "0", "reason": "our scanner", "days": "7"}).status_code == 302
    row = SuggestionExclusion.objects.get()
    assert (row.entity, row.value, row.reason, row.partner) == (
        "external_ip",
        IP,
        "our scanner",
        default_partner(),
    )
    assert row.expires_at is not None


def test_api_lists_makes_and_deletes() -> None:
    client = client_of(make_user())
    url = f"{V1}suggestions/exclusions"
    made = client.post(url, {"entity": "domain", "value": "cdn.example", "reason": "everybody's"})
    assert made.status_code == 201
    assert (made.json()["partner"], made.json()["everybody"], made.json()["expires_at"]) == (
        None,
        False,
        None,
    )
    assert client.post(
        url, {"entity": "domain", "value": "x.example", "reason": "y", "everybody": True}
    ).json()["everybody"]
    assert client.post(url, {"entity": "domain", "value": "cdn.example", "reason": "y"}).status_code == 409
    assert client.post(url, {"entity": "nonsense", "value": "x", "reason": "y"}).status_code == 422
    assert [row["value"] for row in client.get(url).json()] == ["x.example", "cdn.example"]
    assert client.delete(f"{url}/{made.json()['id']}").json() == {"detail": "Exclusion deleted"}
    assert client.delete(f"{url}/{made.json()['id']}").status_code == 404
    assert [row["value"] for row in client.get(url).json()] == ["x.example"]


def test_api_of_strangers_nothing() -> None:
    theirs = make_partner()
    row = save_exclusion(actor=SYSTEM, entity="host", value="x", reason="y", partner=theirs)
    client = client_of(make_user(partners=[make_partner()]))
    assert client.get(f"{V1}suggestions/exclusions").json() == []
    assert client.delete(f"{V1}suggestions/exclusions/{row.pk}").status_code == 404
    viewer = client_of(make_user(role="viewer"))
    assert (
        viewer.post(
            f"{V1}suggestions/exclusions", {"entity": "host", "value": "x", "reason": "y"}
        ).status_code
        == 403
    )


def test_admin_makes_changes_and_deletes(client: Client) -> None:
    client.force_login(make_user(role="admin"))
    add = reverse("admin:incidents_suggestionexclusion_add")
    data = {
        "entity": "host",
        "value": "KIOSK",
        "reason": "shared",
        "partner": "",
        "expires_at_0": "",
        "expires_at_1": "",
    }
    assert client.post(add, data).status_code == 302
    row = SuggestionExclusion.objects.get()
    assert (row.value, row.partner) == ("kiosk", None)
    change = reverse("admin:incidents_suggestionexclusion_change", args=[row.pk])
    assert client.post(change, data | {"reason": "a lobby kiosk"}).status_code == 302
    row.refresh_from_db()
    assert (row.value, row.reason) == ("kiosk", "a lobby kiosk")
    delete = reverse("admin:incidents_suggestionexclusion_delete", args=[row.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not SuggestionExclusion.objects.kept().exists()
