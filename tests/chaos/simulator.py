"""The world outside: takes calls over a socket, keeps its own ledger of them, and misbehaves by a seed.

One JSON line in, one out, a connection per call. The ledger is a file that only this process writes, so nothing of
the engine's own tables has a say in what really happened: ``arrive`` is a call that reached the target, ``effect``
what it changed there, ``start`` a playbook's first line (a datagram; how lives and replays are counted).
``python -m tests.chaos.simulator DIRECTORY SEED FAULTS``; FAULTS is the share of calls that something happens to.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import marshal
import os
import random
import socket
import sys
import time
from pathlib import Path
from typing import Any

# What may happen to a call, and how often among those that something happens to.
MISHAPS = {"delay": 30, "lost": 25, "500": 15, "429": 15, "hang": 5, "hang_done": 5, "crash": 1}
HANG_SECONDS = 20.0
LATENCY_SECONDS = (
    0.5  # an answer takes up to this; most of a run is waiting, so most kills hit calls under way
)


class Simulator:
    """Its ledger, and what it did per label so far."""

    def __init__(self, directory: Path, seed: str, faults: float) -> None:
        self.directory, self.seed, self.faults = directory, seed, faults
        path = directory / "ledger"
        self.arrivals: dict[str, int] = {}
        self.effects: dict[str, dict[str, Any]] = {}
        if (state := directory / "state").exists():  # it crashed: what it did is done
            self.arrivals, self.effects = marshal.loads(state.read_bytes())
        self.book = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, kind: str, **entry: Any) -> dict[str, Any]:
        """Write a line; it survives this process, as what was changed out there would."""
        entry |= {"kind": kind, "at": time.time()}
        os.write(self.book, json.dumps(entry).encode() + b"\n")
        self._count(entry)
        return entry

    def _count(self, entry: dict[str, Any]) -> None:
        if entry["kind"] == "arrive":
            self.arrivals[entry["label"]] = self.arrivals.get(entry["label"], 0) + 1
        elif entry["kind"] == "effect":
            self.effects[entry["label"]] = entry

    def mishap(self, call: dict[str, Any]) -> str:
        """The same seed, label and arrival always meet the same mishap."""
        if forced := call.get("mishap"):
            return str(forced) if self.arrivals[call["label"]] <= call.get("times", 1) else ""
        text = f"{self.seed} {call['label']} {self.arrivals[call['label']]}"
        dice = random.Random(hashlib.sha256(text.encode()).digest())
        if dice.random() >= self.faults:
            return ""
        return dice.choices(list(MISHAPS), list(MISHAPS.values()))[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call."""
        with contextlib.suppress(ConnectionError):
            if line := await reader.readline():
                answer = await self.answer(json.loads(line))
                if answer is not None:
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        writer.close()

    async def answer(self, call: dict[str, Any]) -> dict[str, Any] | None:
        """What the caller hears; None: the connection closes without a word."""
        label = call["label"]
        if call["action"] == "ask":
            return {"status": 200, "effect": self.effects.get(label)}
        arrived = self.note("arrive", **call)["at"]
        mishap = self.mishap(call)
        if mishap in ("500", "429"):
            return {"status": int(mishap)}
        if mishap == "hang":
            await asyncio.sleep(HANG_SECONDS)
            return None
        if mishap == "delay":
            await asyncio.sleep(random.uniform(0.05, 0.3))
        # Deliberately no two effects have the same coin: a playbook that branches on it must remember it.
        effect = self.note("effect", **call, arrived=arrived, coin=random.randrange(1_000_000))
        if mishap == "crash":
            (self.directory / "state").write_bytes(marshal.dumps((self.arrivals, self.effects)))
            os.execv(sys.executable, [sys.executable, "-m", "tests.chaos.simulator", *sys.argv[1:]])
        if mishap == "hang_done":
            await asyncio.sleep(HANG_SECONDS)
        if mishap in ("lost", "hang_done"):
            return None
        if "mishap" not in call:
            await asyncio.sleep(random.uniform(0.02, LATENCY_SECONDS))
        return {"status": 200, "label": label, "coin": effect["coin"]}

    def heard(self, datagrams: socket.socket) -> None:
        """A playbook began."""
        self.note("start", **json.loads(datagrams.recv(2000)))


async def main(directory: Path, seed: str, faults: float) -> None:
    simulator = Simulator(directory, seed, faults)
    for name in ("calls", "starts"):
        (directory / name).unlink(missing_ok=True)
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(str(directory / "starts"))
    asyncio.get_running_loop().add_reader(datagrams, simulator.heard, datagrams)
    server = await asyncio.start_unix_server(simulator.serve, directory / "calls", backlog=1000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
