"""Pollers of vendors that list alerts by a time.

The position is the time of the latest alert, and each question asks for everything from there on, less an overlap: what
a vendor indexes late stands behind newer alerts. What was stored already is told by id and version.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

import msgspec

from playbooks_engine.pollers.base import Found, Page, Poller, Session, Settings
from playbooks_engine.pollers.errors import VendorError

_EXPIRED = (400, 404, 410)  # how a vendor says that it no longer knows the token of a page


class TimeSettings(Settings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Of pollers that ask by time."""

    overlap: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 300
    """Seconds by which polls overlap: as late as the vendor may index an alert behind newer ones."""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 500


class Walk(msgspec.Struct, kw_only=True):
    """The pages of one question, while they are turned."""

    since: datetime
    """What is asked for."""
    begun: datetime
    token: Any = None
    """The vendor's word for the next page."""
    top: datetime | None = None
    """The latest alert so far."""
    added: list[str] = []
    """Digests of what it found that are still remembered; not kept where the oldest comes first."""
    version: int = 0
    """The connector's: a token of another configuration means nothing."""


class Position(msgspec.Struct, kw_only=True):
    """How far a vendor's alerts were fetched.

    ``since`` is the time of the latest alert, not of the poll: the other side's clock counts, and who is late by hours
    is still waited for while nothing newer came.
    """

    since: datetime
    seen: dict[str, int] = {}
    """Digest of id and version → the alert's time, in seconds: what the next question will find again."""
    walk: Walk | None = None


class TimePoller(Poller):
    """A poller of a vendor that lists alerts by a time, in pages."""

    oldest_first: ClassVar[bool] = True
    """Whether pages come in the order of that time, which then never changes. The position follows page by page; where
    it is False it moves when the last page is stored, and to no later than the walk's beginning."""

    @abstractmethod
    def listing(self, session: Session, since: datetime, token: Any) -> tuple[Sequence[Found], Any]:
        """A page of what is not older than ``since``, and the token of the next one, None for none.

        Nothing may leave the list while it is read: no upper bound.
        """

    def completed(self, session: Session, new: list[Found]) -> list[Found]:
        """``new`` with what the list does not tell, asked for one by one.

        As many from the front as there is time for, at least one: the page is listed again for the others. What goes
        wrong behind the first is left in ``session.failure``, and raised once that part is stored.
        """
        return new

    def fetch(self, session: Session, cursor: dict[str, Any]) -> Page:
        """See :class:`Poller`."""
        if session.failure is not None:
            raise session.failure
        position = _position(session, cursor)
        walk = position.walk
        if walk is None or walk.version != session.version:
            since = position.since - timedelta(seconds=session.settings.overlap)
            walk = Walk(since=since, begun=session.now, version=session.version)
        try:
            found, token = self.listing(session, walk.since, walk.token)
        except VendorError as error:
            # Once in a poll: where it happens again something else is wrong, and the next poll is after a pause.
            if walk.token is None or session.restarted or error.status not in _EXPIRED:
                raise
            position.walk, session.restarted = None, True
            return Page((), _plain(position), more=True)
        new = list({digest: one for one in found if (digest := _digest(one)) not in position.seen}.values())
        whole = self.completed(session, new)
        more = token is not None
        if len(whole) < len(new):
            left = {_digest(one) for one in new[len(whole) :]}
            found, token, more = [one for one in found if _digest(one) not in left], walk.token, True
        self._advance(session.settings.overlap, position, walk, found, token, more=more)
        return Page(whole, _plain(position), more=more)

    def _advance(
        self, overlap: int, position: Position, walk: Walk, found: Sequence[Found], token: Any, *, more: bool
    ) -> None:
        """Remember ``found``; where there is ``more``, ``token`` is what it is asked for by: of a page that is not
        finished its own, which is none for the first."""
        page: set[str] = set()
        added: list[str] = []
        for one in found:
            digest = _digest(one)
            page.add(digest)
            if digest not in position.seen:
                added.append(digest)
            position.seen[digest] = int((one.at or walk.begun).timestamp())
            if one.at is not None:
                walk.top = max(walk.top or one.at, one.at)
        # No further than where the walk began: what comes or changes while pages are turned may stand on one that was
        # turned already. Nor must an alert from the future make us skip what comes until then.
        reached = max(position.since, min(walk.top or position.since, walk.begun))
        if self.oldest_first or not more:
            position.since = reached
        walk.token = token
        position.walk = walk if more else None
        # What no later question finds is forgotten; of this page nothing, for pages may shift by what comes meanwhile.
        kept_from = int(reached.timestamp()) - overlap - 1
        old = {one for one, at in position.seen.items() if at < kept_from and one not in page}
        if not self.oldest_first and more:
            old &= set(walk.added)  # what was known before may still come in this walk
            walk.added = [one for one in {*walk.added, *added} if one not in old]
        position.seen = {one: at for one, at in position.seen.items() if one not in old}


def _position(session: Session, cursor: dict[str, Any]) -> Position:
    if not cursor:
        return Position(since=session.start)
    try:
        return msgspec.convert(cursor, Position)
    except msgspec.ValidationError as error:
        raise VendorError(f"The stored position cannot be read: {error}") from None


def _plain(position: Position) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(position)
    return plain


def _digest(found: Found) -> str:
    digest = hashlib.blake2b(f"{found.id}\0{found.version}".encode("utf-8", "replace"), digest_size=9)
    return b64encode(digest.digest()).decode()
