"""The OpenAPI description: what is served is what was reviewed, and the page that shows it needs nothing from outside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from rest_framework.test import APIClient

from opensoar.ops_docs import openapi
from tests.api.clients import API, machine
from tests.factories import make_user

SNAPSHOT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
REFRESH = "python manage.py spectacular --skip-checks --format openapi-json --file docs/openapi.json"


def test_the_description_is_the_one_that_was_reviewed() -> None:
    same = json.loads(openapi()) == json.loads(SNAPSHOT.read_text())
    assert same, f"The API changed. If that is meant: {REFRESH}, and commit the difference."


def test_it_is_made_without_a_guess(tmp_path: Path) -> None:
    """Neither two shapes of one name nor a view whose answer had to be guessed."""
    call_command(
        "spectacular", file=str(tmp_path / "x.yaml"), validate=True, fail_on_warn=True, skip_checks=True
    )


def test_every_component_is_a_json_schema() -> None:
    document = json.loads(openapi())
    assert document["openapi"].startswith("3.1")
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_has_an_answer_of_known_shape() -> None:
    """A success without a body's schema (or with one that allows anything) tells a client nothing."""
    shapeless = []
    for path, operations in json.loads(openapi())["paths"].items():
        for method, operation in operations.items():
            good = [answer for status, answer in operation["responses"].items() if status < "300"]
            schemas = [a.get("content", {}).get("application/json", {}).get("schema", {}) for a in good]
            anything = {"type": "object", "additionalProperties": {}}
            if "webhooks" not in path and any(schema in ({}, anything) for schema in schemas):
                shapeless.append(f"{method} {path}")
    assert shapeless == []


@pytest.mark.django_db
def test_it_is_served_to_whoever_has_credentials() -> None:
    answer = machine("read").get(API + "schema")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json()["info"]["title"] == "OpenSOAR"
    refused = APIClient().get(API + "schema")
    assert (refused.status_code, refused.json()) == (401, {"detail": "Authentication required"})


@pytest.mark.django_db
def test_the_page_keeps_to_our_own_files(client: Client) -> None:
    assert client.get(API + "docs").headers["Location"] == f"/accounts/login/?next={API}docs"
    client.force_login(make_user())
    page = client.get(API + "docs")
    html = page.content.decode()
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert addresses
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", html)
    script = client.get(next(address for address in addresses if "script=" in address))
    assert script.headers["Content-Type"] == "application/javascript"
    assert f'url: "{API}schema"'.replace("/", "\\u002F") in script.content.decode().replace("/", "\\u002F")
