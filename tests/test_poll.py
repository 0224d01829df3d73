"""Open pages ask every few seconds: what nothing happened to is answered in a moment, and no change is missed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from alerts.models import Alert, AlertCounter
from alerts.pages import WATCHED, watch_alerts
from alerts.services import claim_alert, comment_alert, resolve_alert
from incidents.services import comment_incident
from opensoar.accounts.models import User
from opensoar.ids import uuid7
from opensoar.web import live
from playbooks_engine.models import ActionResult, Playbook, PlaybookRun
from playbooks_engine.services import start_run
from playbooks_engine.sync import sync_playbooks
from tests.factories import SYSTEM, make_alert, make_incident, make_partner, make_user
from tests.playbooks_engine.engines import write

pytestmark = pytest.mark.django_db

SOURCE = """
from opensoar import playbook

@playbook()
async def look(alert): ...
"""


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    live._remembered.clear()
    yield
    live._remembered.clear()


class Page:
    """A page that somebody left open: polls as the browser does, through the entry point that granian serves."""

    def __init__(self, client: Client, address: str) -> None:
        self.client = client
        text = client.get(address).content.decode()
        found = re.search(r'id="live" hx-get="([^"]+)"[^>]*data-seen="([^"]*)"', text)
        assert found, "the page does not poll"
        self.live, self.seen = found[1].replace("&amp;", "&"), found[2]
        rows = re.findall(r'<tr role="row" id="(a-[^"]+)"', text)
        if rows:
            self.live += f"&rows={','.join(rows)}"
        self.asked_django = 0

    def poll(self) -> tuple[int, dict[str, str]]:
        environ = RequestFactory().get(self.live, headers={"X-Seen": self.seen, "HX-Request": "true"}).environ
        environ["HTTP_COOKIE"] = "; ".join(f"{n}={m.value}" for n, m in self.client.cookies.items())
        answers: list[tuple[str, list[tuple[str, str]]]] = []

        def whole(environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponse:
            self.asked_django += 1
            response = self.client.get(self.live, headers={"X-Seen": self.seen, "HX-Request": "true"})
            start_response(f"{response.status_code} -", list(response.items()))
            return response  # type: ignore[return-value]

        live.application(environ, lambda status, headers: answers.append((status, headers)), whole)
        ((status, headers),) = answers
        self.seen = dict(headers).get("X-Seen", self.seen)
        return int(status[:3]), dict(headers)


@pytest.fixture
def ada(client: Client) -> User:
    user = make_user("ada", role="admin")
    client.force_login(user)
    return user


def running(folder: Path, ada: User, alert: Alert) -> PlaybookRun:
    """A run that has one call under way."""
    write(folder, "look", SOURCE)
    sync_playbooks([str(folder)])
    run = start_run(actor=ada.actor, playbook=Playbook.objects.get(), alert=alert, input={})
    ActionResult.objects.create(
        run=run, key="0.1", name="ask", args_digest=b"", input="{}", attempts=1, idempotency_key=uuid7()
    )
    return run


def pages_of(alert: Alert, number: int, run: PlaybookRun) -> dict[str, str]:
    return {
        "queue": reverse("alerts:list"),
        "alert": reverse("alerts:detail", args=[alert.pk]),
        "incidents": reverse("incidents:list"),
        "incident": reverse("incidents:detail", args=[number]),
        "run": reverse("runs:detail", args=[run.pk]),
    }


def test_what_nothing_happened_to_is_answered_without_django_and_every_change_with_it(
    client: Client, ada: User, tmp_path: Path, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    alerts = [make_alert(f"A {n}") for n in range(3)]
    incident = make_incident(actor=ada.actor, alerts=alerts[:2])
    run = running(tmp_path, ada, alerts[0])
    changes: dict[str, list[Callable[[], Any]]] = {
        "queue": [
            lambda: claim_alert(actor=ada.actor, alert=alerts[2]),
            lambda: AlertCounter.objects.filter(alert=alerts[1]).update(duplicate_count=7),
            lambda: make_alert("News"),
        ],
        "alert": [lambda: comment_alert(actor=ada.actor, alert=alerts[0], text="Said")],
        "incidents": [lambda: make_incident("Another")],
        "incident": [
            lambda: comment_incident(actor=ada.actor, incident=incident, text="Said"),
            lambda: comment_alert(actor=ada.actor, alert=alerts[1], text="Of its alert"),
        ],
        "run": [lambda: ActionResult.objects.filter(run=run).update(attempts=2)],
    }
    for name, address in pages_of(alerts[0], incident.number, run).items():
        page = Page(client, address)
        assert page.poll()[0] == 204, f"{name}: nothing happened since the page was made"
        for change in changes[name]:
            before = page.asked_django
            with django_assert_num_queries(1):
                status, headers = page.poll()
            assert (status, page.asked_django) == (204, before), name
            assert headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            change()
            assert page.poll()[0] == 200, f"{name}: something happened"
            assert page.poll()[0] == 204, f"{name}: and is known now"


def test_only_who_asked_before_is_answered_from_memory(client: Client, ada: User) -> None:
    address = reverse("alerts:detail", args=[make_alert().pk])
    page = Page(client, address)
    assert [page.poll()[0], page.poll()[0]] == [204, 204]
    assert page.asked_django == 1
    page.client = Client()
    assert page.poll()[0] in {302, 401}
    page.client.force_login(make_user(partners=[make_partner("acme")]))
    assert page.poll()[0] == 404


def test_an_ended_session_is_noticed_when_the_memory_ends(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "REMEMBERED_FOR", 0.0)
    page = Page(client, reverse("alerts:list"))
    assert page.poll()[0] == 204
    ada.is_active = False
    ada.save(update_fields=["is_active"])
    assert page.poll()[0] in {302, 401}


def test_without_a_database_the_whole_way_says_so(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(client, reverse("alerts:detail", args=[make_alert().pk]))
    page.poll()

    def down(_statement: str) -> str:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(live, "_ask", down)
        assert page.poll()[0] == 503
    assert page.poll()[0] == 204


def test_the_memory_is_bounded_and_forgets_the_oldest(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_REMEMBERED", 3)
    pages = [Page(client, reverse("alerts:detail", args=[make_alert().pk])) for _ in range(5)]
    for page in pages:
        page.poll()
    assert len(live._remembered) == 3
    for page in reversed(pages):
        page.poll()
    assert [page.asked_django for page in pages] == [2, 2, 1, 1, 1]


def test_a_word_knows_rows_by_what_they_are_not_by_the_order_they_come_in() -> None:
    alerts = [make_alert() for _ in range(12)]
    word = watch_alerts(SYSTEM, [alert.pk for alert in alerts]).seen
    read = Alert.objects.select_related("counter")
    assert live.seen_in(read.order_by("-pk"), *WATCHED) == word
    assert live.seen_in(read.order_by("pk"), *WATCHED) == word
    assert live.seen_in(read[:11], *WATCHED) != word
    assert live.seen_in([], *WATCHED) == watch_alerts(SYSTEM, []).seen
    resolve_alert(actor=SYSTEM, alert=alerts[3], determination="benign", reason="")
    assert watch_alerts(SYSTEM, [alert.pk for alert in alerts]).seen != word


def test_a_word_holds_whatever_is_filtered_for(client: Client, ada: User) -> None:
    """Filters bring quotes, percent signs and backslashes into the remembered statement."""
    make_alert("100% 'odd' \\ %s")
    page = Page(client, reverse("alerts:list") + "?q=100%25+'odd'+%5C+%25s")
    assert [page.poll()[0], page.poll()[0]] == [204, 204]
    make_alert("100% 'odd' \\ %s again")
    assert page.poll()[0] == 200
