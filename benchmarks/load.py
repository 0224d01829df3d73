"""A closed-loop load client: N connections, each sends its next request when the last is answered.

Run as a program, in a process of its own: ``python -m benchmarks.load PORT PATH TOKEN CONNECTIONS SECONDS [LINES]``;
prints one JSON object. With LINES every request is NDJSON of so many alerts.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

_DESCRIPTION = "PowerShell started by a mail attachment fetched a script from the internet and wrote it to the temp folder. "
_DICE = random.Random()  # from the system's entropy: no two clients send the same


def fields(dice: random.Random) -> dict[str, Any]:
    """About 1.2 kB of JSON with two addresses and a hash; unique, or the same again from dice of the same seed."""
    octet = dice.randrange
    return {
        "source": "edr",
        "source_id": f"{dice.getrandbits(128):032x}",
        "rule_name": "Suspicious PowerShell download on a workstation",
        "severity": "low",
        "description": _DESCRIPTION * 2,
        "timestamp": "2026-01-02T03:04:05+00:00",
        "source_ip": f"10.0.{octet(78)}.{octet(256)}",
        "dest_ip": f"{octet(1, 224)}.{octet(256)}.{octet(256)}.{octet(1, 255)}",
        "hostname": f"ws-{octet(4000)}",
        "user": {"name": f"user{octet(900)}", "department": "finance"},
        "process": {
            "name": "powershell.exe",
            "pid": octet(65_000),
            "command_line": "powershell.exe -NoP -W Hidden -Enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQA",
            "parent": {"name": "winword.exe", "pid": octet(65_000)},
            "sha256": f"{dice.getrandbits(256):064x}",
        },
        "network": {
            "protocol": "tcp",
            "port": 443,
            "bytes_out": octet(90_000),
            "bytes_in": octet(900_000),
        },
        "rule": {"id": f"R-{octet(200)}", "version": 7, "mitre": ["T1059.001", "T1105"]},
        "tags": ["endpoint", "powershell", dice.choice(["phishing", "malware"])],
        "agent": {"version": "8.14.2", "os": "Windows 11 23H2"},
    }


def alert() -> bytes:
    """A unique one, as it is sent."""
    return json.dumps(fields(_DICE)).encode()


def request(path: str, token: str, lines: int) -> bytes:
    """One HTTP request of one alert, or of many lines."""
    body = b"\n".join(alert() for _ in range(lines or 1))
    kind = "application/x-ndjson" if lines else "application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {token}\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def connection(port: int, make: object, until: float, seen: list[tuple[float, float, int]]) -> None:
    """Requests one after the other; notes when each ended, how long it took and its status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
    while time.perf_counter() < until:
        data = make()  # type: ignore[operator]
        start = time.perf_counter()
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        at = head.index(b"content-length:") + 15
        await reader.readexactly(int(head[at : head.index(b"\r", at)]))
        end = time.perf_counter()
        seen.append((end, end - start, int(head[9:12])))
    writer.close()


async def load(
    port: int, path: str, token: str, connections: int, seconds: float, lines: int
) -> dict[str, object]:
    """Load for ``seconds`` after two of warming up."""
    begin = time.perf_counter() + 2
    until = begin + seconds
    seen: list[tuple[float, float, int]] = []
    await asyncio.gather(
        *(connection(port, lambda: request(path, token, lines), until, seen) for _ in range(connections))
    )
    counted = [one for one in seen if begin <= one[0] <= until]
    times = sorted(one[1] * 1000 for one in counted)
    return {
        "alerts_per_second": round(len(counted) * (lines or 1) / seconds, 1),
        "p50_ms": round(times[len(times) // 2], 2) if times else None,
        "p99_ms": round(times[int(len(times) * 0.99)], 2) if times else None,
        "failed": sum(one[2] >= 300 for one in counted),
    }


if __name__ == "__main__":
    _port, _path, _token, _connections, _seconds, *_lines = sys.argv[1:]
    _result = load(
        int(_port), _path, _token, int(_connections), float(_seconds), int(_lines[0]) if _lines else 0
    )
    print(json.dumps(asyncio.run(_result)))
