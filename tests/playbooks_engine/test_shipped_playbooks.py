"""The shipped playbooks do what they say, or say that they are not configured."""

import asyncio
import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from playbooks_engine.alert import Alert
from playbooks_engine.check_file import check
from playbooks_engine.loader import load

from .fake_run import EMPTY_HISTORY, FakeRun

DIRECTORY = Path(__file__).resolve().parents[2] / "playbooks"


@pytest.fixture(scope="module")
def registry():
    result = load([DIRECTORY])
    assert result.errors == []
    return result.registry


@pytest.fixture(autouse=True)
def not_configured(monkeypatch):
    monkeypatch.delenv("OPENSOAR_DOCKER_URL", raising=False)


def play(registry, name, fake=None, **fields):
    fake = fake or FakeRun()
    spec = registry.playbooks[name]
    alert = Alert({"id": fake.alert_id, "severity": "critical", **fields})

    async def go():
        with fake.current():
            return await spec.func(**spec.bind(alert, {"alert": alert}))

    return asyncio.run(go()), fake


def test_they_register_in_the_promised_order(registry):
    found = {spec.name: (spec.order, spec.trigger, spec.conditions.to_json()) for spec in registry.ordered()}
    assert found == {
        "escalate_critical_alert": (10, "webhook", {"severity": ["critical"]}),
        "preserve_container_state": (10, "webhook", {"tags": ["docker"]}),
        "restart_container": (20, "webhook", {"tags": ["docker"]}),
    }


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("[!_]*.py")), ids=lambda path: path.name)
def test_check_playbook_has_nothing_to_say(path, monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    assert check(path).findings == []


# --- escalate_critical_alert -------------------------------------------------------------------


def test_escalation_enriches_marks_and_comments(registry):
    seen = {**EMPTY_HISTORY, "by_determination": {"malicious": 2, "suspicious": 1}, "alerts": 3}
    host = {
        **EMPTY_HISTORY,
        "alerts": 4,
        "incidents": 1,
        "first_seen": "2026-05-01T08:00:00+00:00",
        "last_seen": "2026-05-02T08:00:00+00:00",
        "users": ["dana", "root"],
        "recent_incidents": [
            {"number": 7, "title": "Ransomware", "severity": "high", "status": "open"},
        ],
    }
    fake = FakeRun(answers={"ip_history": seen, "host_history": host})
    result, fake = play(registry, "escalate_critical_alert", fake, source_ip="8.8.8.8", hostname="web-1")
    assert result["status"] == "incident_ready"
    assert result["reputation"] == "malicious"
    assert result["host"]["stored"] is True
    assert {name for name, *_ in fake.actions} == {"lookup_ip_reputation", "preserve_host_context"}
    helpers = dict(fake.helpers)
    assert helpers["ip_history"] == {"ip": "8.8.8.8"}
    assert helpers["host_history"] == {"hostname": "web-1"}
    assert helpers["update_current_alert"]["status"] == "in_progress"
    assert helpers["update_current_alert"]["determination"] == "suspicious"
    context, summary = fake.comments
    assert "Host web-1 as OpenSOAR knows it: 4 other alert(s) in 90 days, 1 incident(s)." in context
    assert "Users seen on it: dana, root." in context
    assert "Incident #7 (high, open): Ransomware" in context
    assert fake.helpers[-1][1]["text"] == summary
    assert "8.8.8.8 (global): malicious, 2 earlier alert(s)" in summary
    assert "Create or link an incident from the alert detail page." in summary


def test_escalation_without_address_or_host(registry):
    result, fake = play(registry, "escalate_critical_alert")
    assert result == {
        "status": "incident_ready",
        "reputation": "unknown",
        "host": {"hostname": None, "stored": False, "reason": "the alert names no host"},
    }
    assert [name for name, _ in fake.helpers] == ["update_current_alert", "add_current_alert_comment"]
    assert "nothing known (the alert names no source address)" in fake.comments[0]


def test_escalation_with_an_address_that_is_none(registry):
    result, fake = play(registry, "escalate_critical_alert", source_ip="999.1.1.1")
    assert result["reputation"] == "unknown"
    assert "not an IP address" in fake.comments[0]


@pytest.mark.parametrize(
    ("ip", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("10.1.2.3", "private"),
        ("fd00::1", "private"),
        ("8.8.8.8", "global"),
        ("2001:4860:4860::8888", "global"),
    ],
)
def test_address_classes(registry, ip, kind):
    lookup = registry.playbooks["escalate_critical_alert"].func.__globals__["lookup_ip_reputation"]

    async def go():
        with FakeRun().current():
            return await lookup(ip)

    assert asyncio.run(go())["address_class"] == kind


# --- containers --------------------------------------------------------------------------------


class Docker(BaseHTTPRequestHandler):
    """The four answers of the Docker Engine API that the playbooks need, for one container."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "test"

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def answer(self, method):
        engine = self.server.engine
        parts = urlsplit(self.path)
        engine.requests.append((method, parts.path, parse_qs(parts.query)))
        if engine.failure:
            return self.send(*engine.failure)
        _, collection, name, verb = parts.path.split("/")
        if collection != "containers" or name not in ("web-1", engine.container["Id"]):
            return self.send(404, b'{"message": "No such container"}')
        if verb == "json":
            return self.send(200, json.dumps(engine.container).encode())
        if verb == "logs":
            return self.send(200, engine.log)
        engine.container["State"].update(engine.after_restart)
        return self.send(204, b"")

    def send(self, status, body):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Quiet:
    """A client that hangs up early is no news."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class HttpServer(Quiet, ThreadingHTTPServer):
    pass


class UnixServer(Quiet, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass


class Engine:
    def __init__(self, server):
        self.requests = []
        self.failure = None
        self.after_restart = {"Running": True, "Status": "running", "StartedAt": "2026-05-02T00:00:00Z"}
        self.log = frame(1, b"2026-05-01 started\n") + frame(2, b"2026-05-01 \xff oops\0\n")
        self.container = {
            "Id": "ab" * 32,
            "Name": "/web-1",
            "Image": "sha256:feed",
            "Path": "nginx",
            "Args": ["-g", "daemon off;"],
            "RestartCount": 2,
            "Config": {"Image": "nginx:1.27", "Tty": False, "Env": ["TOKEN=very-secret"]},
            "State": {
                "Status": "exited",
                "Running": False,
                "ExitCode": 137,
                "StartedAt": "2026-05-01T00:00:00Z",
            },
            "Mounts": [{"Type": "bind", "Source": "/data", "Destination": "/data", "RW": True}],
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        }
        server.engine = self


def frame(stream, text):
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4) + text


@pytest.fixture(params=["http", "unix"])
def docker(request, tmp_path, monkeypatch):
    if request.param == "http":
        server = HttpServer(("127.0.0.1", 0), Docker)
        url = f"http://127.0.0.1:{server.server_port}"
    else:
        server = UnixServer(str(tmp_path / "docker.sock"), Docker)
        url = f"unix://{tmp_path}/docker.sock"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("OPENSOAR_DOCKER_URL", url)
    yield Engine(server)
    server.shutdown()
    thread.join()
    server.server_close()


BOTH = ["preserve_container_state", "restart_container"]


@pytest.mark.parametrize("name", BOTH)
def test_without_docker_they_say_so_and_claim_nothing(registry, name):
    result, fake = play(registry, name, raw_payload={"container": {"name": "web-1"}})
    assert result == {"status": "not_configured"}
    [comment] = fake.comments
    assert "not" in comment.lower()
    assert "OPENSOAR_DOCKER_URL is not set" in comment
    # Also where the alert would not have named a container.
    assert play(registry, name)[0] == {"status": "not_configured"}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    "container",
    [
        "../../images/prune",
        "a/b",
        "web 1",
        "",
        "-x",
        "web-1?force=1",
        "a\r\nHost: evil",
        "x" * 200,
        "é",
        5,
        None,
    ],
)
def test_what_is_no_container_never_reaches_the_url(registry, docker, name, container):
    result, fake = play(registry, name, raw_payload={"container": {"name": container}})
    assert result == {"status": "no_container"}
    assert docker.requests == []
    assert len(fake.comments) == 1


