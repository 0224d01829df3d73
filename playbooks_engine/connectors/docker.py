"""Docker: is the engine that the container playbooks use there?

Its address is the installation's (``OPENSOAR_DOCKER_URL``), never a connector's: who may edit connectors must not be
able to make this server ask arbitrary addresses, and a Docker socket is as good as root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings

if TYPE_CHECKING:
    from playbooks_engine.models import Connector

TIMEOUT = 5.0  # seconds, for each step of the conversation
MAX_ANSWER = 64 * 1024
SHOWN = {"Version": "version", "ApiVersion": "api_version", "Os": "os", "Arch": "arch"}


def look(connector: Connector) -> dict[str, Any]:
    """The engine's version, or :class:`OSError` saying why it cannot be told."""
    try:
        with _client(settings.DOCKER_URL) as client, client.stream("GET", "/version") as response:
            if response.status_code != 200:
                raise OSError(f"The Docker Engine answers with status {response.status_code}")
            told = _json(response)
    except httpx.HTTPError as error:
        raise OSError(f"The Docker Engine does not answer: {str(error) or type(error).__name__}") from None
    return {ours: str(told[theirs])[:100] for theirs, ours in SHOWN.items() if theirs in told}


def _client(url: str) -> httpx.Client:
    if not url:
        raise OSError("OPENSOAR_DOCKER_URL is not set")
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        base, transport = "http://docker", httpx.HTTPTransport(uds=parts.path)
    elif parts.scheme in {"http", "https"} and parts.hostname:
        base, transport = url, httpx.HTTPTransport()
    else:
        raise OSError("OPENSOAR_DOCKER_URL must be unix:///path/to/docker.sock or http(s)://host:port")
    # No proxy from the environment: the engine is on this machine or in the operator's network.
    return httpx.Client(base_url=base, transport=transport, timeout=TIMEOUT, trust_env=False)


def _json(response: httpx.Response) -> dict[str, Any]:
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise OSError("The Docker Engine says more than it should")
    try:
        told = httpx.Response(200, content=body).json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise OSError("What answers there is no Docker Engine")
    return told
