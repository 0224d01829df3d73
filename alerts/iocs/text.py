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
from alerts.iocs.candidates import CANDIDATE
from alerts.iocs.defang import is_defanged, refang
from alerts.iocs.hosts import UNSPECIFIED, canonical_address, canonical_ip, is_ipv4, known_suffix
from alerts.iocs.urls import end_of_url, host_of, trim_url, without_path
from alerts.iocs.values import CANONICAL, HASH_TYPES, MAX_VALUE, canonical_email, canonical_url, is_bitcoin

MAX_CANDIDATES = 5_000
"""Candidates judged per payload or pasted text."""
_MAX_DEFANG_CHECKS = 200

_WORD_RUN = re.compile(r"[\w.-]+")
_NEXT_URL = re2.compile(r"(?i)[,;]+(?:https?|ftp)://")
_MAX_JOINED_URLS = 100
_MAX_CUTS = 100
# Protocol and product names, not autonomous systems.
_NOT_ASN = frozenset({"AS1", "AS2", "AS3", "AS4", "AS400"})
_OTHER_DIGESTS = ("imphash", "pehash", "vhash", "authentihash", "ja3", "ja3s", "jarm", "hassh", "etag")
_MASK = re.compile(rb"/([0-9]{1,3})(?![\w/])")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# "250-mail.example.com greets you": a server's reply in several lines.
_REPLY = re.compile(r"[245][0-5][0-9]-")
# IDNA reads these as dots. In Japanese and Chinese the first one ends a sentence.
_WIDE_DOTS = re.compile(
    r"(?<=[0-9A-Za-z])[\u3002\uff0e\uff61](?=([0-9A-Za-z-]{1,63}(?:\.[0-9A-Za-z-]{1,63}){0,3}))"
)
_BEYOND_ASCII = bytes(range(128)) + b" " * 128

Found = tuple[str, str]