def test_evidence_is_preserved(registry, docker):
    result, fake = play(registry, "preserve_container_state", raw_payload={"container_name": "web-1"})
    assert result == {"status": "preserved", "container": "web-1", "id": "ab" * 32}
    [comment] = fake.comments
    assert "State of container web-1 preserved: exited, image nginx:1.27" in comment
    assert "the last 2 log lines are kept" in comment
    metadata = fake.helpers[0][1]["metadata"]["container"]
    assert metadata["state"]["ExitCode"] == 137
    assert metadata["addresses"] == {"bridge": "172.17.0.2"}
    assert "very-secret" not in json.dumps(fake.helpers)
    assert [request[:2] for request in docker.requests] == [
        ("GET", "/containers/web-1/json"),
        ("GET", "/containers/web-1/logs"),
    ]


def collected(registry, container="web-1"):
    function = registry.playbooks["preserve_container_state"].func.__globals__["collect_container_state"]
    return asyncio.run(function(container))


def test_the_log_is_unframed_storable_and_bounded(registry, docker):
    evidence = collected(registry)
    assert evidence["log"] == "2026-05-01 started\n2026-05-01 \ufffd oops\ufffd\n"
    assert evidence["log_truncated"] is False
    assert "very-secret" not in json.dumps(evidence)
    docker.log = b"".join(frame(1, b"x" * 999 + b"\n") for _ in range(200)) + frame(1, b"last\n")
    evidence = collected(registry)
    assert len(evidence["log"]) == 64 * 1024
    assert evidence["log"].endswith("last\n")
    assert evidence["log_truncated"] is True
    docker.container["Config"]["Tty"] = True
    docker.log = b"plain text of a terminal\n"
    assert collected(registry)["log"] == "plain text of a terminal\n"


