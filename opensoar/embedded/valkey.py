"""The embedded Valkey: broker and nothing that must survive, on a private socket with a password."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from opensoar.embedded.layout import Layout
from opensoar.embedded.process import Command
from opensoar.embedded.service_user import ServiceUser, own


@dataclass(frozen=True, slots=True)
class Valkey:
    """One Valkey server; it writes nothing to disk, since every message is a hint to look into the database."""

    layout: Layout
    program: Path
    user: ServiceUser | None
    sockets: Path
    name: str = "valkey"

    @property
    def url(self) -> str:
        return f"unix://:{quote(self._password, safe='')}@{self._socket}?db=0"

    def prepare(self) -> None:
        own(self.user, self.layout.valkey)

    def command(self) -> Command:
        config = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "requirepass": self._password,
            "dir": str(self.layout.valkey),
            "save": '""',
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "volatile-lru",  # only what has an expiry may go, never a message
            "loglevel": "warning",
        }
        text = "".join(f"{name} {value}\n" for name, value in config.items())
        return Command(
            name=self.name,
            argv=[
                str(self.program),
                "-",
            ],  # the configuration comes by standard input: no password on a command line
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            log=self.layout.log("valkey"),
            user=self.user,
            stdin=text.encode(),
        )

    def is_ready(self) -> bool:
        """Whether it accepts our password and answers."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self._socket))
                client.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (part := client.recv(256)):
                    answer += part
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    @property
    def _socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def _password(self) -> str:
        return self.layout.secret("valkey")
