"""A mailbox that users report phishing to, by IMAP (RFC 3501, RFC 6851).

The position is UIDVALIDITY and UID: UIDs only grow. Messages are read with BODY.PEEK and never deleted; on request they
are marked or moved once they are stored. Should the server count anew (another UIDVALIDITY), what came since the day
before the latest message is read again, and the messages' own ids tell what is known.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings as django_settings
from django.utils.translation import gettext_lazy as _

from alerts.intake import MAX_MESSAGE_BYTES
from alerts.payloads import MESSAGE_TYPE, Item, parse_message
from playbooks_engine.pollers import azure, xoauth2
from playbooks_engine.pollers.addresses import check_host, check_url, resolve
from playbooks_engine.pollers.base import Credentials, Found, Page, Poller, Session, Settings
from playbooks_engine.pollers.errors import VendorError
from playbooks_engine.pollers.http import STEP

_PAGE = 20  # messages
_PAGE_BYTES = 32 * 1024 * 1024
_PAGE_SECONDS = 60.0  # of a page for its messages; what is left comes on the next one
_TOLD = 2 * 1024 * 1024  # bytes that a server may say to one command, messages apart
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UID = re.compile(rb"\bUID (\d+)")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_DATE = re.compile(rb'\bINTERNALDATE "([^"]+)"')
_PROBLEMS = (OSError, imaplib.IMAP4.error, ValueError)


class ImapSettings(Settings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """``security``: ``tls`` from the first byte (port 993), ``starttls`` (143), ``none`` for this machine only."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    security: Literal["tls", "starttls", "none"] = "tls"
    username: Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
    """Whose mailbox it is."""
    login: Literal["password", "xoauth2"] = "password"
    """``xoauth2``: as an application of Entra ID, which may read the mailbox (Exchange Online)."""
    tenant_id: str = ""
    client_id: str = ""
    login_url: str = "https://login.microsoftonline.com"
    scope: Annotated[str, msgspec.Meta(pattern=r"^[!-~]+$")] = "https://outlook.office365.com/.default"
    """What its tokens are for; other in national clouds, like ``login_url``."""
    folder: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "INBOX"
    after: Literal["leave", "seen", "flag", "move"] = "leave"
    """What becomes of a message once it is stored."""
    move_to: str = ""
    max_bytes: Annotated[int, msgspec.Meta(ge=64 * 1024, le=MAX_MESSAGE_BYTES)] = 16 * 1024 * 1024
    """Of a larger message only so much is fetched: its last attachment has no hash then."""

    def check(self) -> None:
        super().check()
        check_host(self.host)
        if self.security == "none" and not django_settings.PULL_LOOPBACK:
            raise ValueError("security must be tls or starttls")
        if self.after == "move" and not self.move_to:
            raise ValueError("move_to must name the folder that messages are moved to")
        self._check_login()
        for name in (self.folder, self.move_to, self.username):
            if not name.isprintable() or not name.isascii():
                raise ValueError("names must be ASCII; folders as the server lists them, in modified UTF-7")

    def _check_login(self) -> None:
        given = bool(self.tenant_id), bool(self.client_id)
        if self.login == "password":
            if any(given):
                raise ValueError("tenant_id and client_id belong to login=xoauth2")
            return
        if not all(given):
            raise ValueError("login=xoauth2 needs tenant_id and client_id")
        check_url(self.login_url)
        azure.check_name("tenant_id", self.tenant_id)
        azure.check_name("client_id", self.client_id)

    @property
    def real_port(self) -> int:
        """The port, by the kind of security where none is named."""
        return self.port or (993 if self.security == "tls" else 143)


