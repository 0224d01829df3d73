"""Every page and every dialog, in both themes, wide and on a phone: nothing that a person or a browser would mind.

Console errors, CSP reports, answers of 400 and above and requests to other hosts are watched for in every browser test
(desk.py); here is what they cannot see.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.axe import faults
from tests.e2e.desk import WIDE, Desk
from tests.e2e.places import Places, find_places

# axe looks at each page several times over, and a busy machine takes its time.
pytestmark = pytest.mark.timeout(300)

LOADING = ".htmx-request, .skel"
DIALOG = "dialog[open]"


@pytest.fixture(scope="module")
def places(seats: Desk) -> Places:
    return find_places(seats)


def judge(page: Page, name: str, within: str | None = None) -> list[str]:
    """What is wrong with the page once everything that it asks for by itself has come."""
    expect(page.locator(LOADING)).to_have_count(0)
    return [f"{name}, {fault}" for fault in faults(page, within)]


def test_every_page(desk: Desk, places: Places) -> None:
    page = desk.sit("admin")
    wrong = []
    for name, path in places.pages().items():
        page.goto(path)
        wrong += judge(page, name)
    assert not wrong, "\n".join(wrong)


def test_what_everybody_sees(desk: Desk) -> None:
    page = desk.sit(None)
    page.goto("/")
    wrong = judge(page, "sign in")
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    wrong += judge(page, "sign in, refused")
    assert not wrong, "\n".join(wrong)


def test_an_error_page_and_an_empty_desk(desk: Desk) -> None:
    page = desk.sit("sofia")
    page.goto("/incidents/999999/")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    wrong = judge(page, "not found")
    desk.expect_problem(page, "404.*/incidents/999999/")
    assert not wrong, "\n".join(wrong)


def wide(page: Page) -> None:
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})


def opener(page: Page, name: str) -> Locator:
    return page.locator("main").get_by_role("link", name=re.compile(f"^{re.escape(name)}")).first


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("new", ["Assign", "Resolve", "Edit", "Link to incident", "Escalate", "Add observables", "Run playbook", "Raw"]),
        ("resolved", ["Reopen"]),
        ("open", ["Assign", "Edit", "Run playbook", "Close incident", "Handoff note", "Link alert", "Add observables"]),
        ("closed", ["Reopen"]),
        ("needs_attention", ["It was done"]),
        ("list", ["New incident", "Add to", "Exclude", "Dismiss"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_every_dialog(desk: Desk, places: Places, where: str, names: list[str]) -> None:
    paths = {
        "new": places.new,
        "resolved": places.resolved,
        "list": "/incidents/",
        **places.incidents,
        **places.runs,
    }
    page = desk.sit("admin")
    page.goto(paths[where])
    wrong = []
    for name in names:
        opener(page, name).click()
        expect(page.locator(DIALOG)).to_be_visible()
        wrong += judge(page, f"{where}, {name}", DIALOG)
        wide(page)
        page.locator(DIALOG).get_by_role("button", name="Close", exact=True).click()
        expect(page.locator(DIALOG)).to_have_count(0)
        expect(opener(page, name)).to_be_focused()
    assert not wrong, "\n".join(wrong)


def test_the_palette_the_keys_and_the_bar_for_a_selection(desk: Desk) -> None:
    page = desk.sit("admin")
    page.goto("/alerts/?q=FIN-WS&status=open")
    page.get_by_role("button", name="Search or jump to").click()
    wrong = judge(page, "palette", DIALOG)
    page.keyboard.press("Escape")
    expect(page.locator(DIALOG)).to_have_count(0)  # letters mean nothing while a dialog is open
    page.keyboard.press("?")
    expect(page.locator(DIALOG)).to_be_visible()
    wrong += judge(page, "keys", DIALOG)
    page.keyboard.press("Escape")
    wide(page)
    page.get_by_role("checkbox", name=re.compile("^Select: ")).first.check()
    wrong += judge(page, "selection")
    wide(page)
    for name in ("Assign", "Resolve", "Severity", "Link to incident", "Create incident"):
        page.get_by_role("toolbar").get_by_role("button", name=name).click()
        expect(page.locator(DIALOG)).to_be_visible()
        wrong += judge(page, f"many, {name}", DIALOG)
        wide(page)
        page.keyboard.press("Escape")
    assert not wrong, "\n".join(wrong)


def test_the_style_page(desk: Desk, client: Client, settings: Any) -> None:
    """It is there in debug only, which the running product is not: Django renders it, the product serves its files."""
    assert client.get("/style/").status_code == 404
    settings.DEBUG = True
    answer = client.get("/style/")
    assert answer.status_code == 200
    page = desk.sit(None)

    def fulfil(route: Route) -> None:
        route.fulfill(body=answer.content.decode(), headers=dict(answer.headers))

    page.route("**/style/", fulfil)
    page.goto("/style/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Style page")
    wrong = faults(page)
    assert not wrong, "\n".join(wrong)
