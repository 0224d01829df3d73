"""Addresses and names: the canonical spelling of each, and which of them belong to a private network."""

from __future__ import annotations

import ipaddress
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import idna

from alerts.iocs.defang import refang

if TYPE_CHECKING:
    from tldextract import TLDExtract

# Lengths are checked before these are used and no repetition nests in another one over the same characters, so the
# standard library's engine is linear here; through RE2 each call costs ten times as much.
HOSTNAME = re.compile(r"\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*")
DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
MAX_HOST = 253
UNSPECIFIED = frozenset({"0.0.0.0", "::", "0.0.0.0/0", "::/0"})  # noqa: S104
"""What says "none" or "any"."""
# Suffixes that never are on the public Internet.
PRIVATE_SUFFIXES = frozenset(
    {
        "local",
        "localdomain",
        "lan",
        "internal",
        "intranet",
        "corp",
        "home",
        "private",
        "localhost",
        "arpa",
        "test",
    }
)
# Not "not is_global": documentation ranges stand for the Internet in every example, demo and test payload.
_INTERNAL_NETWORKS = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
_INTERNAL_IPV4_NETWORKS = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "224.0.0.0/3",
    )
)  # fmt: skip


def short(text: str) -> str:
    """``text`` as an error message shows it."""
    return text if len(text) <= 60 else text[:57] + "…"


def is_ipv4(text: str) -> bool:
    """Four decimal octets without leading zeros: ``010.1.1.1`` means different hosts to different programs."""
    parts = text.split(".")
    if len(parts) != 4:
        return False
    for part in parts:
        if not (0 < len(part) <= 3 and part.isascii() and part.isdigit()):
            return False
        if int(part) > 255 or (part[0] == "0" and len(part) > 1):
            return False
    return True


def canonical_ip(text: str) -> str:
    """``text`` as one IPv4 or IPv6 address. Raises ValueError."""
    if is_ipv4(text):
        return text
    if ":" not in text:
        text = refang(text)
        if is_ipv4(text):
            return text
        raise ValueError(f"“{short(text)}” is not an IP address")
    bare = refang(text) if "[:" in text or ":]" in text or "[." in text else text
    bare = bare.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ipaddress.IPv6Address(bare)
    except ValueError:
        raise ValueError(f"“{short(text)}” is not an IP address") from None
    # ::ffff:1.2.3.4 is the same host as 1.2.3.4, and Python versions print it differently.
    return str(address.ipv4_mapped or address)


def canonical_address(text: str) -> str:
    """``text`` as an address, or as a network such as ``203.0.113.0/24``. Raises ValueError.

    An address written with the mask of its network (``203.0.113.9/24``) is the address.
    """
    if is_ipv4(text):
        return text
    if "/" not in text:
        return canonical_ip(text)
    address, slash, mask = text.partition("/") if "[/" not in text else refang(text).partition("/")
    plain = canonical_ip(address)
    if not slash:
        return plain
    if not (mask.isascii() and mask.isdigit() and int(mask[:4]) <= (128 if ":" in plain else 32)):
        raise ValueError(f"“{short(text)}” is not a network; one is written 203.0.113.0/24")
    network = ipaddress.ip_network(f"{plain}/{mask}", strict=False)
    return plain if network.num_addresses == 1 or str(network.network_address) != plain else str(network)


def canonical_domain(text: str) -> str:
    """A name under a public suffix, lower case, internationalised names in their ASCII form. Raises ValueError."""
    name = to_ascii_host(refang(text))
    if (
        len(name) > MAX_HOST
        or DOMAIN.fullmatch(name) is None
        or any(len(label) > 63 for label in name.split("."))
    ):
        raise ValueError(f"“{short(text)}” is not a domain name")
    if not under_public_suffix(name):
        raise ValueError(f"“{short(text)}” is not under a public suffix; is it a hostname?")
    return name


def to_ascii_host(text: str) -> str:
    """``text`` lower case, without a trailing dot, IDNA-encoded when it is not ASCII. Raises ValueError."""
    name = text.lower().rstrip(".")
    if name.isascii() or len(name) > MAX_HOST:
        return name
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError:
        raise ValueError(f"“{short(text)}” is not a domain name") from None


@cache
def _extractor() -> TLDExtract:
    # Imported late: the library loads an HTTP client, which we never let it use. The bundled list is the only source.
    import tldextract

    # RFC 2606 keeps .example for texts like ours: no registry gives names there, documents and demos are full of them.
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, extra_suffixes=("example",))


@cache
def _last_labels() -> frozenset[str]:
    labels = {suffix.rpartition(".")[2] for suffix in _extractor().tlds}
    return frozenset(labels | {to_ascii_host(label) for label in labels if not label.isascii()})


def known_suffix(label: str) -> bool:
    """Whether a public suffix ends in ``label``. Cheap: most dotted words end here."""
    return label.lower() in _last_labels()


@lru_cache(maxsize=8192)
def under_public_suffix(name: str) -> bool:
    """Whether ``name`` (ASCII, lower case) is at least one label below a suffix of the public suffix list."""
    found = _extractor().extract_str(name)
    return bool(found.suffix and found.domain)


@lru_cache(maxsize=8192)
def is_shared_suffix(name: str) -> bool:
    """Whether ``name`` itself is one below which a company gives names to its customers, such as ``github.io``."""
    return not _extractor().extract_str(name, include_psl_private_domains=True).domain


@lru_cache(maxsize=8192)
def public_suffix(name: str) -> str:
    """The public suffix of ``name``: ``uk.co`` style suffixes whole. Empty when it has none."""
    return _extractor().extract_str(name).suffix


def canonical_hostname(text: str) -> str:
    """A machine's name or FQDN, lower case. Raises ValueError."""
    name = refang(text).lower().rstrip(".").removesuffix("$")
    if len(name) > MAX_HOST or HOSTNAME.fullmatch(name) is None or is_ipv4(name):
        raise ValueError(f"“{short(text)}” is not a host name")
    return name


def is_internal(type: str, value: str) -> bool:
    """Whether a canonical value belongs to a private network: never an indicator by itself."""
    if type == "ip":
        if "/" in value:
            return _internal_network(value)
        return _internal_ipv4(value) if ":" not in value else _internal_ipv6(value)
    if type == "hostname":
        return "." not in value or value.rpartition(".")[2] in PRIVATE_SUFFIXES
    if type == "url":
        return _internal_host(value.split("/", 3)[2].rpartition("@")[2])
    if type == "email":
        return value.rpartition(".")[2] in PRIVATE_SUFFIXES
    return False


def _internal_host(authority: str) -> bool:
    if authority.startswith("["):
        return _internal_ipv6(authority[1 : authority.index("]")])
    name = authority.partition(":")[0]
    return _internal_ipv4(name) if is_ipv4(name) else is_internal("hostname", name)


def _internal_ipv4(value: str) -> bool:
    first, second, _ = value.split(".", 2)
    if first in ("10", "127", "0") or int(first) >= 224:
        return True
    number = int(second)
    return (
        (first == "172" and 16 <= number <= 31)
        or (first == "192" and number == 168)
        or (first == "169" and number == 254)
        or (first == "100" and 64 <= number <= 127)
    )


def _internal_network(value: str) -> bool:
    network = ipaddress.ip_network(value)
    if network.version == 4:
        return any(network.subnet_of(other) for other in _INTERNAL_IPV4_NETWORKS)
    return any(network.subnet_of(other) for other in _INTERNAL_NETWORKS)


def _internal_ipv6(value: str) -> bool:
    address = ipaddress.IPv6Address(value)
    return any(address in network for network in _INTERNAL_NETWORKS)