def test_a_container_is_restarted_and_looked_at(registry, docker):
    result, fake = play(registry, "restart_container", raw_payload={"container.id": "ab" * 32})
    assert result == {"status": "restarted", "name": "web-1"}
    assert fake.comments == ["Container web-1 restarted; running since 2026-05-02T00:00:00Z."]
    assert docker.requests[0] == ("POST", f"/containers/{'ab' * 32}/restart", {"t": ["10"]})


def test_a_container_that_does_not_come_up_is_no_success(registry, docker):
    docker.after_restart = {"Running": False, "Status": "exited", "ExitCode": 1}
    result, fake = play(registry, "restart_container", raw_payload={"container": "/web-1"})
    assert result == {"status": "not_running", "name": "web-1"}
    assert fake.comments == ["Container web-1 was restarted but does not run: exited, exit code 1."]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ((404, b'{"message": "No such container"}'), "answered 404"),
        ((500, b"boom"), "answered 500: boom"),
        ((302, b""), "answered 302"),
        ((200, b"[1, 2]"), "not a JSON object"),
        ((200, b"\xff"), "not a JSON object"),
    ],
)
def test_docker_s_errors_fail_the_run_with_a_comment(registry, docker, name, failure, words):
    docker.failure = failure
    fake = FakeRun()
    with pytest.raises(RuntimeError, match=words):
        play(registry, name, fake, raw_payload={"container": "web-1"})
    [comment] = fake.comments
    assert words in comment


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "unix:///nowhere/docker.sock"])
def test_an_engine_that_is_away_fails_the_run(registry, monkeypatch, url):
    monkeypatch.setenv("OPENSOAR_DOCKER_URL", url)
    with pytest.raises(RuntimeError, match="did not answer"):
        play(registry, "restart_container", raw_payload={"container": "web-1"})


@pytest.mark.parametrize("url", ["ftp://x", "docker.sock", "unix://", "http://"])
def test_a_url_of_another_kind_is_named(registry, monkeypatch, url):
    monkeypatch.setenv("OPENSOAR_DOCKER_URL", url)
    with pytest.raises(RuntimeError, match="OPENSOAR_DOCKER_URL must be"):
        play(registry, "preserve_container_state", raw_payload={"container": "web-1"})


def test_evidence_that_fails_stops_the_sequence_before_the_restart(registry):
    assert registry.playbooks["preserve_container_state"].on_failure == "stop"


@pytest.mark.parametrize(
    "payload",
    [
        {"container": "web-1"},
        {"container": {"id": "web-1", "name": "other"}},
        {"container.id": "web-1"},
        {"docker": {"container": {"name": "/web-1"}}},
        {"output_fields": {"container.id": "web-1"}},
        {"labels": {"container": "web-1"}},
    ],
)
def test_where_alerts_name_their_container(registry, payload):
    find = registry.playbooks["restart_container"].func.__globals__["named_in"]
    assert find(Alert({"raw_payload": payload})) == "web-1"


@pytest.mark.parametrize("payload", [None, {}, [], "text", {"container": {"name": ["web-1"]}}])
def test_payloads_without_one(registry, payload):
    find = registry.playbooks["restart_container"].func.__globals__["named_in"]
    assert find(Alert({"raw_payload": payload})) is None
