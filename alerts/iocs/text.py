"""Observables in running text: one RE2 scan for candidates, then a cheap judgement of each.

Linear in the length of the text: RE2 never backtracks, no alternative of the pattern can run past the end of the
match that wins, and the number of candidates judged is capped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, pairwise

import re2

from alerts.iocs import lookalikes
from alerts.iocs.defang import is_defanged, refang
from alerts.iocs.hosts import UNSPECIFIED, canonical_ip, is_ipv4, known_suffix
from alerts.iocs.urls import host_of, trim_url, without_path
from alerts.iocs.values import CANONICAL, HASH_TYPES, MAX_VALUE, canonical_email, canonical_url, is_bitcoin

MAX_CANDIDATES = 5_000
"""Candidates judged per payload or pasted text."""
_MAX_DEFANG_CHECKS = 200

_URL = (
    rb"(?i:https?|ftps?|sftp|wss?|ldaps?|rmi|smb|tftp|gopher|telnet|ssh|rtsp|irc)://[^\x00-\x20\"'<>`{}|\\^]+"
)
# Whatever may hold a dot or @ is one maximal run of one class. Its first label is bounded, as DNS and SMTP bound it:
# otherwise "00-11-22-33-44-55-00-11-…" makes each search for a MAC address look to the end for a dot.
_WORDS = rb"[\w%+\x80-\xff-]{1,64}(?:[.@][\w%+\x80-\xff-]+)+"
_BYTES = re2.Options()
_BYTES.encoding = re2.Options.Encoding.LATIN1
_BYTES.log_errors = False
# First match wins at each place, so order matters.
_CANDIDATE = re2.compile(
    b"|".join(
        (
            _URL,
            rb"(?i:\bCVE-[0-9]{4}-[0-9]{4,10}\b)",
            _WORDS,
            rb"\b(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}\b",
            rb"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*",
            rb"\b[0-9A-Fa-f]{32}[0-9A-Fa-f]*\b",
            rb"\bAS[0-9]{1,10}\b",
            rb"\b0x[0-9A-Fa-f]{40}\b",
            rb"\b(?:bc1[02-9ac-hj-np-z]{11,71}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b",
        )
    ),
    _BYTES,
)
_WORD_RUN = re.compile(r"[\w.-]+")
_ASCII_RUN = re.compile(r"[0-9A-Za-z_.-]+")
_NEXT_URL = re2.compile(r"(?i)[,;]+(?:https?|ftp)://")
_URL_END = re.compile("[\x7f-\xa0\xab\xbb\u2000-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\ufffd]")
_MAX_JOINED_URLS = 100
# Protocol and product names, not autonomous systems.
_NOT_ASN = frozenset({"AS1", "AS2", "AS3", "AS4", "AS400"})
_OTHER_DIGESTS = ("imphash", "pehash", "vhash", "authentihash", "ja3", "ja3s", "jarm", "hassh", "etag")

Found = tuple[str, str]


def worth_scanning(text: str) -> bool:
    """A cheap look: when it says no, :class:`Scan` would find nothing (file names apart)."""
    if "." in text:
        text = text.rstrip(".")
        if len(text) > 40 or not text.isascii() or not text.replace(".", "").isalnum():
            return True
        # One dotted word, as most fields with a dot are: "8.14.2", "T1059.001", "powershell.exe".
        return known_suffix(text.rpartition(".")[2]) or is_ipv4(text) or len(text) == 14
    if ":" in text or "@" in text or "AS" in text or len(text) >= 26:
        return True
    if "[" in text or "(" in text or "{" in text:  # evil[dot]com
        return True
    return "-" in text and ("CVE" in text or "cve" in text or text.count("-") >= 5)


class Scan:
    """One text being read.

    Without ``hashes`` bare digests are passed over (identifiers look the same), without ``addresses`` dotted numbers
    (version fields), without ``domains`` bare names. ``filenames`` adds names with a known extension.
    """

    __slots__ = (
        "addresses",
        "budget",
        "checks",
        "data",
        "domains",
        "filenames",
        "hashes",
        "left_out",
        "original",
    )

    def __init__(
        self,
        text: str,
        *,
        hashes: bool = True,
        addresses: bool = True,
        domains: bool = True,
        filenames: bool = False,
        budget: int = MAX_CANDIDATES,
    ) -> None:
        plain = refang(text) if is_defanged(text) else text
        self.data = plain.encode("utf-8", "replace")
        self.original = None if plain == text else text
        self.hashes = hashes
        self.addresses = addresses
        self.domains = domains
        self.filenames = filenames
        self.budget = budget
        """Candidates that may still be judged."""
        self.checks = 0
        self.left_out: list[str] = []
        """What :meth:`results` passed over for its size, in words."""

    def results(self) -> Iterator[Found]:
        """Pairs of type and canonical value in order of appearance, with repetitions."""
        for match in _CANDIDATE.finditer(self.data):
            if self.budget <= 0:
                self.left_out.append(f"only the first {MAX_CANDIDATES} candidates were judged")
                return
            self.budget -= 1
            start, end = match.span()
            token = self.data[start:end].decode("utf-8", "replace")
            if "://" in token:
                yield from self._urls(token)
            elif "@" in token:
                yield from self._mail(token)
            elif ":" in token:
                yield from self._colons(token, start, end)
            elif "." in token:
                yield from self._dotted(token, start, end)
            else:
                yield from self._word(token, start)

    def _urls(self, token: str) -> Iterator[Found]:
        if not token.isascii():
            token = _URL_END.split(token, maxsplit=1)[0]
        cuts = [
            0,
            *(match.start() for match in islice(_NEXT_URL.finditer(token), _MAX_JOINED_URLS)),
            len(token),
        ]
        for begin, end in pairwise(cuts):
            url = trim_url(token[begin:end].lstrip(",;"))
            if len(url) > MAX_VALUE:
                self.left_out.append(
                    f"a URL of {len(url)} characters was left out (limit {MAX_VALUE}), its host kept"
                )
                # The host must be whole, the rest does not matter for it.
                yield from host_of(without_path(url))
                continue
            try:
                value = canonical_url(url)
            except ValueError:
                continue
            yield "url", value
            yield from host_of(value)

    def _word(self, token: str, start: int) -> Iterator[Found]:
        kind = HASH_TYPES.get(len(token))
        if kind is not None:
            if self.hashes and _is_digest(token) and not self._other_digest(start):
                yield kind, token.lower()
        elif token[:3].upper() == "CVE":
            yield "cve", token.upper()
        elif token.startswith("AS"):
            if token not in _NOT_ASN and token[2] != "0":
                yield from _try("asn", token)
        elif token[2:3] == "-":
            yield from _try("mac", token)
        elif token.startswith(("0x", "bc1")) or is_bitcoin(token):
            yield from _try("crypto_address", token)

    def _other_digest(self, start: int) -> bool:
        before = self.data[max(0, start - 16) : start].decode("ascii", "replace").lower().rstrip(" :=\"'")
        return before.endswith(_OTHER_DIGESTS)

    def _mail(self, token: str) -> Iterator[Found]:
        local, _, host = token.rpartition("@")
        if "@" in local or local == "git":
            return
        if is_ipv4(host):
            yield "ip", host
            return
        try:
            yield "email", canonical_email(token.strip("-_+%"))
        except ValueError:
            return

    def _colons(self, token: str, start: int, end: int) -> Iterator[Found]:
        token = token.rstrip(".")
        colons = token.count(":")
        touches = self.data[start - 1 : start].isalnum() or self.data[end : end + 1].isalnum()
        if touches or colons > 7 or len(token) > 45:
            return
        groups = [group for group in token.split(":") if group]
        if colons == 5 and all(len(group) == 2 for group in groups):
            yield from _try("mac", token)
        elif self.addresses and _reads_as_ipv6(token, groups):
            try:
                yield "ip", canonical_ip(token.removesuffix(":") if token[-2:-1] != ":" else token)
            except ValueError:
                return

    def _dotted(self, token: str, start: int, end: int) -> Iterator[Found]:
        if _is_word_byte(self.data[start - 1 : start]):
            token = token.partition(".")[2]  # the tail of a label longer than any name's
        token = token.strip("-_+%")
        last = token.rpartition(".")[2]
        if last.isdigit():
            yield from self._numbers(token, start, end)
        elif "%" in token or "+" in token:
            for part in token.replace("%", "+").split("+"):
                if "." in part:
                    yield from self._name(part, start, end)
        else:
            yield from self._name(token, start, end)

    def _numbers(self, token: str, start: int, end: int) -> Iterator[Found]:
        parts = (token,) if is_ipv4(token) else tuple(token.split("-"))
        if len(parts) > 2 or not all(is_ipv4(part) for part in parts):
            if token.count(".") == 2 and len(token) == 14 and not token.replace(".", "").isdigit():
                yield from _try("mac", token)
            return
        before = self.data[max(0, start - 32) : start].decode("utf-8", "replace")
        if not self.addresses or lookalikes.reads_as_version(before):
            return
        if len(parts) == 1 and self._is_network(token, end):
            return
        for part in parts:
            if part not in UNSPECIFIED:
                yield "ip", part

    def _is_network(self, token: str, end: int) -> bool:
        """``10.0.0.0/8`` names a network, not a host; ``10.1.2.3/8`` and ``/32`` name a host."""
        tail = self.data[end : end + 4]
        digits = tail[1:3] if tail[2:3].isdigit() else tail[1:2]
        beyond = tail[1 + len(digits) : 2 + len(digits)]
        if tail[:1] != b"/" or not digits.isdigit() or int(digits) >= 32 or beyond.isalnum():
            return False
        number = int.from_bytes(bytes(map(int, token.split("."))), "big")
        return number % (1 << (32 - int(digits))) == 0

    def _name(self, token: str, start: int, end: int) -> Iterator[Found]:
        if not token.isascii():
            yield from self._foreign(token, start, end)
        else:
            yield from self._bare_name(token, start, end)

    def _foreign(self, token: str, start: int, end: int) -> Iterator[Found]:
        """A run with letters beyond ASCII: quotation marks cut off, 访问evil.com下载 holds a name without blanks."""
        runs = _ASCII_RUN.findall(token) if _mixes_scripts(token) else _WORD_RUN.findall(token)
        for run in runs:
            name = run.strip(".-_")
            if "." in name:
                yield from self._bare_name(name, start, end)

    def _bare_name(self, token: str, start: int, end: int) -> Iterator[Found]:
        last = token.rpartition(".")[2]
        if len(token) == 14 and token[4] == token[9] == "." and not known_suffix(last):
            yield from _try("mac", token)
        elif self.domains and known_suffix(last) and self._meant_as_domain(token, start, end):
            yield from _try("domain", token)
        elif self.filenames and last.lower() in lookalikes.FILE_EXTENSIONS:
            yield "filename", token

    def _meant_as_domain(self, token: str, start: int, end: int) -> bool:
        if self._in_code(start, end) or not lookalikes.reads_as_domain(token):
            return self._was_defanged(token)
        return True

    def _in_code(self, start: int, end: int) -> bool:
        """Part of a path, a call, a template variable or an assignment, by the characters around it."""
        before, after = self.data[max(0, start - 2) : start], self.data[end : end + 1]
        if after in (b"(", b"\\", b"=") or before[-1:] in (b"\\", b"$", b"{"):
            return True
        return before[-1:] == b"/" and before[:1].isalnum()

    def _was_defanged(self, token: str) -> bool:
        """A name that stands in the text only with its dots disarmed was meant as a name."""
        if self.original is None or self.checks >= _MAX_DEFANG_CHECKS:
            return False
        self.checks += 1
        return token not in self.original


def _try(kind: str, token: str) -> Iterator[Found]:
    try:
        yield kind, CANONICAL[kind](token)
    except ValueError:
        return


def _is_digest(token: str) -> bool:
    """Hexadecimal with both digits and letters: a random digest has them, a number or a run of zeros does not."""
    return not token.isdigit() and not token.isalpha()


def _reads_as_ipv6(token: str, groups: list[str]) -> bool:
    """Not a time of day, ``abc::def`` of a program, or eight pairs of an EUI-64."""
    if "::" not in token:
        return len(groups) == 8 and not all(len(group) == 2 for group in groups)
    if len(groups) >= 3 or is_ipv4(groups[-1] if groups else ""):
        return True
    return len(groups) == 2 and len(groups[0]) == 4 and not groups[0].isalpha()


def _is_word_byte(byte: bytes) -> bool:
    return byte.isalnum() or byte in (b"_", b"%", b"+", b"-") or byte >= b"\x80"


def _mixes_scripts(token: str) -> bool:
    """Latin letters and East Asian ones in one label."""
    for label in token.split("."):
        latin = any("a" <= character.lower() <= "z" for character in label)
        if latin and any(character >= "\u2e80" for character in label):
            return True
    return False
