"""The inbound door: authenticate, read, hand to ingest, answer. Free of Django's request stack, for speed.

Refused are credentials (401, 403), rate (429) and size (413) alone. Whatever else arrives is stored before it is answered: as an
alert, or in quarantine with 202 and the reason.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from typing import Any

import orjson
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.utils.translation import gettext as _
from psycopg_pool import PoolTimeout

from alerts import bodies, rates, signatures
from alerts.committer import Told, chunked, committer, store_in_parts, store_stream
from alerts.incoming import Incoming
from alerts.ingest import Unavailable
from alerts.intake import Envelope, read_body, read_item, size_text
from alerts.payloads import (
    MAX_ITEMS,
    NDJSON_TYPES,
    BadGzip,
    Item,
    PayloadTooLarge,
    decompress_gzip,
    parse_item,
)
from alerts.senders import MAX_BYTES, Refused, Sender, authenticate
from opensoar.accounts.models import ApiToken
from opensoar.pool import release_connection

log = logging.getLogger(__name__)

PREFIX = "/api/v1/webhooks/"
_ALERTS = PREFIX + "alerts"
MAX_STREAM_BYTES = 16 * 1024 * 1024
_UNSIGNED = ApiToken.Signature.NONE
_SMALL = 16 * 1024  # bytes that are read in a few milliseconds, whatever they hold
_TRY_AGAIN = "Not stored; send it again in a few seconds."
_PARTLY = "Not all of it is stored: the first alerts, which are counted, are. Send the others again in a few seconds."
_RETRY = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _CutShort(Exception):
    """Of a body of many not all could be stored: what went wrong, and the results of the first, which are."""

    def __init__(self, error: Exception, results: list[dict[str, Any]]) -> None:
        super().__init__(str(error))
        self.error, self.results = error, results


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The WSGI application for every path below :data:`PREFIX`."""
    response = handle(environ)
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", response.headers)
    return [response.body]


def handle(environ: Mapping[str, Any]) -> Response:
    """Answer one request, given as a WSGI environment. Never raises."""
    try:
        return _handle(environ)
    except Refused as refusal:
        challenge = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
        return _answer(refusal.status, {"detail": refusal.detail}, **challenge)
    except rates.TooFast as refusal:
        return _too_fast(refusal)
    except PayloadTooLarge as error:
        told = _("At most %s a body, or 16 MB of application/x-ndjson")
        return _answer(413, {"detail": told % (str(error) or size_text(MAX_BYTES))})
    except _CutShort as cut:
        return _interrupted(cut.error, cut.results)
    except Exception as error:
        return _interrupted(error, None)
    finally:
        release_connection()


def _interrupted(error: Exception, results: list[dict[str, Any]] | None) -> Response:
    """What is answered to a body that is not stored, or not all of it: of many (``results``), which ones are."""
    stored = {} if results is None else _summary(results)
    if isinstance(
        error, PayloadTooLarge
    ):  # of a stream; of any other body the size is known before it is stored
        return _answer(413, {"detail": _("At most 16 MB and 20,000 alerts in one body"), **stored})
    if isinstance(error, bodies.EndedEarly):
        return _answer(400, {"detail": _("The body ended early"), **stored})
    if isinstance(error, bodies.TooSlow):
        return _answer(408, {"detail": _("The body came too slowly"), **stored})
    if isinstance(error, Unavailable | DatabaseFailure | PoolTimeout):
        log.warning("a webhook is answered 503 after %d alerts: %s", len(results or ()), error)
        return _answer(503, {"detail": _PARTLY if results else _TRY_AGAIN, **stored}, **_RETRY)
    log.error("a webhook failed", exc_info=error)
    return _answer(500, {"detail": _("Something went wrong on our side"), **stored})


