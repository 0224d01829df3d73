"""Whose address is counted and audited, behind proxies and behind people who claim to be proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from opensoar.accounts.models import AuditEntry
from opensoar.client_ip import client_ip
from opensoar.env import EnvError, env_networks
from tests.api.clients import API
from tests.factories import PASSWORD, make_user

CLIENT, PROXY, INNER = "203.0.113.7", "10.0.0.5", "10.0.1.9"


@pytest.fixture
def proxies(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/16"), ip_network("fd00::1")]


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        (CLIENT, "", CLIENT),
        (CLIENT, "198.51.100.1", CLIENT),  # nobody of ours: their word counts for nothing
        (PROXY, CLIENT, CLIENT),
        (PROXY, f"198.51.100.1, {CLIENT}", CLIENT),  # what the client sent itself stands before
        (PROXY, f"{CLIENT}, {INNER}", CLIENT),
        (PROXY, f"{PROXY}, {INNER}", PROXY),
        (PROXY, "", PROXY),
        (PROXY, "nonsense", PROXY),
        (PROXY, f"nonsense, {INNER}", INNER),
        ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
        (f"::ffff:{PROXY}", CLIENT, CLIENT),
        ("", CLIENT, None),
    ],
)
def test_address(proxies: None, remote: str, forwarded: str, expected: str | None) -> None:
    assert client_ip({"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": forwarded}) == expected


def test_without_proxies_nobody_is_believed(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = []
    assert client_ip({"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": CLIENT}) == PROXY


@pytest.mark.django_db
def test_page_and_api_note_the_client(client: Client, proxies: None) -> None:
    make_user("ada")
    behind = {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": f"1.2.3.4, {CLIENT}"}
    data = {"username": "ada", "password": PASSWORD}
    assert client.post(API + "auth/login", data, content_type="application/json", **behind).status_code == 200
    form = {"login": "ada", "password": PASSWORD}
    assert client.post(reverse("account_login"), form, **behind).status_code == 302
    assert set(AuditEntry.objects.filter(action="login").values_list("ip", flat=True)) == {CLIENT}


def test_what_is_no_network_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSOAR_TRUSTED_PROXIES", "10.0.0.5, 10.1.0.0/16, ::1")
    assert [str(network) for network in env_networks("OPENSOAR_TRUSTED_PROXIES")] == [
        "10.0.0.5/32", "10.1.0.0/16", "::1/128",
    ]  # fmt: skip
    monkeypatch.setenv("OPENSOAR_TRUSTED_PROXIES", "my-proxy")
    with pytest.raises(EnvError, match=r"OPENSOAR_TRUSTED_PROXIES: .*my-proxy"):
        env_networks("OPENSOAR_TRUSTED_PROXIES")
