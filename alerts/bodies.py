"""Reading the body of a WSGI request: with a length or chunked, plain or gzip, never more than allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from alerts.payloads import BadGzip, PayloadTooLarge

_PIECE = 64 * 1024
_BOM = b"\xef\xbb\xbf"
GZIP = frozenset({"gzip", "x-gzip"})


class EndedEarly(Exception):
    """The sender went away in the middle of its body."""


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
    """The bytes as sent, piece by piece. Raises PayloadTooLarge past ``limit`` bytes, EndedEarly for a cut body.

    A chunked request has no length: its stream is read to the end, where the server promises that there is one.
    """
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length not in (None, ""):
        yield from _counted(stream, int(length), limit)
    elif environ.get("wsgi.input_terminated") or environ.get("HTTP_TRANSFER_ENCODING"):
        size = 0
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > limit:
                raise PayloadTooLarge
            yield piece


def _counted(stream: Any, length: int, limit: int) -> Iterator[bytes]:
    if length > limit:
        raise PayloadTooLarge
    while length > 0:
        piece = stream.read(min(length, _PIECE))
        if not piece:
            raise EndedEarly
        length -= len(piece)
        yield piece


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
