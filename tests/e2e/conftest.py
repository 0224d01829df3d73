"""One product and one browser for all of these tests; each test seats its own people."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.desk import DemoProduct, Desk, find_chromium


@pytest.fixture(scope="package")
def product() -> Iterator[DemoProduct]:
    with DemoProduct() as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while Playwright's loop is there, Django takes this thread for an asynchronous one."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-extensions"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def seats(product: DemoProduct, browser: Browser) -> Desk:
    return Desk(product, browser)


@pytest.fixture
def desk(seats: Desk) -> Iterator[Desk]:
    """The desk for one test; nothing may have gone wrong in any of its browsers."""
    yield seats
    assert seats.leave() == []
