"""What a poller is: a kind of connector whose alerts are fetched page by page, from a position that outlives everything.

``fetch`` is given the position as it was stored and returns a page with the position behind it. The page is stored
first and the position afterwards (:mod:`playbooks_engine.pollers.running`): whatever dies between the two, the page
comes again, and the vendor's ids make it once.
"""

from __future__ import annotations

import json
import ssl
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar

import msgspec
import orjson
from django.utils.functional import Promise

from alerts.payloads import Item, parse_item
from alerts.sources.times import parse_time
from playbooks_engine.masking import MIN_LENGTH, Mask
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import Deadline, Http, Login

MIN_INTERVAL = 30  # seconds
LOOK_SECONDS = 30.0  # for a look at the other side, while somebody waits for what it finds


class Settings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every poller's configuration may say."""

    interval: Annotated[int, msgspec.Meta(ge=MIN_INTERVAL, le=86_400)] = 60
    """Seconds between two polls."""
    first_hours: Annotated[int, msgspec.Meta(ge=0, le=24 * 365)] = 24
    """How far back the very first poll looks."""
    verify_tls: bool = True
    ca_pem: str = ""
    """Certificates to trust instead of the system's, as PEM."""

    def check(self) -> None:
        """Raises ValueError for what the types do not tell."""
        self.tls()

    def tls(self) -> ssl.SSLContext:
        """How the other side's certificate is checked. Raises ValueError."""
        try:
            context = ssl.create_default_context(cadata=self.ca_pem or None)
        except (ssl.SSLError, ValueError, UnicodeError):
            raise ValueError("ca_pem holds no certificate in PEM form") from None
        if not self.verify_tls:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


class Credentials(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The secrets of a poller; every field is one."""


@dataclass(frozen=True, slots=True)
class Found:
    """One alert as the vendor gave it. ``version`` differs whenever the vendor changed it; ``at`` is the time that the
    position counts by."""

    body: bytes
    id: str
    version: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some alerts, the position once they are stored, and whether there are more to be had at once."""

    items: Sequence[Found]
    cursor: dict[str, Any]
    more: bool


@dataclass
class Session:
    """One connector while it is polled: who, with what, since when. Closed after the poll."""

    connector_id: uuid.UUID
    version: int
    settings: Any
    credentials: Any
    start: datetime
    """What happened before is not fetched."""
    now: datetime
    mask: Mask = field(default_factory=Mask)
    failures: int = 0
    """How many polls in a row failed before this one."""
    restarted: bool = False
    """Pages were begun anew already, since the vendor no longer knew the next one."""
    failure: VendorError | None = None
    """What went wrong behind the part of a page that was fetched: to be raised once that is stored."""
    deadline: Deadline = field(default_factory=lambda: Deadline(LOOK_SECONDS))
    """When all of its conversations end, however little they have come to; a poll renews it page by page."""
    _open: dict[tuple[str, type], Http] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in msgspec.structs.asdict(self.credentials).items():
            if isinstance(value, str) and len(value) >= MIN_LENGTH:
                self.mask.add(name, value)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The context of :meth:`Settings.tls`, made once: it reads the system's certificates."""
        context: ssl.SSLContext = self.settings.tls()
        return context

    @property
    def key(self) -> str:
        """What tokens are remembered by: other credentials are another version."""
        return f"{self.connector_id}:{self.version}"

    def http(self, base: str, login: Login) -> Http:
        """A conversation with ``base``; the same one as long as the session lasts."""
        key = base, type(login)
        if key not in self._open:
            self._open[key] = Http(base, tls=self.tls, mask=self.mask, login=login, deadline=self.deadline)
        return self._open[key]

    def close(self) -> None:
        """End all conversations."""
        for one in self._open.values():
            one.close()
        self._open.clear()
        self.deadline.stop()


class Poller(ABC):
    """A kind of system whose alerts are fetched. One object per kind, without a state."""

    kind: ClassVar[str]
    """The connector's type."""
    source: ClassVar[str]
    """The normaliser's slug, and the source of every alert."""
    display_name: ClassVar[str | Promise]
    description: ClassVar[str | Promise]
    settings: ClassVar[type[Settings]]
    credentials: ClassVar[type[Credentials]]
    content_type: ClassVar[str] = "application/json"
    seconds: ClassVar[float] = 150.0
    """That a page may take, with the token for it; well below the lease of a poll (:mod:`.running`). Half a minute, as
    other connectors' answers have, is not enough for a search over a month of events."""

    @abstractmethod
    def fetch(self, session: Session, cursor: dict[str, Any]) -> Page:
        """The next page behind ``cursor`` (empty at first). Raises :class:`VendorError`."""

    @abstractmethod
    def look(self, session: Session) -> dict[str, Any]:
        """That the other side answers and lets us in: some details of it. Raises :class:`VendorError`."""

    def stored(self, session: Session, page: Page) -> None:  # noqa: B027 - most vendors need not be told
        """Called once a page is stored, before its position is. Raises :class:`VendorError`."""

    def check_together(self, settings: Any, credentials: Any) -> None:  # noqa: B027 - most have one way to log in
        """Raises ValueError where the secrets are not those that the configuration asks for."""

    def item(self, found: Found) -> Item:
        """``found`` as ingest takes it."""
        return parse_item(found.body)

    def config_names(self) -> tuple[str, ...]:
        """What its configuration may say, first what it must, marked by a ``*``."""
        fields = msgspec.structs.fields(self.settings)
        needed = [f"{one.name}*" for one in fields if one.required]
        return (*needed, *(one.name for one in fields if not one.required))

    def read_settings(self, config: dict[str, Any]) -> Settings:
        """The configuration, checked. Raises ValueError saying what is wrong with it."""
        return _checked(self.settings, config)

    def read_credentials(self, secrets: dict[str, Any]) -> Credentials:
        """The secrets, checked. Raises ValueError, which names them and not their values."""
        return converted(self.credentials, secrets)


def converted[T](kind: type[T], value: dict[str, Any]) -> T:
    """``value`` as ``kind``. Raises ValueError naming the field that is wrong, and never its value."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _checked[T: Settings](kind: type[T], value: dict[str, Any]) -> T:
    found = converted(kind, value)
    found.check()
    return found


def body_of(alert: dict[str, Any]) -> bytes:
    """A vendor's JSON object as it is kept."""
    try:
        return orjson.dumps(alert)
    except orjson.JSONEncodeError:
        # Nested deeper than it writes, or a text that is no Unicode: who reads it says so, of this alert alone.
        return json.dumps(alert).encode()


def objects(value: Any, where: str) -> list[dict[str, Any]]:
    """``value`` as a list of objects. Raises :class:`VendorError` for anything else: what is not understood is no end."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise VendorError(f"The answer has no list of objects at {where}")
    return value


def text_at(value: dict[str, Any], name: str) -> str:
    """The text of a field, empty where it is none."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def moment(text: Any) -> datetime | None:
    """An ISO 8601 time, aware; finer than microseconds is cut. None for what is none."""
    return parse_time(text)[0] if isinstance(text, str | int | float) else None


def stamp(at: datetime) -> str:
    """A time as vendors take it: UTC, milliseconds, ``Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
