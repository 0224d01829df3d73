"""Reading the body of a WSGI request: with a length or chunked, plain or gzip, never more than allowed nor for ever."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any
from uuid import UUID

from alerts.ingest import Unavailable
from alerts.payloads import BadGzip, PayloadTooLarge
from opensoar.pool import release_connection

STREAMS = 8  # read at once: they keep megabytes busy, and more of them would store nothing sooner
STREAMS_OF_ONE = 2  # token: one at work while the next arrives
PLACE_WITHIN = 2.0  # seconds a stream waits for its place
STALLED = 30.0  # seconds of waiting for one piece, after which a stream's place goes to whoever asks for it
GRACE = 30.0  # seconds that a sender may keep us waiting whatever it sends
SLOWEST = 16 * 1024  # bytes a second that it sends from then on
_PIECE = 64 * 1024
_BOM = b"\xef\xbb\xbf"
GZIP = frozenset({"gzip", "x-gzip"})


class EndedEarly(Exception):
    """The sender went away in the middle of its body."""


class TooSlow(Exception):
    """The sender keeps us waiting longer than it may."""


class Undecodable(BadGzip):
    """``rest`` is what could not be unpacked, ``line`` the line that was begun before."""

    def __init__(self, rest: bytes, reason: str) -> None:
        super().__init__(reason)
        self.rest = rest
        self.line = b""
        self.reason = reason


def encoding_of(environ: Mapping[str, Any]) -> str:
    """The Content-Encoding in lower case; empty for none."""
    encoding = str(environ.get("HTTP_CONTENT_ENCODING", "")).strip().lower()
    return "" if encoding == "identity" else encoding


def pieces(environ: Mapping[str, Any], limit: int) -> Iterator[bytes]:
    """The bytes as sent, piece by piece. Raises PayloadTooLarge past ``limit`` bytes, EndedEarly for a cut body,
    TooSlow for one that trickles in.

    A chunked request has no length: its stream is read to the end, where the server promises that there is one.
    """
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length not in (None, ""):
        yield from _counted(stream, int(length), limit)
    elif environ.get("wsgi.input_terminated") or environ.get("HTTP_TRANSFER_ENCODING"):
        size, waited = 0, 0.0
        asked = time.monotonic()
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > limit:
                raise PayloadTooLarge
            waited += time.monotonic() - asked
            if waited > GRACE + size / SLOWEST:
                raise TooSlow
            yield piece
            asked = time.monotonic()


def _counted(stream: Any, length: int, limit: int) -> Iterator[bytes]:
    if length > limit:
        raise PayloadTooLarge
    missing, waited = length, 0.0
    while missing > 0:
        asked = time.monotonic()
        piece = stream.read(min(missing, _PIECE))
        if not piece:
            raise EndedEarly
        missing -= len(piece)
        if missing:  # only the sender's time counts, not what storing the pieces takes
            waited += time.monotonic() - asked
            if waited > GRACE + (length - missing) / SLOWEST:
                raise TooSlow
        yield piece


class _Place:
    """A stream's place among those that are read at once, and its input.

    Nobody can end a read that the server waits in; so a sender that says nothing keeps its thread, but not its place.
    """

    __slots__ = ("_input", "lost", "token", "waiting_since")

    def __init__(self, stream: Any, token: UUID | None) -> None:
        self._input = stream
        self.token = token
        self.lost = False
        self.waiting_since = inf

    def read(self, size: int) -> bytes:
        """Of the input. Raises TooSlow when the place went to another meanwhile."""
        release_connection()  # who takes its time must not keep one of the pool
        self.waiting_since = time.monotonic()
        piece: bytes = self._input.read(size)
        self.waiting_since = inf
        if self.lost:
            raise TooSlow
        return piece


_places: list[_Place] = []
_changed = threading.Condition()


@contextmanager
def place(environ: Mapping[str, Any], token: UUID | None) -> Iterator[Mapping[str, Any]]:
    """The request of a stream that may be read now. Raises Unavailable where too many others are."""
    mine = _Place(environ["wsgi.input"], token)
    with _changed:
        if not _changed.wait_for(lambda: _is_free(token), PLACE_WITHIN):
            raise Unavailable("too many streams at once")
        _places.append(mine)
    try:
        yield {**environ, "wsgi.input": mine}
    finally:
        with _changed:
            if not mine.lost:
                _places.remove(mine)
            _changed.notify_all()


def _is_free(token: UUID | None) -> bool:
    quiet = time.monotonic() - STALLED
    for other in [other for other in _places if other.waiting_since < quiet]:
        other.lost = True
        _places.remove(other)
    return len(_places) < STREAMS and sum(other.token == token for other in _places) < STREAMS_OF_ONE


def gunzipped(compressed: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """The content of a gzip stream, piece by piece, of one member or several. Raises PayloadTooLarge past ``limit``.

    Raises :class:`Undecodable` with the bytes from which on it is no gzip.
    """
    inflate = zlib.decompressobj(wbits=31)
    size = 0
    begun = False
    for piece in compressed:
        rest = piece
        while rest:
            if inflate.eof:
                inflate = zlib.decompressobj(wbits=31)
            try:
                plain = inflate.decompress(rest, _PIECE)
            except zlib.error as error:
                raise Undecodable(rest + b"".join(compressed), f"not gzip: {error}") from None
            begun = True
            size += len(plain)
            if size > limit:
                raise PayloadTooLarge
            if plain:
                yield plain
            # Padding is allowed after a member, and another member.
            rest = inflate.unused_data.lstrip(b"\0") if inflate.eof else inflate.unconsumed_tail
    if not begun or not inflate.eof:
        raise Undecodable(b"", "the gzip stream ends early")


def lines(plain: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of a stream that are not blank, without their ends and the blanks around them."""
    pending: list[bytes] = []
    try:
        for number, piece in enumerate(plain):
            first, *others = (piece if number else piece.removeprefix(_BOM)).split(b"\n")
            pending.append(first)
            for other in others:
                if line := b"".join(pending).strip():
                    yield line
                pending = [other]
    except Undecodable as error:
        error.line = b"".join(pending)
        raise
    if line := b"".join(pending).strip():
        yield line