def _handle(environ: Mapping[str, Any]) -> Response:
    slug = _slug(environ.get("PATH_INFO", ""))
    if slug is None:
        return _answer(404, {"detail": _("There is nothing here")})
    if environ.get("REQUEST_METHOD") != "POST":
        return _answer(405, {"detail": _("Use POST")}, Allow="POST")
    _refuse_plain_http(environ)
    sender = authenticate(environ)
    content_type = environ.get("CONTENT_TYPE") or ""
    streamed = content_type.partition(";")[0].strip().lower() in NDJSON_TYPES
    receipt = b""
    if sender.signature != _UNSIGNED:
        environ, receipt = _verified(environ, sender, streamed)
    rates.take(sender)
    key = environ.get("HTTP_IDEMPOTENCY_KEY", "")
    envelope = Envelope(sender, content_type, slug=slug, idempotency_key=key, receipt=receipt).cleaned()
    return _stream(environ, envelope) if streamed else _whole(environ, envelope)


def _slug(path: str) -> str | None:
    """The source that the address names, "" for none; None where there is nothing."""
    path = path.rstrip("/")
    if path == _ALERTS:
        return ""
    name = path.removeprefix(_ALERTS + "/")
    if name == path or "/" in name:
        return None
    return name.encode("latin-1", "replace").decode("utf-8", "replace").strip().lower()


def _refuse_plain_http(environ: Mapping[str, Any]) -> None:
    """Where TLS is promised, a token that came in the clear is not accepted (pages redirect)."""
    if not settings.SECURE_SSL_REDIRECT or environ.get("wsgi.url_scheme") == "https":
        return
    header, secure = settings.SECURE_PROXY_SSL_HEADER or ("", "")
    if str(environ.get(header, "")).partition(",")[0].strip() != secure or not header:
        raise Refused(403, _("Use https"))


def _verified(environ: Mapping[str, Any], sender: Sender, streamed: bool) -> tuple[Mapping[str, Any], bytes]:
    """A signed request, read whole: nothing of it is stored before it is known who sent it."""
    if not streamed:
        with _limited(sender):
            return signatures.verified(environ, sender, sender.max_bytes)
    with bodies.place(environ, sender.token_id) as placed:
        return signatures.verified(placed, sender, MAX_STREAM_BYTES)


@contextmanager
def _limited(sender: Sender) -> Iterator[None]:
    """Say whose limit it was that a body is past."""
    try:
        yield
    except PayloadTooLarge:
        raise PayloadTooLarge(size_text(sender.max_bytes)) from None


def _whole(environ: Mapping[str, Any], envelope: Envelope) -> Response:
    """Store the alerts of a body that is read at once."""
    sender = envelope.sender
    with _limited(sender):
        body, reason = _read(environ, sender.max_bytes)
    if not reason and len(body) <= _SMALL:
        return _small(body, envelope)
    items = [read_item(Item(body, None, reason), envelope)] if reason else read_body(body, envelope)
    release_connection()
    if len(items) > 1:
        return _many(sender, partial(store_in_parts, items))
    committer.submit(items)
    return _one(items[0], envelope.slug)


def _small(body: bytes, envelope: Envelope) -> Response:
    ticket = committer.hand_over_unread(
        partial(read_body, body, envelope), len(body), envelope.sender.token_id
    )
    try:
        items = ticket.wait()
    except Unavailable as error:
        if len(ticket.items) > 1:
            raise _CutShort(error, [_result(item) for item in ticket.durable]) from error
        raise
    if len(items) == 1:
        return _one(items[0], envelope.slug)
    return _many(envelope.sender, lambda told: told(items))


def _many(sender: Sender, store: Callable[[Told], object]) -> Response:
    """Answer a body of many. ``store`` tells what is durable as it goes; that is what counts against the rate."""
    results: list[dict[str, Any]] = []

    def told(items: Sequence[Incoming]) -> None:
        paid = len(results) or 1  # the first one was taken at the door
        results.extend(map(_result, items))
        rates.charge(sender, len(results) - paid)

    try:
        store(told)
    except Exception as error:
        raise _CutShort(error, results) from error
    return _answer(_status(results), _summary(results))