class ImapCredentials(Credentials, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One of the two: the mailbox's password, or the client secret of an application."""

    password: str = ""
    """An app password where the provider has those."""
    client_secret: str = ""
    """For ``login=xoauth2``."""

    def __post_init__(self) -> None:
        if bool(self.password) == bool(self.client_secret):
            raise ValueError("either `password` or `client_secret` (for login=xoauth2) is needed")


class Mark(msgspec.Struct, kw_only=True):
    """How far a mailbox was read."""

    validity: int = 0
    uid: int = 0
    latest: datetime | None = None
    """When the latest message arrived."""


class Imap(Poller):
    """Messages in the order of their UIDs."""

    kind = "imap"
    source = "phishing_mail"
    display_name = _("Mailbox for reported phishing")
    description = _(
        "Mails that users report, read by IMAP; the message they attach or forward becomes the alert"
    )
    settings = ImapSettings
    credentials = ImapCredentials
    content_type = MESSAGE_TYPE
    # One large message over a slow line, after a page's worth of others: still below the lease of a poll.
    seconds = 240.0

    def fetch(self, session: Session, cursor: dict[str, Any]) -> Page:
        """See :class:`Poller`."""
        if session.failure is not None:
            raise session.failure
        mark = _mark(cursor)
        with _mailbox(session, writing=False) as (box, validity):
            _check_move(box, session.settings)
            # Before the search: what comes in between is found the next time.
            newest = 0 if mark.validity == validity else _newest(box)
            uids = _waiting(session, box, mark, validity)
            page = _sized(box, uids[:_PAGE], session.settings.max_bytes)
            read, taken = _messages(session, box, validity, page)
        mark.uid = page[taken - 1] if page else max(mark.uid, newest)
        mark.validity = validity
        arrived = [one.at for one in read if one.at is not None]
        mark.latest = max(arrived, default=mark.latest)
        return Page(read, msgspec.to_builtins(mark), more=len(uids) > taken > 0)

    def check_together(self, settings: ImapSettings, credentials: ImapCredentials) -> None:
        """See :class:`Poller`."""
        needed = "client_secret" if settings.login == "xoauth2" else "password"
        if not getattr(credentials, needed):
            raise ValueError(f"login={settings.login} needs the secret {needed}")

    def look(self, session: Session) -> dict[str, Any]:
        """See :class:`Poller`."""
        with _mailbox(session, writing=session.settings.after != "leave") as (box, _validity):
            _check_move(box, session.settings)
            found = _ask(box, "SEARCH", "UID", "1:*")
            return {"messages": len(found[0].split()) if found and found[0] else 0}

    def stored(self, session: Session, page: Page) -> None:
        """Mark or move what is stored."""
        settings: ImapSettings = session.settings
        uids = [one.id.rpartition(":")[2] for one in page.items]
        if settings.after == "leave" or not uids:
            return
        with _mailbox(session, writing=True) as (box, validity):
            if any(one.id.partition(":")[0] != str(validity) for one in page.items):
                return  # counted anew since: these numbers name other messages now
            if settings.after == "move":
                _ask(box, "MOVE", ",".join(uids), _quoted(settings.move_to))
            else:
                flag = r"(\Seen)" if settings.after == "seen" else r"(\Flagged)"
                _ask(box, "STORE", ",".join(uids), "+FLAGS.SILENT", flag)

    def item(self, found: Found) -> Item:
        """See :class:`Poller`."""
        return parse_message(found.body)


class _Box(imaplib.IMAP4):
    """A connection to an address that was looked at, whose answers are capped."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.allowed = _TOLD
        """Bytes that may answer one command."""
        self._received = 0
        settings: ImapSettings = session.settings
        super().__init__(settings.host, settings.real_port, timeout=STEP)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        settings: ImapSettings = self._session.settings
        problem: OSError = VendorError(f"{settings.host} has no address")
        encrypted = settings.security != "none"
        for address in resolve(settings.host, settings.real_port, encrypted=encrypted):
            self._session.deadline.check(settings.host)
            try:
                plain = socket.create_connection((address, settings.real_port), timeout)
                break
            except OSError as error:
                problem = error
        else:
            raise problem
        self._session.deadline.watch(plain)
        if settings.security != "tls":
            return plain
        encrypted_socket = self._session.tls.wrap_socket(plain, server_hostname=settings.host)
        self._session.deadline.watch(encrypted_socket)
        return encrypted_socket

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> Any:
        """As imaplib's; ``host`` is the name that the certificate is checked for."""
        return super().starttls(ssl_context or self._session.tls)

    def send(self, data: Any) -> None:
        """A command, or the rest of one; its answer is counted from here on."""
        self._received = 0
        self._session.deadline.watch(self.sock)  # another one once it is encrypted
        super().send(data)

    def read(self, size: int) -> bytes:
        """A literal; the server says how long it is, and is not believed."""
        self._count(size)
        return super().read(size)

    def readline(self) -> bytes:
        """A line. There may be any number of them, of literals as well, whatever was asked."""
        line = super().readline()
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > self.allowed:
            raise VendorError(f"The server answers one command with more than {self.allowed >> 20} MB")


@contextlib.contextmanager
def _mailbox(session: Session, *, writing: bool) -> Iterator[tuple[_Box, int]]:
    """The opened folder and its UIDVALIDITY. Everything that goes wrong inside is a :class:`VendorError`."""
    settings: ImapSettings = session.settings
    box: _Box | None = None
    try:
        box = _Box(session)
        if settings.security == "starttls":
            box.starttls()
        if settings.login == "xoauth2":
            xoauth2.log_in(box, session)
        else:
            _log_in(box, settings.username, session.credentials.password)
        kind, told = box.select(_quoted(settings.folder), readonly=not writing)
        if kind != "OK":
            raise VendorError(f"The folder {settings.folder} cannot be opened: {_said(told)}")
        _kind, validity = box.response("UIDVALIDITY")
        if not validity or not validity[0] or not validity[0].isdigit():
            raise VendorError("The server names no UIDVALIDITY")
        yield box, int(validity[0])
    except _PROBLEMS as error:
        raise _problem(session, error) from None
    else:
        with contextlib.suppress(*_PROBLEMS):
            box.logout()
    finally:
        if box is not None:  # imaplib leaves it open where logging out fails
            with contextlib.suppress(OSError):
                box.shutdown()


def _problem(session: Session, error: Exception) -> VendorError:
    """What went wrong, for people."""
    host = session.settings.host
    if session.deadline.is_over:
        return VendorError(f"{host} did not finish its answer in time; a smaller max_bytes makes it shorter")
    if isinstance(error, VendorError):
        return error
    text = session.mask.text(str(error) or type(error).__name__)[:300]
    return VendorError(f"{host}: {text.removeprefix('b').strip(chr(39))}")


def _log_in(box: _Box, username: str, password: str) -> None:
    if "AUTH=PLAIN" in box.capabilities:  # which takes passwords beyond ASCII
        box.authenticate("PLAIN", lambda _challenge: f"\0{username}\0{password}".encode())
    else:
        box.login(username, password)


def _check_move(box: _Box, settings: ImapSettings) -> None:
    """Before anything is stored: what cannot be moved would come again for ever."""
    if settings.after != "move":
        return
    _kind, told = box.capability()  # asked again: servers tell more about themselves to who has logged in
    if not told or b"MOVE" not in bytes(told[0]).upper().split():
        raise VendorError("The server cannot move messages (no MOVE); use after=flag")
    if box.status(_quoted(settings.move_to), "(MESSAGES)")[0] != "OK":
        raise VendorError(f"There is no folder {settings.move_to} to move to; create it")


def _ask(box: _Box, command: str, *arguments: str) -> list[Any]:
    kind, data = box.uid(command, *arguments)
    if kind != "OK":
        raise VendorError(f"The server refuses {command}: {_said(data)}")
    return list(data)


def _waiting(session: Session, box: _Box, mark: Mark, validity: int) -> list[int]:
    """The UIDs behind the mark, in order; all since some day where there is no mark, or it is another's."""
    if mark.validity == validity:
        # n:* always names the last message, also where it is older.
        found = _ask(box, "SEARCH", "UID", f"{mark.uid + 1}:*")
    else:
        mark.uid = 0
        since = (mark.latest - timedelta(days=1) if mark.latest else session.start).astimezone(UTC)
        day = since - timedelta(days=1)  # SEARCH knows days only, of the server's zone
        found = _ask(box, "SEARCH", "SINCE", f"{day.day}-{_MONTHS[day.month - 1]}-{day.year}")
    numbers = found[0].split() if found and isinstance(found[0], bytes) else []
    return sorted({int(number) for number in numbers if number.isdigit() and int(number) > mark.uid})


def _newest(box: _Box) -> int:
    """The highest UID there can be by now."""
    _kind, told = box.response("UIDNEXT")
    if told and told[0] and told[0].isdigit():
        return int(told[0]) - 1
    found = _ask(box, "SEARCH", "UID", "*")
    return int(found[0] or 0) if found and isinstance(found[0], bytes) else 0


def _sized(box: _Box, uids: list[int], max_bytes: int) -> list[int]:
    """As many of ``uids`` as fit into a page, by what the server says of their sizes."""
    if not uids:
        return []
    sizes: dict[int, int] = {}
    for line in _ask(box, "FETCH", ",".join(map(str, uids)), "(UID RFC822.SIZE)"):
        if isinstance(line, bytes) and (number := _UID.search(line)) and (size := _SIZE.search(line)):
            sizes[int(number[1])] = int(size[1])
    page: list[int] = []
    total = 0
    for uid in uids:
        total += min(sizes.get(uid, 0), max_bytes)
        if page and total > _PAGE_BYTES:
            break
        page.append(uid)
    return page


def _messages(session: Session, box: _Box, validity: int, uids: list[int]) -> tuple[list[Found], int]:
    """Those of ``uids`` that are still there, and how many of ``uids`` that makes: as many as there is room and time for.

    What goes wrong behind the first is raised once the others are stored: a slow or broken server gets on as well.
    """
    end = time.monotonic() + _PAGE_SECONDS
    read: list[Found] = []
    taken = size = 0
    for uid in uids:
        try:
            one = _message(box, validity, uid, session.settings.max_bytes)
        except _PROBLEMS as error:
            if not read:
                raise
            session.failure = _problem(session, error)
            break
        taken += 1
        if one is not None:
            read.append(one)
            size += len(one.body)
        if size >= _PAGE_BYTES or time.monotonic() > end:
            break
    return read, taken


def _message(box: _Box, validity: int, uid: int, max_bytes: int) -> Found | None:
    """The message; None where it is gone by now."""
    box.allowed = max_bytes + _TOLD
    try:
        # Cut by the server whatever it said of the size, which may be a guess.
        told = _ask(box, "FETCH", str(uid), f"(UID INTERNALDATE BODY.PEEK[]<0.{max_bytes}>)")
    finally:
        box.allowed = _TOLD
        box.untagged_responses.clear()  # of other kinds than FETCH: imaplib keeps them while it is connected
    for line in told:
        if isinstance(line, tuple) and len(line) == 2:
            arrived = _arrived(_DATE.search(line[0]))
            return Found(bytes(line[1][:max_bytes]), id=f"{validity}:{uid}", at=arrived)
    return None


def _arrived(told: re.Match[bytes] | None) -> datetime | None:
    try:
        return datetime.strptime(told[1].decode().strip(), "%d-%b-%Y %H:%M:%S %z") if told else None
    except ValueError:
        return None


def _mark(cursor: dict[str, Any]) -> Mark:
    try:
        return msgspec.convert(cursor, Mark)
    except msgspec.ValidationError as error:
        raise VendorError(f"The stored position cannot be read: {error}") from None


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _said(data: Any) -> str:
    first = data[0] if isinstance(data, list) and data else b""
    return first.decode("utf-8", "replace")[:200] if isinstance(first, bytes) else ""
