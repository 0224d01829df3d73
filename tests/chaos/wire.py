"""How playbooks of the chaos tests reach the simulator: real calls over a socket, asynchronous or blocking."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from typing import Any

from opensoar import idempotency_key

DIRECTORY = os.environ.get("CHAOS_DIR", "")
CONNECT_SECONDS = 5.0  # the simulator may be on its way up again


class Refused(Exception):
    """It answered that it did nothing (429, 500)."""


def _request(action: str, label: str, more: dict[str, Any]) -> bytes:
    call = {"action": action, "label": label, "pid": os.getpid(), "began": time.time(), **more}
    if action != "ask":
        call["key"] = idempotency_key()
    return json.dumps(call).encode() + b"\n"


def _answer(line: bytes) -> dict[str, Any]:
    if not line:
        raise ConnectionResetError("the answer was lost")
    answer: dict[str, Any] = json.loads(line)
    if answer.pop("status") != 200:
        raise Refused("refused")
    return answer


async def send(action: str, label: str, **more: Any) -> dict[str, Any]:
    """Call the target."""
    request = _request(action, label, more)
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(f"{DIRECTORY}/calls")
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
    try:
        writer.write(request)
        return _answer(await reader.readline())
    finally:
        writer.close()


def send_blocking(action: str, label: str, **more: Any) -> dict[str, Any]:
    """The same for a thread."""
    request = _request(action, label, more)
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(f"{DIRECTORY}/calls")
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            client.settimeout(30)
            client.sendall(request)
            return _answer(client.makefile("rb").readline())


def started(source_id: str, playbook: str) -> None:
    """A playbook's first line: tells how often it was begun. Never waits, never fails."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        entry = {"source_id": source_id, "playbook": playbook, "pid": os.getpid()}
        line.sendto(json.dumps(entry).encode(), f"{DIRECTORY}/starts")