def _read(environ: Mapping[str, Any], limit: int) -> tuple[bytes, str]:
    """The body, unpacked; where it cannot be, as it came and why."""
    body = b"".join(bodies.pieces(environ, limit))
    encoding = bodies.encoding_of(environ)
    reason = ""
    if encoding in bodies.GZIP:
        try:
            body = decompress_gzip(body, limit)
        except BadGzip as error:
            reason = str(error)
    elif encoding:
        reason = _unknown_encoding(encoding)
    return body, reason


def _unknown_encoding(encoding: str) -> str:
    return _("Content-Encoding %s is not known; send it plain or as gzip") % encoding[:50]


def _stream(environ: Mapping[str, Any], envelope: Envelope) -> Response:
    """NDJSON of up to 20,000 alerts. When it is cut short, the answer counts what was stored before."""
    with bodies.place(environ, envelope.sender.token_id) as placed:
        chunks = chunked(_stream_items(placed, envelope))
        return _many(envelope.sender, partial(store_stream, chunks))


def _stream_items(environ: Mapping[str, Any], envelope: Envelope) -> Iterator[Incoming]:
    plain = bodies.pieces(environ, MAX_STREAM_BYTES)
    encoding = bodies.encoding_of(environ)
    if encoding in bodies.GZIP:
        plain = bodies.gunzipped(plain, MAX_STREAM_BYTES)
    elif encoding:
        yield read_item(Item(b"".join(plain), None, _unknown_encoding(encoding)), envelope)
        return
    number = 0
    try:
        for number, line in enumerate(bodies.lines(plain), 1):
            if number > MAX_ITEMS:
                raise PayloadTooLarge
            yield read_item(parse_item(line), envelope, number)
    except bodies.Undecodable as error:
        for rest in filter(None, (error.line, error.rest)):
            number += 1
            yield read_item(Item(rest, None, error.reason), envelope)
    if not number:
        yield read_item(Item(b"", None, _("the body is empty")), envelope)


def _too_fast(refusal: rates.TooFast) -> Response:
    told = {"most": refusal.per_minute, "wait": refusal.wait}
    detail = _("At most %(most)d alerts a minute with this token; send it again in %(wait)d seconds") % told
    return _answer(429, {"detail": detail}, **{"Retry-After": str(refusal.wait)})


def _one(item: Incoming, slug: str) -> Response:
    """The public answer to one alert, with what ours adds."""
    result = _result(item)
    if result["state"] == "quarantined":
        result["message"] = _("Stored in quarantine: %s") % result["reason"]
    else:
        what = "Elastic alert" if slug == "elastic" else "Alert"
        result["message"] = f"{what} ingested. {len(result['playbooks_triggered'])} playbook(s) triggered."
    return _answer(_status([result]), result)


def _result(item: Incoming) -> dict[str, Any]:
    outcome = item.outcome
    assert outcome is not None  # a ticket that was waited for has all its outcomes
    result: dict[str, Any] = {
        "alert_id": outcome.alert_id,
        "correlation_id": outcome.correlation_id,
        "title": outcome.title,
        "severity": outcome.severity,
        "playbooks_triggered": outcome.playbooks,
        "duplicate": outcome.state == "duplicate",
        "state": outcome.state,
        "delivery_id": item.delivery_id,
    }
    if outcome.reason:
        result["reason"] = outcome.reason
    if item.notes:
        result["notes"] = item.notes
    return result


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    states = Counter(result["state"] for result in results)
    return {
        "accepted": states["accepted"],
        "duplicates": states["duplicate"],
        "quarantined": states["quarantined"],
        "results": results,
    }


def _status(results: list[dict[str, Any]]) -> int:
    """202 where nothing of it could be understood."""
    return 202 if all(result["state"] == "quarantined" for result in results) else 200


def _answer(status: int, content: dict[str, Any], **headers: str) -> Response:
    body = orjson.dumps(content)
    return Response(status, [*headers.items(), *_fixed_headers(), ("Content-Length", str(len(body)))], body)


@cache
def _fixed_headers() -> tuple[tuple[str, str], ...]:
    """What Django's middleware would add, with a stricter policy: nothing here is ever a page."""
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if settings.SECURE_HSTS_SECONDS:
        headers["Strict-Transport-Security"] = (
            f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
        )
    return tuple(headers.items())
