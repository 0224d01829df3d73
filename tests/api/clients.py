"""Clients of the API, each with a credential."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.test import APIClient

from opensoar.accounts.models import Partner
from tests.factories import make_token, make_user

API = "/api/v1/"


def person(role: str = "admin", partners: Iterable[Partner] = (), **fields: Any) -> APIClient:
    """Somebody of that role, signed in."""
    client = APIClient()
    client.force_login(make_user(role=role, partners=partners, **fields))
    return client


def machine(*scopes: str, partner: Partner | None = None) -> APIClient:
    """A token of these scopes."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer " + make_token(scopes, partner=partner)[1])
    return client
