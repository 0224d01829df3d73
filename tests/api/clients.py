"""Callers of the REST API. Each holds every answer that it gets against the schema that is served."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from rest_framework.test import APIClient

from opensoar.accounts.models import Partner, User
from tests.factories import PASSWORD, make_token, make_user

V1 = API = "/api/v1/"
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


class ContractClient(APIClient):
    """A client for which an answer that its schema does not describe is a failure, as is a field too many."""

    def request(self, **kwargs: Any) -> Any:
        response = super().request(**kwargs)
        if 200 <= response.status_code < 300 and response.resolver_match:
            _check(response, kwargs["REQUEST_METHOD"].lower())
        return response


def client_of(user: User) -> ContractClient:
    """The client of a person, signed in by the API."""
    client = ContractClient()
    answer = client.post(V1 + "auth/login", {"username": user.username, "password": PASSWORD})
    client.credentials(HTTP_AUTHORIZATION="Bearer " + answer.json()["access_token"])
    return client


def person(role: str = "admin", partners: Iterable[Partner] = (), **fields: Any) -> ContractClient:
    """Somebody of that role, with the session of a browser."""
    client = ContractClient()
    client.force_login(make_user(role=role, partners=partners, **fields))
    return client


def machine(*scopes: str, partner: Partner | None = None) -> ContractClient:
    """A token of these scopes."""
    client = ContractClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer " + make_token(scopes, partner=partner)[1])
    return client


def queries(client: APIClient, path: str) -> int:
    """How many queries a GET takes."""
    client.get(V1 + path)  # what is written now and then, such as when a token was last used, is not counted
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(V1 + path)
    assert answer.status_code == 200, answer.content
    return len(captured)


def _check(response: Any, method: str) -> None:
    route = "/" + _PARAMETER.sub(r"{\1}", response.resolver_match.route).replace("{pk}", "{id}")
    if route not in _schema()["paths"]:
        return
    schema = _answer_schema(route, method, str(response.status_code))
    problems = [f"{error.json_path}: {error.message[:300]}" for error in schema.iter_errors(response.json())]
    assert not problems, f"{method} {route} is not as its schema says: {problems}"


@cache
def _answer_schema(route: str, method: str, status: str) -> Draft202012Validator:
    answers = _schema()["paths"][route][method]["responses"]
    assert status in answers, f"{method} {route} declares no {status}"
    content = answers[status]["content"]["application/json"]["schema"]
    return Draft202012Validator(content | {"components": _schema()["components"]})


@cache
def _schema() -> Any:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for component in schema["components"]["schemas"].values():
        if "properties" in component:
            component["additionalProperties"] = False
    return schema
