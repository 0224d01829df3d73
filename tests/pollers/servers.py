"""Servers that mean harm, or are broken, or slow: TCP on 127.0.0.1, each connection spoken to as a test says."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

PAUSE = 0.05


class Line:
    """One connection, as a script has it."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._stopping = stopping
        self._file = sock.makefile("rb")
        self.sent = 0

    def say(self, data: bytes) -> None:
        """Send it all. Raises OSError once nobody listens any more."""
        self._sock.sendall(data)
        self.sent += len(data)

    def wait(self, seconds: float) -> None:
        """Let time pass. Raises OSError when the test is over."""
        if self._stopping.wait(seconds):
            raise OSError("over")

    def drip(self, data: bytes = b"x") -> None:
        """The same again and again, for ever, so that no time-out of one step ever comes."""
        while True:
            self.say(data)
            self.wait(PAUSE)

    def hear(self) -> bytes:
        """A line, without its end. Raises OSError at the end."""
        line = self._file.readline()
        if not line:
            raise OSError("gone")
        return line.rstrip(b"\r\n")


class Server:
    """Speaks ``script`` on every connection; ``sent`` is what it sent on all of them."""

    def __init__(self, script: Callable[[Line], None], tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._stopping = threading.Event()
        self._lines: list[Line] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    @property
    def sent(self) -> int:
        return sum(line.sent for line in self._lines)

    @property
    def connections(self) -> int:
        return len(self._lines)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._listening.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _address = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            line = Line(sock, self._stopping)
            self._lines.append(line)
            self._script(line)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # what reads lines keeps it open
            sock.close()


def http(answer: Callable[[Line], None]) -> Callable[[Line], None]:
    """A script that hears requests and has ``answer`` speak."""

    def script(line: Line) -> None:
        while True:
            while line.hear():
                pass
            answer(line)

    return script


class Mailbox:
    """A script of an IMAP server with some messages. What it does with a command can be replaced by its name."""

    def __init__(self, *messages: bytes, **instead: Callable[[Line, int], None]) -> None:
        self.messages = messages
        self.instead = instead
        """``fetch``, which is given the message's number, or ``search``: called instead of answering as usual."""
        self.claims = 10
        """What it says of the size of each message."""

    def __call__(self, line: Line) -> None:
        """Speak."""
        line.say(b"* OK ready\r\n")
        while True:
            tag, _, told = line.hear().partition(b" ")
            line.say(self._untagged(line, told) + tag + b" OK done\r\n")
            if told.upper().startswith(b"LOGOUT"):
                return

    def _untagged(self, line: Line, told: bytes) -> bytes:
        command = told.upper()
        count = len(self.messages)
        if command.startswith(b"CAPABILITY"):
            return b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
        if command.startswith(b"AUTHENTICATE"):
            line.say(b"+ \r\n")
            line.hear()
        elif command.startswith((b"SELECT", b"EXAMINE")):
            return b"* %d EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT %d] x\r\n" % (count, count + 1)
        elif command.startswith(b"UID SEARCH"):
            if "search" in self.instead:
                self.instead["search"](line, 0)
            since = re.match(rb"UID SEARCH UID (\d+)", command)
            first = int(since[1]) if since else 1
            return b"* SEARCH " + b" ".join(b"%d" % one for one in range(first, count + 1)) + b"\r\n"
        elif command.startswith(b"UID FETCH"):
            numbers = [int(one) for one in command.split()[2].split(b",")]
            if b"SIZE" in command:
                return b"".join(
                    b"* %d FETCH (UID %d RFC822.SIZE %d)\r\n" % (one, one, self.claims) for one in numbers
                )
            if "fetch" in self.instead:
                self.instead["fetch"](line, numbers[0])
            body = self.messages[numbers[0] - 1]
            return b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%b)\r\n" % (*numbers, *numbers, len(body), body)
        elif command.startswith(b"LOGOUT"):
            return b"* BYE\r\n"
        return b""