class Scan:
    """One text being read.

    Without ``hashes`` bare digests are passed over (identifiers look the same), without ``addresses`` dotted numbers
    (version fields), without ``domains`` bare names. ``filenames`` adds names with a known extension.
    """

    __slots__ = (
        "addresses",
        "budget",
        "checks",
        "cuts",
        "data",
        "domains",
        "filenames",
        "hashes",
        "left_out",
        "original",
        "resume",
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
        if len(self.data) != len(plain) and ("\u3002" in plain or "\uff0e" in plain or "\uff61" in plain):
            self.data = _WIDE_DOTS.sub(_wide_dot, plain).encode("utf-8", "replace")
        self.original = None if plain == text else text
        self.hashes = hashes
        self.addresses = addresses
        self.domains = domains
        self.filenames = filenames
        self.budget = budget
        """Candidates that may still be judged."""
        self.checks = self.cuts = self.resume = 0
        self.left_out: list[str] = []
        """What :meth:`results` passed over for its size, in words."""

    def results(self) -> Iterator[Found]:
        """Pairs of type and canonical value in order of appearance, with repetitions."""
        matches = CANDIDATE.finditer(self.data)
        while (match := next(matches, None)) is not None:
            if self.budget <= 0:
                self.left_out.append(f"only the first {MAX_CANDIDATES} candidates were judged")
                return
            self.budget -= 1
            start, end = match.span()
            token = self.data[start:end].decode("utf-8", "replace")
            if "://" in token:
                yield from self._urls(token, start)
                if self.resume:
                    matches, self.resume = CANDIDATE.finditer(self.data, self.resume), 0
            elif not token.isascii() and _mixes_scripts(token):
                yield from self._glued(start, end)
            elif "@" in token:
                yield from self._mail(token, end)
            elif ":" in token and token[1] not in "sS":
                yield from self._colons(token, start, end)
            elif "." in token and token[:3].upper() != "CVE":
                yield from self._dotted(token, start, end)
            else:
                yield from self._word(token, start)

    def _glued(self, start: int, end: int) -> Iterator[Found]:
        """A run of a script without blanks: 访问evil.com下载 holds a name. What is ASCII in it is read by itself."""
        inner = Scan(
            self.data[start:end].translate(_BEYOND_ASCII).decode("ascii"),
            hashes=self.hashes,
            addresses=self.addresses,
            domains=self.domains,
            filenames=self.filenames,
            budget=self.budget,
        )
        inner.original, inner.checks = self.original, self.checks
        yield from inner.results()
        self.budget, self.checks = inner.budget, inner.checks
        self.left_out += inner.left_out

    def _urls(self, token: str, start: int) -> Iterator[Found]:
        in_list = self.data[start - 1 : start] == b","
        if in_list or "&" in token or not token.isascii():
            whole, token = token, end_of_url(token, in_list=in_list)
            if len(token) < len(whole) and self.cuts < _MAX_CUTS:  # each reads the same text once more
                self.cuts += 1
                self.resume = start + len(token.encode())
            token = token.replace("&amp;", "&")
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
            yield from _try("cve", token)
        elif token[:2].upper() == "AS":
            number = f"AS{token.lstrip('ASNasn:=# ')}"
            if number not in _NOT_ASN and number[2] != "0":
                yield from _try("asn", number)
        elif token[2:3] == "-":
            yield from _try("mac", token)
        elif token.startswith(("0x", "bc1", "BC1")) or len(token) == 95 or is_bitcoin(token):
            yield from _try("crypto_address", token)

    def _other_digest(self, start: int) -> bool:
        before = self.data[max(0, start - 16) : start].decode("ascii", "replace").lower().rstrip(" :=\"'()")
        return before.endswith(_OTHER_DIGESTS)

    def _mail(self, token: str, end: int) -> Iterator[Found]:
        if "'" in token and self.data[end : end + 1] == b"'":
            token = token.partition("'")[2]  # u'joe@example.com'
        local, _, host = token.rpartition("@")
        if "@" in local or local == "git":
            return
        if is_ipv4(host):
            yield "ip", host
            return
        token = token.strip("-_+%") if token.endswith("_") else token.strip("-+%")
        try:
            yield "email", canonical_email(token)
        except ValueError:
            return

    def _colons(self, token: str, start: int, end: int) -> Iterator[Found]:
        size, _, rest = token.partition(":")
        if rest.find(":") >= 7:  # no group of an address is that long
            yield from self._ssdeep(token, size, rest)
            return
        plain = token.rstrip(".")
        if size == "6" and self.data[max(0, start - 3) : start].lower() == b"ipv":
            plain, start = plain[2:], 0  # [IPv6:2001:db8::25]
        colons = plain.count(":")
        touches = (start and self.data[start - 1 : start].isalnum()) or self.data[end : end + 1].isalnum()
        if touches or colons > 7 or len(plain) > 45:
            return
        groups = [group for group in plain.split(":") if group]
        if colons == 5 and all(len(group) == 2 for group in groups):
            yield from _try("mac", plain)
            return
        mask = self._mask(end) if plain == token else ""
        if self.addresses and (_reads_as_ipv6(plain, groups) or (mask and groups and "::" in plain)):
            yield from self._address(plain.removesuffix(":") if plain[-2:-1] != ":" else plain, mask)

    def _ssdeep(self, token: str, size: str, digests: str) -> Iterator[Found]:
        """Block size, digest, digest of doubled blocks. The sizes are 3 times a power of two."""
        blocks, remainder = divmod(int(size), 3) if size.isdigit() and len(size) <= 10 else (0, 1)
        if not remainder and blocks and not blocks & (blocks - 1) and not digests.replace(":", "").isdigit():
            yield from _try("ssdeep", token)

    def _address(self, address: str, mask: str) -> Iterator[Found]:
        try:
            value = canonical_address(address + mask)
        except ValueError:
            value = canonical_ip(address) if is_ipv4(address) else ""
        if value and value not in UNSPECIFIED:
            yield "ip", value

    def _mask(self, end: int) -> str:
        """``/24`` after an address, unless the path goes on."""
        if self.data[end : end + 1] != b"/":
            return ""
        found = _MASK.match(self.data, end)
        return f"/{int(found[1])}" if found else ""

    def _dotted(self, token: str, start: int, end: int) -> Iterator[Found]:
        if _is_word_byte(self.data[start - 1 : start]):
            token = token.partition(".")[2]  # the tail of a label longer than any name's
        emphasis = token.endswith("_")
        token = token.strip("-_+%") if emphasis else token.strip("-+%")
        last = token.rpartition(".")[2]
        if last.isdigit():
            yield from self._numbers(token.lstrip("_"), start, end)
        elif "%" in token or "+" in token:
            for part in token.replace("%", "+").split("+"):
                if "." in part:
                    yield from self._name(part, start, end)
        else:
            yield from self._name(token, start, end)

    def _numbers(self, token: str, start: int, end: int) -> Iterator[Found]:
        parts = (token,) if is_ipv4(token) else tuple(token.split("-"))
        if len(parts) > 2 or not all(is_ipv4(part) for part in parts):
            address, _, port = token.rpartition(".")
            if is_ipv4(address) and _PORT.fullmatch(port) and self._beside_arrow(start, end):
                yield "ip", address
            elif token.count(".") == 2 and len(token) == 14 and not token.replace(".", "").isdigit():
                yield from _try("mac", token)
            return
        before = self.data[max(0, start - 32) : start].decode("utf-8", "replace")
        if not self.addresses or lookalikes.reads_as_version(before, token):
            return
        if len(parts) == 1 and (mask := self._mask(end)):
            yield from self._address(token, mask)
            return
        for part in parts:
            if part not in UNSPECIFIED:
                yield "ip", part

    def _beside_arrow(self, start: int, end: int) -> bool:
        """``203.0.113.6.443 > 203.0.113.7.51234``, as tcpdump writes ports."""
        return self.data[end : end + 3] == b" > " or self.data[max(0, start - 3) : start] == b" > "

    def _name(self, token: str, start: int, end: int) -> Iterator[Found]:
        if token.isascii():
            yield from self._bare_name(token, start, end)
            return
        for run in _WORD_RUN.findall(token):  # quotation marks cut off
            name = run.strip(".-_")
            if "." in name:
                yield from self._bare_name(name, start, end)

    def _bare_name(self, token: str, start: int, end: int) -> Iterator[Found]:
        last = token.rpartition(".")[2]
        known = known_suffix(last)
        if not known and "-" in last and not last.startswith("xn--"):
            last = last.partition("-")[0]  # "evil.com-based"
            token, known = token.rpartition(".")[0] + f".{last}", known_suffix(last)
        if not known and not self.filenames and len(token) != 14:
            return
        if token[0] == "_" and token.count(".") == 1:
            token = token.lstrip("_")  # no registered name begins with it, _dmarc below one does
        elif token[0].isdigit() and _REPLY.match(token) and self._begins_line(start):
            token = token[4:]
        if not known and len(token) == 14 and token[4] == token[9] == ".":
            yield from _try("mac", token)
        elif known and self.domains and self._meant_as_domain(token, start, end):
            yield from _try("domain", token)
        elif self.filenames and lookalikes.reads_as_file(token) and not self._in_address(start, end):
            yield "filename", token
            stem = token.partition(".")[0]
            if len(stem) in HASH_TYPES:
                yield from _try(HASH_TYPES[len(stem)], stem)

    def _begins_line(self, start: int) -> bool:
        before = self.data[max(0, start - 4) : start].rpartition(b"\n")[2].strip()
        return start < 4 or (len(before) <= 2 and not before.isdigit())

    def _in_address(self, start: int, end: int) -> bool:
        """Part of an address without a scheme, as in ``//example.com/x.php``, or a call."""
        words = self.data[max(0, start - 200) : start].split()
        before = words[-1] if words and not self.data[start - 1 : start].isspace() else b""
        host = before.partition(b"/")[0].rpartition(b".")[2]
        if b"//" in before or (host != before and known_suffix(host.decode("utf-8", "replace"))):
            return True
        return self.data[end : end + 1] == b"("

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


def _reads_as_ipv6(text: str, groups: list[str]) -> bool:
    """Not a time of day, ``abc::def`` of a program, or eight pairs of an EUI-64."""
    if "::" not in text:
        return len(groups) == 8 and not all(len(group) == 2 for group in groups)
    if len(groups) >= 3 or is_ipv4(groups[-1] if groups else "") or text == "::1":
        return True
    return len(groups) == 2 and len(groups[0]) == 4 and not groups[0].isalpha()


def _is_word_byte(byte: bytes) -> bool:
    return byte.isalnum() or byte in (b"_", b"%", b"+", b"-") or byte >= b"\x80"


def _mixes_scripts(token: str) -> bool:
    """Letters or digits of ASCII beside a script without blanks, in one label."""
    for label in token.replace("@", ".").split("."):
        if any(_is_unspaced(character) for character in label) and any(
            character.isascii() and character.isalnum() for character in label
        ):
            return True
    return False


def _is_unspaced(character: str) -> bool:
    """East Asian and Indochinese scripts, and their punctuation."""
    return character >= "\u2e80" or "\u0e00" <= character < "\u1d00"


def _wide_dot(found: re.Match[str]) -> str:
    last = found[1].rpartition(".")[2]
    return "." if last.islower() and known_suffix(last) else found[0]
