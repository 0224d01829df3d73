"""What a page weighs on the wire."""

from __future__ import annotations

import gzip
import re
from typing import Any

import httpx
from playwright.sync_api import Page

from tests.e2e.desk import Desk

PARTS = {"css": r"\.css$", "js": r"\.js$", "icons": r"\.svg$"}


def client_of(desk: Desk, username: str) -> httpx.Client:
    """Somebody's session without a browser."""
    state = desk.signed_in(username)
    cookies = {cookie["name"]: cookie["value"] for cookie in state["cookies"]}
    return httpx.Client(base_url=desk.url, cookies=cookies, timeout=30, trust_env=False)


def first_view(page: Page, client: httpx.Client, path: str) -> dict[str, int]:
    """Bytes of everything that a first visit loads: files as they are served compressed, HTML as a proxy sends it."""
    seen: set[str] = set()
    page.on("response", lambda response: seen.add(response.url.partition("#")[0]))
    page.goto(path)
    page.wait_for_load_state("networkidle")
    sizes: dict[str, int] = {}
    for url in sorted(seen):
        part = next((name for name, pattern in PARTS.items() if re.search(pattern, url)), "html")
        sizes[part] = sizes.get(part, 0) + (
            compressed(client, url) if part != "html" else zipped(client, url)
        )
    return sizes


def compressed(client: httpx.Client, url: str) -> int:
    """As it is served to who takes compressed answers."""
    with client.stream("GET", url, headers={"Accept-Encoding": "br, gzip"}) as answer:
        assert answer.status_code == 200, url
        return sum(len(chunk) for chunk in answer.iter_raw())


def zipped(client: httpx.Client, url: str, **kwargs: Any) -> int:
    """A page or fragment, gzipped."""
    answer = client.get(url, **kwargs)
    assert answer.status_code in {200, 204}, (answer.status_code, url)
    return len(gzip.compress(answer.content))
