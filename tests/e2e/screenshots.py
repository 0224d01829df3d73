"""``make screenshots``: every page of the demo in both themes, wide and on a phone, as docs/images/<page>-<width>-<theme>.png.

The README's are kept in the repository, the others are for looking at (docs/images/.gitignore says which is which).
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.axe import looks
from tests.e2e.desk import DemoProduct, Desk, find_chromium
from tests.e2e.places import find_places

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
HEIGHT = 800
# Dialogs over the page that the demo's best story is on: (picture, page, what opens it).
DIALOGS = [
    ("dialog-escalate", "alert-new", "Escalate"),
    ("dialog-resolve", "alert-new", "Resolve"),
    ("dialog-raw", "alert", "Raw"),
    ("dialog-handoff", "incident-investigating", "Handoff note"),
    ("dialog-link", "incident-investigating", "Link alert"),
    ("dialog-observables", "incident-investigating", "Add observables"),
    ("dialog-close", "incident-investigating", "Close incident"),
    ("dialog-run", "incident-investigating", "Run playbook"),
]


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with DemoProduct() as product, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        desk = Desk(product, browser)
        pages = {**find_places(desk).pages(), "queue": "/alerts/"}
        page = desk.sit(None)
        page.goto("/")
        take(page, "sign-in")
        page = desk.sit("priya")
        for name, path in pages.items():
            page.goto(path)
            take(page, name)
        for name, under, opener in DIALOGS:
            page.goto(pages[under])
            page.locator("main").get_by_role("link", name=re.compile(f"^{opener}")).first.click()
            expect(page.get_by_role("dialog")).to_be_visible()
            take(page, name)
        desk.leave()
        browser.close()


def take(page: Page, name: str) -> None:
    """What a person sees without scrolling, in every look."""
    expect(page.locator(".htmx-request, .skel")).to_have_count(0)
    for look in looks(page):
        theme, width = look.split(", ")
        page.set_viewport_size({"width": int(width), "height": HEIGHT})
        page.screenshot(path=IMAGES / f"{name}-{width}-{theme}.png")
    print(name)


if __name__ == "__main__":
    main()
