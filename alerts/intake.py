"""From the bytes of a body to what ingest stores: taken apart, normalised, given its partner and source."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import Error as DatabaseFailure
from django.utils import timezone
from django.utils.translation import gettext as _

from alerts import sources
from alerts.exclusions import mark
from alerts.incoming import Incoming
from alerts.payloads import MESSAGE_TYPE, Item, parse_body
from alerts.safejson import MAX_DEPTH, is_deeper
from alerts.senders import MAX_BYTES, Sender, partner_named
from alerts.signatures import receipt_of
from alerts.source_settings import is_source, settings_of
from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.accounts.services.partners import partner_slug
from opensoar.text import clean, clean_json

log = logging.getLogger(__name__)

DEFAULT_SOURCE = "webhook"
OWN_SOURCE = "opensoar"  # of alerts that OpenSOAR itself raises
MAX_SOURCE = 50
MAX_CONTENT_TYPE = 100
MAX_MESSAGE_BYTES = 32 * 1024 * 1024  # of a mail, whose attachments are kept and not read as an alert
_NUL = (b"\\u0000", b"%00", b"\0")  # as JSON, a form and a line of text write it


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is said around a body: by whom, under which address, of which type.

    ``slug`` is the source named in the address (``/webhooks/alerts/<source>``), ``idempotency_key`` the header's;
    ``received_at`` is set when the body came earlier than now, ``receipt`` tells a signed request from any other.
    """

    sender: Sender
    content_type: str = ""
    slug: str = ""
    idempotency_key: str = ""
    received_at: datetime | None = None
    receipt: bytes = b""

    @property
    def fixed_source(self) -> str:
        """What the source is whatever the payload says: the token's, then the address's; empty for neither."""
        return self.sender.source or ("" if self.slug == sources.GENERIC else self.slug[:MAX_SOURCE])

    def cleaned(self) -> Envelope:
        """The same, with texts as the database takes them."""
        return replace(
            self,
            content_type=clean(self.content_type)[:MAX_CONTENT_TYPE],
            slug=clean(self.slug.strip().lower()),
            idempotency_key=clean(self.idempotency_key.strip())[:500],
        )


def read_body(body: bytes, envelope: Envelope) -> list[Incoming]:
    """Everything a body holds, each item ready to be stored; there is always one."""
    envelope = envelope.cleaned()
    try:
        found = parse_body(body, envelope.content_type).items
    except Exception as error:  # a fault of ours must not lose what came
        log.exception("a body of %d bytes cannot be taken apart", len(body))
        found = [Item(body, None, f"{type(error).__name__}: {error}"[:500])]
    if len(found) == 1:
        return [read_item(found[0], envelope)]
    return [read_item(item, envelope, number) for number, item in enumerate(found, 1)]


def read_item(item: Item, envelope: Envelope, number: int = 0) -> Incoming:
    """One item as ingest stores it; ``number`` is its place in the body, 0 where it is the body.

    Never raises for what the item holds: what cannot be understood is quarantined with the reason.
    """
    sender = envelope.sender
    incoming = Incoming(
        body=item.raw,
        content_type=envelope.content_type,
        source=envelope.fixed_source or DEFAULT_SOURCE,
        partner_id=sender.partner_id or DEFAULT_PARTNER_ID,
        partner=sender.partner,
        token_id=sender.token_id,
        received_at=envelope.received_at or timezone.now(),
        receipt=receipt_of(envelope.receipt, number) if envelope.receipt else b"",
    )
    if item.payload is None:
        incoming.reason = clean(item.reason or _("not understood"))
    elif len(item.raw) > (limit := _limit(envelope)):
        incoming.reason = _("larger than %s") % size_text(limit)
    elif sender.max_depth < MAX_DEPTH and is_deeper(item.payload, sender.max_depth):
        incoming.reason = _("nested deeper than the %d levels that its token may send") % sender.max_depth
    else:
        # What conditions and playbooks are given ends up in the database as well.
        hostile = any(mark in item.raw for mark in _NUL)
        incoming.payload = clean_json(item.payload) if hostile else item.payload
        _understand(incoming, envelope, number)
    return incoming


