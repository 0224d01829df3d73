"""The few calls of the Docker Engine API that the container playbooks make.

``OPENSOAR_DOCKER_URL`` names the engine: ``unix:///var/run/docker.sock`` or
``http(s)://host:port``. Without it nothing here is called.
"""

import hashlib
import os
import re
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

LOG_LINES = 500
LOG_BYTES = 64 * 1024  # what is kept: the end
MAX_LOG_READ = 4 * 1024 * 1024
# Docker's own rule for names; an id is hexadecimal, so it fits as well. The reference becomes part
# of a URL and comes from an alert, which an attacker may have written.
REFERENCE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
# Where alerts of common tools name the container, ids before names.
PLACES = (
    "container.id",
    "container_id",
    "docker.container.id",
    "docker.container_id",
    "output_fields.container.id",
    "kubernetes.docker_id",
    "container.name",
    "container_name",
    "docker.container.name",
    "docker.container_name",
    "output_fields.container.name",
    "labels.container_name",
    "labels.container",
    "container",
)


class DockerError(RuntimeError):
    """The Docker Engine could not do what was asked."""


def docker_url():
    return os.environ.get("OPENSOAR_DOCKER_URL", "").strip()


def named_in(alert):
    """Return what an alert names as its container, unchecked; None where it names nothing."""
    payload = alert.get("raw_payload") or {}
    for place in PLACES:
        value = find(payload, place.split("."))
        if isinstance(value, str) and value.strip():
            return value.strip().removeprefix("/")[:300]  # the API lists names with a slash
    return None


def obstacle(reference):
    """Return why nothing can be done with a container, as an action's result; None if it can."""
    if not docker_url():
        return {"status": "not_configured", "reason": "OPENSOAR_DOCKER_URL is not set"}
    if reference is None:
        return {"status": "no_container", "reason": "the alert's payload names no container"}
    if not REFERENCE.fullmatch(reference):
        reason = f"the alert names {reference[:80]!r}, which is no container name or id"
        return {"status": "no_container", "reason": reason}
    return None


def find(value, steps):
    """Walk into a payload; a flat key with dots counts as the steps it spells."""
    if not steps:
        return value
    if isinstance(value, dict):
        for length in range(len(steps), 0, -1):
            key = ".".join(steps[:length])
            if key in value and (found := find(value[key], steps[length:])) is not None:
                return found
    return None


async def collect(container):
    """Return state and the end of the log of a container, in JSON types.

    Environment variables and labels are left out: they tend to hold secrets.
    """
    async with engine() as client:
        details = await request_json(client, "GET", f"/containers/{container}/json")
        tty = bool((details.get("Config") or {}).get("Tty"))
        log, truncated = await read_log(client, container, tty)
    state = details.get("State") or {}
    networks = (details.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "id": details.get("Id"),
        "name": str(details.get("Name", "")).removeprefix("/"),
        "image": (details.get("Config") or {}).get("Image"),
        "image_id": details.get("Image"),
        "created": details.get("Created"),
        "restart_count": details.get("RestartCount"),
        "command": [details.get("Path"), *(details.get("Args") or [])],
        "state": {
            key: state.get(key) for key in ("Status", "Running", "ExitCode", "OOMKilled", "Pid", "Error")
        },
        "started_at": state.get("StartedAt"),
        "finished_at": state.get("FinishedAt"),
        "mounts": [
            {key: mount.get(key) for key in ("Type", "Source", "Destination", "RW")}
            for mount in details.get("Mounts") or []
        ],
        "addresses": {name: (net or {}).get("IPAddress") for name, net in networks.items()},
        "log": log,
        "log_truncated": truncated,
        "log_sha256": hashlib.sha256(log.encode()).hexdigest(),
    }


async def restart(container, grace_seconds=10):
    """Restart a container and return its state afterwards."""
    async with engine(timeout=grace_seconds + 30) as client:
        path = f"/containers/{container}/restart"
        await request(client, "POST", path, params={"t": grace_seconds})
        details = await request_json(client, "GET", f"/containers/{container}/json")
    state = details.get("State") or {}
    return {
        "status": "restarted" if state.get("Running") else "not_running",
        "id": details.get("Id"),
        "name": str(details.get("Name", "")).removeprefix("/"),
        "state": state.get("Status"),
        "started_at": state.get("StartedAt"),
        "exit_code": state.get("ExitCode"),
    }


@asynccontextmanager
async def engine(timeout=20):
    """Open a client for the configured engine; its failures become `DockerError`."""
    url = docker_url()
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        base, transport = "http://docker", httpx.AsyncHTTPTransport(uds=parts.path)
    elif parts.scheme in ("http", "https") and parts.hostname:
        base, transport = url, httpx.AsyncHTTPTransport()
    else:
        raise DockerError("OPENSOAR_DOCKER_URL must be unix:///path/to/docker.sock or http(s)://host:port")
    # No proxy from the environment: the engine is on this machine or in the operator's network.
    async with httpx.AsyncClient(
        base_url=base, transport=transport, timeout=timeout, trust_env=False
    ) as client:
        try:
            yield client
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise DockerError(f"the Docker Engine did not answer: {reason}") from error


async def request(client, method, path, **options):
    response = await client.request(method, path, **options)
    check(response.status_code, response.content)
    return response


async def request_json(client, method, path):
    response = await request(client, method, path)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise DockerError("the Docker Engine answered something that is not a JSON object")
    return body


def check(status, content):
    if status >= 300:
        detail = content[:300].decode("utf-8", "replace").strip()
        raise DockerError(f"the Docker Engine answered {status}: {detail}")


async def read_log(client, container, tty):
    """Return the end of the log as text, and whether something before it was left out."""
    params = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": LOG_LINES}
    path = f"/containers/{container}/logs"
    raw = bytearray()
    async with client.stream("GET", path, params=params) as response:
        if response.status_code >= 300:
            check(response.status_code, await response.aread())
        async for chunk in response.aiter_bytes():
            raw += chunk
            if len(raw) > MAX_LOG_READ:
                break
    truncated = len(raw) > MAX_LOG_READ
    text = bytes(raw) if tty else without_frames(bytes(raw))
    truncated = truncated or len(text) > LOG_BYTES
    # A null character cannot be stored in a JSON column.
    return text[-LOG_BYTES:].decode("utf-8", "replace").replace("\0", "\ufffd"), truncated


def without_frames(raw):
    """Undo the engine's framing of stdout and stderr: 8 bytes, of which 4 are the length."""
    lines, position = [], 0
    while position + 8 <= len(raw):
        length = int.from_bytes(raw[position + 4 : position + 8])
        lines.append(raw[position + 8 : position + 8 + length])
        position += 8 + length
    return b"".join(lines)
