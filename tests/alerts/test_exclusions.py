"""Own and harmless networks and domains: marked when they come in, left out of an alert's iocs, edited in the admin."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from alerts import exclusions
from alerts.exclusions import Exclusions
from alerts.ingest import store
from alerts.intake import Envelope, read_body
from alerts.models import Alert, Observable, ObservableExclusion
from alerts.senders import Sender
from alerts.services import create_observable, delete_exclusion, save_exclusion
from opensoar.accounts.models import AuditEntry
from opensoar.errors import Conflict, Invalid
from tests.factories import SYSTEM, make_partner, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    exclusions.forget()
    yield
    exclusions.forget()


def exclude(kind: str, value: str) -> ObservableExclusion:
    row = save_exclusion(actor=SYSTEM, kind=kind, value=value, reason="in the inventory")
    exclusions.forget()  # on commit, which the test's transaction never sees
    return row


def test_service_an_alert_keeps_them_marked_and_its_iocs_leave_them_out() -> None:
    exclude("own", "198.51.100.0/24")
    exclude("own", "example.org")
    exclude("allowed", "example.net")
    text = (
        "198.51.100.7 asked cdn.example.net for evil.example.com, https://www.example.org/x and "
        "https://files.example.net/bad.exe, mail joe@example.org"
    )
    payload = {"title": "x", "message": text, "iocs": {"ips": ["198.51.100.9", "203.0.113.9"]}}
    [item] = read_body(json.dumps(payload).encode(), Envelope(Sender(None, "tests"), "application/json"))
    store([item], patience=0)
    assert Alert.objects.get().iocs == {
        "ips": ["203.0.113.9"],
        "domains": ["evil.example.com"],
        "urls": ["https://files.example.net/bad.exe"],
    }
    found = {o.value: (o.internal, o.tags) for o in Alert.objects.get().observables.all()}
    assert found == {
        "198.51.100.7": (True, []), "198.51.100.9": (True, []), "203.0.113.9": (False, []),
        "cdn.example.net": (False, ["allowed"]), "files.example.net": (False, ["allowed"]), "evil.example.com": (False, []),
        "www.example.org": (True, []), "https://www.example.org/x": (True, []), "joe@example.org": (True, []),
        "https://files.example.net/bad.exe": (False, []),
    }  # fmt: skip


def test_service_what_somebody_adds_is_marked_as_well() -> None:
    row = exclude("own", "203.0.113.0/24")
    assert create_observable(actor=SYSTEM, type="ip", value="203.0.113.7").internal
    delete_exclusion(actor=SYSTEM, exclusion=row)
    exclusions.forget()
    assert not create_observable(actor=SYSTEM, type="ip", value="203.0.113.8").internal
    assert Observable.objects.get(value="203.0.113.7").internal  # known ones stay as they are


def test_the_narrowest_decides_and_a_network_must_lie_inside() -> None:
    listed = Exclusions(
        [
            ("own", "203.0.113.0/24"), ("allowed", "203.0.113.8/29"), ("own", "2001:db8::/32"), ("own", "example.org"),
            ("allowed", "cdn.example.org"), ("allowed", "198.51.100.1"),
        ]
    )  # fmt: skip
    kinds = {
        ("ip", "203.0.113.7"): "own", ("ip", "203.0.113.9"): "allowed", ("ip", "203.0.113.128/25"): "own",
        ("ip", "203.0.112.0/23"): None, ("ip", "198.51.100.1"): "allowed", ("ip", "198.51.100.2"): None,
        ("ip", "2001:db8:1::1"): "own", ("ip", "2001:db9::1"): None, ("domain", "example.org"): "own",
        ("hostname", "a.cdn.example.org"): "allowed", ("domain", "badexample.org"): None, ("md5", "example.org"): None,
        ("url", "https://u@[2001:db8::1]:8443/x"): "own", ("url", "http://203.0.113.9/"): None,
        ("url", "http://www.example.org:80/"): "own", ("email", "a@example.org"): "own",
    }  # fmt: skip
    assert {key: listed.kind_of(*key) for key in kinds} == kinds


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"), ("203.0.113.5/32", "203.0.113.5"), ("2001:DB8::/32", "2001:db8::/32"),
        ("*.Example.COM", "example.com"), ("bücher.de", "xn--bcher-kva.de"), ("corp.local", "corp.local"),
    ],
)  # fmt: skip
def test_service_values_are_kept_canonically(value: str, kept: str) -> None:
    assert exclude("own", value).value == kept


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("203.0.113.5/24", "is written 203.0.113.0/24"), ("0.0.0.0/0", "too wide"), ("::/0", "too wide"),
        ("203.0.113.0/40", "not a network"), ("co.uk", "belong to many"), ("github.io", "belong to many"),
        ("http://a.com/", "not a network"), ("a b", "Name a network"), ("", "Name a network"),
    ],
)  # fmt: skip
def test_service_refuses_what_would_hide_too_much(value: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        exclude("own", value)


def test_service_refuses_a_second_one_and_one_without_a_reason() -> None:
    exclude("own", "example.org")
    with pytest.raises(Conflict, match="listed already"):
        exclude("allowed", "EXAMPLE.org.")
    with pytest.raises(Invalid, match="reason"):
        save_exclusion(actor=SYSTEM, kind="own", value="example.net", reason=" ")


def test_page_one_is_added_changed_and_deleted(client: Client) -> None:
    client.force_login(make_user("root", role="admin"))
    add = reverse("admin:alerts_observableexclusion_add")
    assert client.get(add).status_code == 200
    assert (
        "too wide" in client.post(add, {"value": "0.0.0.0/0", "kind": "own", "reason": "x"}).content.decode()
    )
    assert client.post(add, {"value": "example.org", "kind": "own", "reason": "ours"}).status_code == 302
    row = ObservableExclusion.objects.get()
    change = reverse("admin:alerts_observableexclusion_change", args=[row.pk])
    assert (
        client.post(change, {"value": "example.org", "kind": "allowed", "reason": "cdn"}).status_code == 302
    )
    row.refresh_from_db()
    assert (row.kind, row.reason) == ("allowed", "cdn")
    assert (
        "example.org" in client.get(reverse("admin:alerts_observableexclusion_changelist")).content.decode()
    )
    delete = reverse("admin:alerts_observableexclusion_delete", args=[row.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not ObservableExclusion.objects.exists()
    assert list(AuditEntry.objects.filter(object_kind="exclusion").order_by("id").values_list("action", flat=True)) == [
        "exclusion_created", "exclusion_changed", "exclusion_deleted",
    ]  # fmt: skip


def test_page_is_not_for_people_of_one_partner(client: Client) -> None:
    exclude("own", "example.org")
    client.force_login(make_user("inside", role="admin", partners=[make_partner("acme")]))
    listing = client.get(reverse("admin:alerts_observableexclusion_changelist"))
    assert b"example.org" not in listing.content
    assert client.get(reverse("admin:alerts_observableexclusion_add")).status_code == 403


def test_command_the_first_domains_of_a_list_are_harmless(tmp_path: Path) -> None:
    exclude("own", "example.org")
    top = tmp_path / "top.csv"
    top.write_text(
        "1,example.com\n2,example.org\n3,co.uk\n4,EXAMPLE.com\n5,example.net\n6,never.example.de\n"
    )
    out = io.StringIO()
    call_command("allow_domains", top, limit=5, stdout=out, stderr=io.StringIO())
    assert out.getvalue().strip() == "2 new, 2 known, 1 refused"
    assert dict(ObservableExclusion.objects.values_list("value", "kind")) == {
        "example.org": "own", "example.com": "allowed", "example.net": "allowed",
    }  # fmt: skip
    assert AuditEntry.objects.get(action="domains_allowed").detail["domains"] == 2
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("allow_domains", tmp_path / "none.csv")
