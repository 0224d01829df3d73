"""What an observable is: its types, their other names, and the one canonical spelling of each value."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from alerts.iocs.defang import refang
from alerts.iocs.hosts import (
    DOMAIN,
    HOSTNAME,
    MAX_HOST,
    PRIVATE_SUFFIXES,
    canonical_address,
    canonical_domain,
    canonical_hostname,
    canonical_ip,
    is_internal,
    short,
    to_ascii_host,
    under_public_suffix,
)

MAX_VALUE = 2048
"""Longest value kept, in characters. A cut value would be another value, so longer ones are left out."""

HASH_TYPES = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_ALIASES = {
    "hash": "hash", "checksum": "hash", "filehash": "hash",
    "ipv4": "ip", "ipv6": "ip", "ipsrc": "ip", "ipdst": "ip", "ipv4addr": "ip", "ipv6addr": "ip", "ipaddress": "ip",
    "fqdn": "hostname", "host": "hostname",
    "domainname": "domain", "uri": "url",
    "user": "username", "useraccount": "username", "account": "username",
    "mail": "email", "emailaddr": "email", "emailaddress": "email", "emailsrc": "email", "emaildst": "email",
    "registry": "registry_key", "regkey": "registry_key", "windowsregistrykey": "registry_key",
    "macaddr": "mac", "macaddress": "mac",
    "as": "asn", "autonomoussystem": "asn", "vulnerability": "cve",
    "filepath": "path", "useragent": "user_agent", "commandline": "command_line", "cmdline": "command_line",
    "btc": "crypto_address", "xmr": "crypto_address", "wallet": "crypto_address",
}  # fmt: skip

# None of these nests repetitions, and all values are shorter than MAX_VALUE: see hosts.py.
_LOCAL_PART = re.compile(r"[^\s\"'<>()\[\]{},;:\\@]+(?:'[^\s\"'<>()\[\]{},;:\\@]+)*")
# Also U+2010 to U+2015, the minus sign and the wide hyphen of word processors, "cve.2021-44228" and "cve,2021-44228".
_CVE = re.compile(
    "CVE[-_.,: \u2010-\u2015\u2212\uff0d]([0-9]{4})[-_\u2010-\u2015\u2212\uff0d]([0-9]{4,10})", re.IGNORECASE
)
_ASN = re.compile(r"(?:ASN?)?[\s:=#-]{0,4}([0-9]{1,10})")
_MAC = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}|[0-9a-f]{12}")
_SSDEEP = re.compile(r"[0-9]{1,10}:[A-Za-z0-9+/]{3,200}:[A-Za-z0-9+/]{3,200}")
_BECH32 = re.compile(r"bc1[02-9ac-hj-np-z]{11,71}")
_BECH32_DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_FACTORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_ETHEREUM = re.compile(r"0x[0-9a-f]{40}")
_MONERO = re.compile(r"[48][1-9A-HJ-NP-Za-km-z]{94}")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_HIVES = {
    "HKEY_LOCAL_MACHINE": "HKLM", "HKEY_CURRENT_USER": "HKCU", "HKEY_CLASSES_ROOT": "HKCR", "HKEY_USERS": "HKU",
    "HKEY_CURRENT_CONFIG": "HKCC",
}  # fmt: skip
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
_URL_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"<>[]\\^`{|}')


@dataclass(frozen=True, slots=True)
class ObservableValue:
    """A typed value found in a payload or a text."""

    type: str
    value: str
    """Canonical: two spellings of one thing have one value."""
    field: str = ""
    """Dotted path it came from; empty for pasted text."""
    internal: bool = False
    """Private address, a name without a public suffix, or what an admin called ours."""
    allowed: bool = False
    """What an admin called harmless wherever it appears."""


def canonical(type: str, value: str) -> tuple[str, str]:
    """The type and canonical value of something a person or a client calls a ``type``.

    Accepts the aliases of other products (``ipv4``, ``fqdn``, ``regkey``, ``hash`` by length …) and defanged values.
    Raises ValueError, with a sentence fit for the person who typed it.
    """
    name = resolve_type(type)
    text = value.strip()
    if not text:
        raise ValueError("the value is empty")
    if not text.isprintable() and any(
        character < " " or "\ud800" <= character <= "\udfff" for character in text
    ):
        raise ValueError("the value contains control characters")
    if len(text) > MAX_VALUE:
        raise ValueError(f"the value has {len(text)} characters; at most {MAX_VALUE} are kept")
    if name == "hash":
        name = HASH_TYPES.get(len(text), "")
        if not name:
            raise ValueError(f"“{short(text)}” is not an MD5, SHA-1, SHA-256 or SHA-512 hash")
    return name, CANONICAL[name](text)


def resolve_type(type: str) -> str:
    """Our name for a type, or ``hash``, whose length decides. Raises ValueError for an unknown one."""
    name = type.strip().lower()
    if name in CANONICAL:
        return name
    folded = name.replace("-", "").replace("_", "").replace(" ", "")
    known = _ALIASES.get(folded) or _FOLDED_TYPES.get(folded)
    if known is None:
        raise ValueError(
            f"unknown observable type “{short(type)}”; known are: {', '.join(sorted(CANONICAL))}"
        )
    return known


def canonical_url(text: str) -> str:
    """Scheme and host lower case, default port dropped, an empty path written ``/``. Raises ValueError."""
    head, mark, tail = refang(text).partition("?")
    # Browsers read a backslash as a slash, so http://evil.com\\@good.com goes to evil.com.
    plain = head.replace("\\", "/") + mark + tail
    error = f"“{short(text)}” is not a URL"
    try:
        parts = urlsplit(plain)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(error) from None
    if not host or not parts.scheme or any(character.isspace() for character in plain):
        raise ValueError(f"{error} (one starts with http://, for example)")
    scheme = parts.scheme
    host = f"[{canonical_ip(host)}]" if ":" in host else to_ascii_host(host)
    if not host.startswith("[") and (len(host) > MAX_HOST or HOSTNAME.fullmatch(host) is None):
        raise ValueError(error)
    userinfo = parts.netloc.rpartition("@")[0]
    authority = (quote(userinfo, safe=_URL_SAFE) + "@" if userinfo else "") + host
    if port is not None and port != _DEFAULT_PORTS.get(scheme):
        authority += f":{port}"
    url = f"{scheme}://{authority}" + (quote(parts.path, safe=_URL_SAFE) or "/")
    if parts.query:
        url += "?" + quote(parts.query, safe=_URL_SAFE)
    if parts.fragment:
        url += "#" + quote(parts.fragment, safe=_URL_SAFE)
    if len(url) > MAX_VALUE:
        raise ValueError(f"the URL has {len(url)} characters; at most {MAX_VALUE} are kept")
    return url


def canonical_email(text: str) -> str:
    """One address, lower case. Its domain may be private (``joe@corp.local``). Raises ValueError."""
    local, at, host = refang(text).removeprefix("mailto:").rpartition("@")
    name = to_ascii_host(host)
    too_long = len(local) > 64 or len(name) > MAX_HOST
    if not at or too_long or _LOCAL_PART.fullmatch(local) is None or DOMAIN.fullmatch(name) is None:
        raise ValueError(f"“{short(text)}” is not an e-mail address")
    if not (under_public_suffix(name) or name.rpartition(".")[2] in PRIVATE_SUFFIXES):
        raise ValueError(f"“{short(text)}” is not an e-mail address: unknown suffix")
    return f"{local.lower()}@{name}"


def _hash(length: int) -> Callable[[str], str]:
    shape = re.compile(f"[0-9a-f]{{{length}}}")
    name = HASH_TYPES[length]

    def check(text: str) -> str:
        value = text.lower()
        if shape.fullmatch(value) is None:
            raise ValueError(f"“{short(text)}” is not a {name}: that is {length} hexadecimal digits")
        return value

    return check


def _cve(text: str) -> str:
    found = _CVE.fullmatch(text)
    if found is None:
        raise ValueError(f"“{short(text)}” is not a CVE id such as CVE-2021-44228")
    return f"CVE-{found[1]}-{found[2]}"


def _ssdeep(text: str) -> str:
    if _SSDEEP.fullmatch(text) is None:
        raise ValueError(f"“{short(text)}” is not an ssdeep hash")
    return text


def _mac(text: str) -> str:
    value = text.lower()
    if _MAC.fullmatch(value) is None:
        raise ValueError(f"“{short(text)}” is not a MAC address")
    digits = value.replace(":", "").replace("-", "").replace(".", "")
    return ":".join(digits[start : start + 2] for start in range(0, 12, 2))


def _asn(text: str) -> str:
    found = _ASN.fullmatch(text.upper())
    if found is None or not 0 < int(found.group(1)) < 2**32:
        raise ValueError(f"“{short(text)}” is not an AS number")
    return f"AS{int(found.group(1))}"


def _registry_key(text: str) -> str:
    hive, separator, rest = text.replace("/", "\\").strip("\\").partition("\\")
    hive = hive.upper().rstrip(":")
    hive = _HIVES.get(hive, hive)
    if hive not in _HIVES.values() or not separator:
        raise ValueError(f"“{short(text)}” is not a registry key (one starts with HKLM\\, HKCU\\ …)")
    return f"{hive}\\{rest}"


def _crypto_address(text: str) -> str:
    lower = text.lower()
    if _ETHEREUM.fullmatch(lower) or (text in (lower, text.upper()) and is_segwit(lower)):
        return lower
    if _MONERO.fullmatch(text) or is_bitcoin(text):
        return text
    raise ValueError(f"“{short(text)}” is not a Bitcoin, Ethereum or Monero address")


def is_bitcoin(text: str) -> bool:
    """A base58 Bitcoin address whose checksum holds."""
    if not 26 <= len(text) <= 35 or any(character not in _BASE58 for character in text):
        return False
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    if number >= 1 << 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def is_segwit(text: str) -> bool:
    """A Bitcoin address of BIP-173 or BIP-350, in lower case, whose checksum holds."""
    if _BECH32.fullmatch(text) is None:
        return False
    values = [_BECH32_DIGITS.index(character) for character in text[3:]]
    checksum = 1
    for value in (3, 3, 0, 2, 3, *values):  # "bc", expanded as the standard says
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(_BECH32_FACTORS):
            if top >> bit & 1:
                checksum ^= factor
    version, length = values[0], (len(values) - 7) * 5 // 8
    if version == 0:
        return checksum == 1 and length in (20, 32)
    return version <= 16 and checksum == 0x2BC830A3 and 2 <= length <= 40


def _filename(text: str) -> str:
    if "/" in text or "\\" in text or len(text) > 255:
        raise ValueError(f"“{short(text)}” is not a file name; is it a path?")
    return text


def _at_most(limit: int, transform: Callable[[str], str] = str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > limit:
            raise ValueError(f"the value has {len(text)} characters; at most {limit} are kept")
        return transform(text)

    return check


CANONICAL: dict[str, Callable[[str], str]] = {
    "ip": canonical_address,
    "domain": canonical_domain,
    "hostname": canonical_hostname,
    "url": canonical_url,
    "email": canonical_email,
    "md5": _hash(32),
    "sha1": _hash(40),
    "sha256": _hash(64),
    "sha512": _hash(128),
    "ssdeep": _ssdeep,
    "filename": _filename,
    "path": _at_most(1024),
    "registry_key": _registry_key,
    "username": _at_most(255, str.lower),
    "mac": _mac,
    "asn": _asn,
    "cve": _cve,
    "mutex": _at_most(512),
    "user_agent": _at_most(1024),
    "process": _at_most(255),
    "command_line": _at_most(MAX_VALUE),
    "crypto_address": _crypto_address,
    "file": _at_most(512),
    "other": _at_most(MAX_VALUE),
}
"""Type → the function that gives the canonical value, or raises ValueError."""

_FOLDED_TYPES = {name.replace("_", ""): name for name in CANONICAL}


def make(type: str, value: str, field: str = "") -> ObservableValue:
    """The observable of a value that is canonical already."""
    return ObservableValue(type, value, field, is_internal(type, value))
