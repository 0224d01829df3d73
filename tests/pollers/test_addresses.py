"""Whom pollers may ask, and what they put up with from whoever answers."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import pytest

from playbooks_engine.masking import Mask
from playbooks_engine.pollers import http as http_module
from playbooks_engine.pollers.addresses import check_url, resolve, why_refused
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import Deadline, Fixed, Http, retry_after


@pytest.mark.parametrize(
    "url",
    [
        "http://siem.example.com", "ftp://siem.example.com", "siem.example.com", "https://", "https://a@b.example",
        "https://u:p@b.example", "https://siem.example.com/?q=1", "https://siem.example.com/#x",
        "https://169.254.169.254", "https://[fe80::1]", "https://0.0.0.0", "https://127.0.0.1", "https://localhost",
        "https://[::1]", "https://[::ffff:169.254.169.254]", "https://[::ffff:127.0.0.1]", "https://100.100.100.200",
        "https://168.63.129.16", "https://[fd00:ec2::254]", "https://224.0.0.1", "https://[64:ff9b::a9fe:a9fe]",
        "https://[64:ff9b:1::a9fe:a9fe]", "https://[64:ff9b:1::7f00:1]", "https://[64:ff9b:1:a9fe:a9:fe00::]",
        "https://[64:ff9b:1:a9:fe:a9fe::]", "https://[64:ff9b:1:0:a9:fea9:fe00:0]", "https://[64:ff9b:1::]",
        "https://[2001:0:cb00:7107::5601:5601]", "https://[2001:0:a9fe:a9fe::f5fe:fdfc]",
        "https://[2002:a9fe:a9fe::1]", "https://[::]", "https://siem.example.com:x", "https://LOCALHOST./",
    ],
)  # fmt: skip
def test_urls_that_no_connector_may_have(url: str, settings: Any) -> None:
    settings.PULL_LOOPBACK = False
    with pytest.raises(ValueError):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://siem.example.com/", "https://10.1.2.3:9200", "https://[fd12::1]/elastic", "https://[2001:db8::1]",
        "https://[64:ff9b:1::a01:203]", "https://[64:ff9b:1:a01:2:300::]", "https://[2001:0:cb00:7107::f5fe:fdfc]",
    ],
)  # fmt: skip
def test_urls_of_one_s_own_network(url: str) -> None:
    assert check_url(url) == url.rstrip("/")


@pytest.mark.parametrize("name", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_names_are_looked_at_when_they_are_resolved(name: str, settings: Any) -> None:
    settings.PULL_LOOPBACK = False
    with pytest.raises(VendorError):
        resolve(name, 443)
    settings.PULL_LOOPBACK = True
    assert why_refused(ip_address("127.0.0.1")) is None


def test_without_tls_only_this_machine(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PULL_LOOPBACK = True
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: answer)
    assert resolve("siem.example.com", 443) == ["10.1.2.3"]
    with pytest.raises(VendorError, match="without TLS"):
        resolve("siem.example.com", 80, encrypted=False)
    answer.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80)))
    with pytest.raises(VendorError, match="link-local"):
        resolve("siem.example.com", 443)


class Strange(BaseHTTPRequestHandler):
    """Answers what the path says."""

    asked: list[str] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        status, headers, body = {
            "/redirect": (302, {"Location": "/json"}, b""),
            "/html": (200, {}, b"<html>"),
            "/json": (200, {}, b'{"a": 1}'),
            "/large": (200, {}, b" " * 3_000),
            "/says": (403, {}, b'{"error": {"message": "no canary-key-1 for you"}}'),
            "/busy": (429, {"Retry-After": "7"}, b""),
        }[self.path.partition("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def strange(settings: Any) -> Iterator[Http]:
    settings.PULL_LOOPBACK = True
    mask = Mask()
    mask.add("api_key", "canary-key-1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Strange) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        login = Fixed({"Authorization": "canary-key-1"})
        made = Http(base, tls=ssl.create_default_context(), mask=mask, login=login, deadline=Deadline(60))
        yield made
        made.close()
        server.shutdown()
        thread.join(5)


def test_answers(strange: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    assert strange.get("/json") == {"a": 1}
    assert strange.get(f"{strange.base}/json") == {"a": 1}
    for path, words in (("/redirect", "status 302"), ("/html", "no JSON"), ("/says", "for you")):
        with pytest.raises(VendorError, match=words) as refused:
            strange.get(path)
        assert "canary" not in str(refused.value)
    with pytest.raises(VendorError) as busy:
        strange.get("/busy")
    assert (busy.value.status, busy.value.retry_after) == (429, 7)
    monkeypatch.setattr(http_module, "MAX_ANSWER", 1_000)
    with pytest.raises(VendorError, match="more than"):
        strange.get("/large")


def test_a_next_page_elsewhere_is_not_followed(strange: Http) -> None:
    with_user = strange.base.replace("://", "://u:p@")
    for url in (
        "http://127.0.0.1:1/json", "https://evil.example/json", f"{strange.base}@evil.example/json", f"{with_user}/json",
        strange.base.replace("http://", "https://") + "/json", f"{strange.base}\\@evil.example/json", "http://[/json",
        f"http://127.0.0.1:{'9' * 9}/json",
    ):  # fmt: skip
        with pytest.raises(VendorError, match=r"another server|no address"):
            strange.get(url)


def test_a_server_is_the_same_one_however_it_is_written() -> None:
    """Microsoft's next pages name the port that nobody named; it gets as far as looking for the host."""
    made = Http(
        "https://vendor.invalid/base", tls=ssl.create_default_context(), mask=Mask(), login=Fixed({}),
        deadline=Deadline(60),
    )  # fmt: skip
    for url in ("https://vendor.invalid:443/a?b=c", "HTTPS://VENDOR.invalid/a", "https://Vendor.Invalid:443"):
        with pytest.raises(VendorError, match="cannot be resolved"):
            made.get(url)
    with pytest.raises(VendorError, match="another server"):
        made.get("https://vendor.invalid:80/a")
    made.close()


def test_nobody_is_asked_once_it_is_forbidden(strange: Http, settings: Any) -> None:
    settings.PULL_LOOPBACK = False
    Strange.asked.clear()
    with pytest.raises(VendorError, match="not asked"):
        strange.get("/json")
    assert Strange.asked == []


def test_no_proxy_of_the_environment(strange: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert strange.get("/json") == {"a": 1}


def test_retry_after() -> None:
    assert retry_after("5") == 5
    assert retry_after("-5") == 0
    assert retry_after("1e8") == 24 * 3600
    assert 50 < (retry_after(str(int(time.time()) + 60)) or 0) <= 60, "CrowdStrike names a time"
    later = (datetime.now(UTC) + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    found = retry_after(later)
    assert found is not None
    assert 60 < found <= 91
    for nonsense in (None, "", "soon", "nan"):
        assert retry_after(nonsense) is None
