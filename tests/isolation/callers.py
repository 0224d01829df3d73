"""Whoever asks: a browser's session, an API token, nobody. What every answer must carry is looked at here."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import orjson
from django.http import HttpResponse
from django.test import Client

from opensoar.accounts.models import User
from opensoar.accounts.permissions import ROLES
from tests.isolation.routes import Route
from tests.isolation.table import INGEST, LISTED, OPEN, SIGNED_IN, TABLE, WRITTEN_OUT
from tests.isolation.world import Customer

# What changes from one request to the next and says nothing of anybody: CSRF tokens, "3 minutes ago".
_VOLATILE = re.compile(
    r'<time[^>]*>.*?</time>|csrfmiddlewaretoken" value="\w+"|X-CSRFToken[^}]*}|"last_used_at":"[^"]*"|since=[0-9a-f-]{36}'
    r'|class="lane">.*?</svg>'  # the time line of a run that still runs
    r'|<td class="field-last_(?:login|used_at).*?</td>',
    re.DOTALL,
)


class Caller:
    """Somebody, or nobody, who sends requests."""

    def __init__(self, name: str, *, user: User | None = None, token: str = "", csrf: bool = False) -> None:
        self.name = name
        self.client = Client(enforce_csrf_checks=csrf)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.user = user
        self.sign_in()

    def sign_in(self) -> None:
        if self.user is not None:
            self.client.force_login(self.user)

    def __call__(self, method: str, address: str, body: Any = None, *, json: bool = False) -> HttpResponse:
        self.client.cookies.pop("messages", None)  # what the last verb had to say
        if method == "GET":
            answer = self.client.get(address, headers=self.headers)
        elif json:
            answer = self.client.generic(
                method, address, _json(body), content_type="application/json", headers=self.headers
            )
        else:
            answer = self.client.post(address, body or {}, headers=self.headers)
        assert_headers(method, address, answer)
        if (cookie := answer.cookies.get("sessionid")) is not None and not cookie.value:
            self.sign_in()  # that was the way out
        return answer  # type: ignore[return-value]

    def ask(
        self, route: Route, method: str, whose: Customer, body: dict[str, Any] | None = None
    ) -> HttpResponse:
        """``method`` on ``route`` with the ids of ``whose``; names that begin with ``?`` go into the address."""
        where, said = address(route, whose), body or {}
        query = {name[1:]: value for name, value in said.items() if name.startswith("?")}
        if query:
            where += "?" + urlencode(query, doseq=True)
        said = {name: value for name, value in said.items() if not name.startswith("?")}
        return self(method, where, said, json=route.is_api)


def _json(body: Any) -> bytes:
    return orjson.dumps(body or {})


def address(route: Route, whose: Customer) -> str:
    """The route's address with the rows of ``whose`` in it."""
    if route.path in WRITTEN_OUT:
        return "/" + WRITTEN_OUT[route.path]
    rows = TABLE[route.path].ids
    return route.at({name: whose.ids[rows[name]] for name in route.parameters})


def may(role: str, needed: str) -> bool:
    if needed == INGEST:
        return False
    return needed in {OPEN, SIGNED_IN} or set(needed.split("+")) <= ROLES[role][1]


def routes_for(name: str) -> list[Route]:
    """What a caller of that name goes through: the admin only what an analyst may not, sessions alone Django admin."""
    ours = [route for route in LISTED if not route.is_borrowed]
    if name != "admin":
        return ours
    return [
        r for r in LISTED if r.is_borrowed or not all(may("analyst", n) for n in TABLE[r.path].needs.values())
    ]


def text_of(answer: HttpResponse) -> str:
    """The body without what differs from request to request."""
    return _VOLATILE.sub("", answer.content.decode(errors="replace"))


def is_login(answer: HttpResponse) -> bool:
    """Whether somebody who is not signed in was refused: 401, or the way to the sign-in page."""
    return answer.status_code == 401 or (
        answer.status_code == 302 and "/login" in answer.headers["Location"].split("?")[0]
    )


def assert_headers(method: str, address: str, answer: Any) -> None:
    """The headers that every answer carries."""
    where, headers = f"{method} {address}", answer.headers
    policy = dict(
        part.strip().partition(" ")[::2] for part in headers.get("Content-Security-Policy", "").split(";")
    )
    assert policy.get("default-src") == "'none'", f"{where}: no strict Content-Security-Policy"
    assert "unsafe" not in str(policy), where
    assert policy.get("script-src", "'none'") in {"'self'", "'none'"}, where
    assert policy.get("frame-ancestors") == "'none'", where
    assert headers.get("X-Content-Type-Options") == "nosniff", where
    assert headers.get("X-Frame-Options") == "DENY", where
    assert headers.get("Referrer-Policy") == "same-origin", where
    assert headers.get("Cross-Origin-Opener-Policy") == "same-origin", where
