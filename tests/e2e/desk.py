"""The product with its demo, and people who sit before it in Chromium. Every page is watched for what must not happen."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect

from tests.product import RunningProduct

PATIENCE = 20.0  # seconds: a limit for waits on a busy machine, never a claim about speed
WIDE, PHONE = (1280, 900), (390, 844)
DEMO_PLAYBOOKS = Path(__file__).resolve().parents[2] / "opensoar" / "demo" / "playbooks"
PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"

# Runs by hand and waits between its two steps until the test says go on.
GATED = """
import asyncio
from pathlib import Path
from opensoar import action, playbook

@action()
async def look():
    return {{"looked": True}}

@action(timeout=60)
async def wait_for_the_test():
    while not Path({gate!r}).exists():
        await asyncio.sleep(0.05)
    return {{"waited": True}}

@playbook(order=90, description="Waits until the test says go on")
async def gated(alert):
    await look()
    return await wait_for_the_test()
"""

expect.set_options(timeout=PATIENCE * 1000)


class DemoProduct(RunningProduct):
    """The product with the demo's week, the shipped playbooks and one that the tests hold back."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = self.root / "go-on"
        folder = self.root / "playbooks"
        folder.mkdir(mode=0o755)
        (folder / "gated.py").write_text(GATED.format(gate=str(self.gate)))
        self.extra["PLAYBOOK_DIRS"] = os.pathsep.join(map(str, (PLAYBOOKS, folder)))

    def command(self) -> list[str]:
        return [*super().command(), "--demo"]


def find_chromium() -> str:
    """The installed browser; CHROMIUM names another one."""
    for name in (os.environ.get("CHROMIUM") or "chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise AssertionError(
        "no Chromium was found; `make dev` installs it, CHROMIUM=/path/to/it names another one"
    )


class Desk:
    """What the tests do from outside: send alerts, sit people down, ask the API."""

    def __init__(self, product: DemoProduct, browser: Browser):
        self.product, self.browser = product, browser
        self.url = product.url
        self._cookies: dict[str, Any] = {}
        self._open: list[tuple[BrowserContext, list[str]]] = []

    # --- people ------------------------------------------------------------------------------------------------

    def password(self, username: str) -> str:
        name = "OPENSOAR_ADMIN_PASSWORD" if username == "admin" else "OPENSOAR_DEMO_PASSWORD"
        return self.product.credentials[name]

    def sit(
        self,
        username: str | None = "priya",
        *,
        js: bool = True,
        size: tuple[int, int] = WIDE,
        theme: str = "light",
    ) -> Page:
        """A browser of one's own, signed in (``None``: not); whatever goes wrong in it fails the test."""
        state = self.signed_in(username) if username else None
        context = self.browser.new_context(
            base_url=self.url,
            java_script_enabled=js,
            storage_state=state,
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE * 1000)
        problems: list[str] = []
        watch(context, self.url, problems)
        self._open.append((context, problems))
        return context.new_page()

    def signed_in(self, username: str) -> Any:
        """The cookies of somebody who signed in by the page; once for all tests."""
        if username not in self._cookies:
            context = self.browser.new_context(base_url=self.url)
            page = context.new_page()
            sign_in(page, username, self.password(username))
            self._cookies[username] = context.storage_state()
            context.close()
        return self._cookies[username]

    def forget(self, username: str) -> None:
        """The next one who sits down under that name signs in anew."""
        self._cookies.pop(username, None)

    def expect_problem(self, page: Page, pattern: str) -> None:
        """Wait until what must usually not happen has happened, and take it off the list."""
        problems = next(found for context, found in self._open if context is page.context)
        deadline = time.monotonic() + PATIENCE
        while not any(re.search(pattern, problem) for problem in problems):
            assert time.monotonic() < deadline, f"nothing matched {pattern!r}: {problems}"
            page.wait_for_timeout(20)
        problems[:] = [problem for problem in problems if not re.search(pattern, problem)]

    def leave(self) -> list[str]:
        """Everybody goes home; what went wrong meanwhile."""
        found = []
        for context, problems in self._open:
            context.close()
            found += problems
        self._open = []
        return found

    # --- alerts and the API ------------------------------------------------------------------------------------

    def send(self, title: str, **fields: Any) -> str:
        """An alert by the webhook; its id."""
        with self.product.client("OPENSOAR_INGEST_TOKEN") as client:
            body = {"title": title, "severity": "medium", "source": "e2e", **fields}
            answer = client.post("/api/v1/webhooks/alerts", json=body)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["alert_id"])

    def api(self, path: str) -> Any:
        with self.product.client() as client:
            answer = client.get(f"/api/v1/{path}")
            assert answer.status_code == 200, answer.text
            return answer.json()

    def open_incident(self, title: str) -> dict[str, Any]:
        """An incident of one's own house, opened by a script."""
        with self.product.client() as client:
            answer = client.post("/api/v1/incidents", json={"title": title})
            assert answer.status_code == 201, answer.text
            found: dict[str, Any] = answer.json()
            return found

    def settled(self, alert: str) -> None:
        """Wait until every run on the alert has ended."""
        eventually(lambda: all(run["status"] not in {"pending", "running"} for run in self._runs(alert)))

    def _runs(self, alert: str) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.api(f"alerts/{alert}/runs")["runs"]
        return runs


def sign_in(page: Page, username: str, password: str) -> None:
    """By the page, as everybody does."""
    page.goto("/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/alerts/")


def watch(context: BrowserContext, url: str, problems: list[str]) -> None:
    """Note console errors (Chromium reports CSP violations there), failed answers and requests to other hosts."""
    ours = urlsplit(url).netloc

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            problems.append(f"console {message.type}: {message.text} {message.location.get('url', '')}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            problems.append(f"{response.status}: {response.request.method} {response.url}")

    def on_request(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != ours:
            problems.append(f"foreign request: {request.url}")

    context.on("console", on_console)
    context.on("response", on_response)
    context.on("request", on_request)
    context.on("weberror", lambda error: problems.append(f"exception: {error.error}"))


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What ``condition`` says once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s"
        time.sleep(0.05)
    return found


def unique(word: str) -> str:
    """A name that nothing else in the database has."""
    return f"{word}-{uuid.uuid4().hex[:6].upper()}"