def size_text(limit: int) -> str:
    """A limit of bytes for people."""
    return f"{limit >> 20} MB" if limit % MAX_BYTES == 0 else _("%d bytes") % limit


def _limit(envelope: Envelope) -> int:
    """The token's; a mail may be larger, unless its token may send less than others."""
    own = envelope.sender.max_bytes
    return MAX_MESSAGE_BYTES if own == MAX_BYTES and envelope.content_type.startswith(MESSAGE_TYPE) else own


def _understand(incoming: Incoming, envelope: Envelope, number: int) -> None:
    try:
        slug, confidence = _reader_of(incoming, envelope)
        incoming.settings = settings = settings_of(slug)
        incoming.alert = alert = mark(settings.normalise(incoming.payload))
        notes = list(alert.notes)
        if confidence:
            told = {"source": slug, "confidence": confidence}
            alert.normalized["detected"] = told
            notes.append(_("read as %(source)s (confidence %(confidence).2f)") % told)
        _set_source(incoming, envelope, slug, notes)
        if _set_partner(incoming, envelope.sender, notes):
            incoming.notes = tuple(notes)
            incoming.prepare(_fingerprint(incoming, envelope, number))
            return
    except DatabaseFailure:
        raise  # the body is not to blame
    except Exception as error:
        log.exception("delivery %s cannot be normalised", incoming.delivery_id)
        incoming.reason = clean(
            _("The alert could not be read: %s") % f"{type(error).__name__}: {error}"[:500]
        )
    incoming.alert = incoming.row = None


def _reader_of(incoming: Incoming, envelope: Envelope) -> tuple[str, float]:
    """The source whose normaliser reads it, and how sure that is where its shape told; 0 where somebody said so."""
    if envelope.slug:
        return envelope.slug, 0
    if incoming.payload and envelope.sender.source and is_source(envelope.sender.source):
        return envelope.sender.source, 0
    return sources.detect(incoming.payload)


def _set_source(incoming: Incoming, envelope: Envelope, slug: str, notes: list[str]) -> None:
    """Whoever answers for it names the source: the token, then the address, then the payload, by word or by shape."""
    named = incoming.alert.source if incoming.alert is not None else None
    if not is_source(slug):
        known = _("no normaliser is called %(slug)s; the generic one read it")
        notes.append(known % {"slug": envelope.slug[:MAX_SOURCE]})
    if not envelope.fixed_source:
        incoming.source = named or (slug if slug != sources.GENERIC else DEFAULT_SOURCE)
    elif named and named != incoming.source:
        ignored = _("the payload's source %(named)s is ignored: it is %(fixed)s")
        notes.append(ignored % {"named": named, "fixed": incoming.source})
    if incoming.source == OWN_SOURCE and envelope.sender.token_id is not None:
        incoming.source = DEFAULT_SOURCE
        notes.append(_("%s is OpenSOAR's own source; no token speaks for it") % OWN_SOURCE)


def _set_partner(incoming: Incoming, sender: Sender, notes: list[str]) -> bool:
    """Find the partner; without one there is a reason, and False."""
    named = incoming.alert.partner if incoming.alert is not None else None
    if named is None:
        return True
    if sender.partner_id is not None:
        if partner_slug(named) != (sender.partner or "default"):
            notes.append(_("the payload's partner is ignored: the token is bound to one"))
        return True
    partner = partner_named(named, sender)
    if partner is None:
        incoming.reason = _("unknown partner: %s") % named
        return False
    incoming.partner_id, incoming.partner = partner
    return True


def _fingerprint(incoming: Incoming, envelope: Envelope, number: int) -> str | None:
    """What tells a repeat: the vendor's id, else the sender's Idempotency-Key, which counts for its token alone."""
    chosen = incoming.settings.fingerprint(incoming.payload) if incoming.settings is not None else None
    if chosen is not None:
        return f"fields:{chosen}"
    if incoming.alert is not None and incoming.alert.source_id:
        return f"id:{incoming.alert.source_id}"
    if envelope.idempotency_key:
        return f"key:{envelope.sender.token_id}:{number}:{envelope.idempotency_key}"
    return None
