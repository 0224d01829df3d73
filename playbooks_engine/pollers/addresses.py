"""Which addresses a poller may be pointed at.

Who edits connectors must not be able to make this server ask what only this server can reach: the metadata service of
a cloud, what is on the link, this machine's own services. Addresses of the own network are allowed, since that is where
a SIEM stands. A name is resolved once and the connection is made to the address that was looked at.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from django.conf import settings

from playbooks_engine.pollers.errors import VendorError

type Address = IPv4Address | IPv6Address

_REFUSED = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8",
            # Metadata and agents of clouds that use other addresses than the link's.
            "100.100.100.200/32", "168.63.129.16/32", "192.0.0.0/24", "fd00:ec2::/32", "fd20:ce::/32",
        ),
    )
)  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")  # RFC 8215
_NOTHING = ip_network("0.0.0.0/8")


def check_url(url: str) -> str:
    """``url`` without a slash at its end. Raises ValueError for what no poller may ask."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{url[:100]!r} is no URL") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError(f"{url[:100]!r} is no URL such as https://siem.example.com")
    if parts.username or parts.password:
        raise ValueError("credentials go into the secrets, not into the URL")
    if parts.query or parts.fragment:
        raise ValueError("the URL must end with its path")
    if parts.scheme == "http" and not settings.PULL_LOOPBACK:
        raise ValueError("the URL must begin with https://")
    check_host(host)
    return url.rstrip("/")


def check_host(host: str) -> None:
    """Raises ValueError for an address no poller may ask; names are looked at when they are resolved."""
    if host.lower().rstrip(".") == "localhost" and not settings.PULL_LOOPBACK:
        raise ValueError("pollers may not ask this machine itself (OPENSOAR_PULL_LOOPBACK allows it)")
    try:
        address = ip_address(host)
    except ValueError:
        return
    if (reason := why_refused(address)) is not None:
        raise ValueError(reason)


def why_refused(address: Address) -> str | None:
    """Why nobody may be asked at ``address``, or at one that it stands for; None where it is allowed."""
    return next((reason for one in _inner(address) if (reason := _why_refused(one)) is not None), None)


def _why_refused(address: Address) -> str | None:
    if address.is_loopback:
        if settings.PULL_LOOPBACK:
            return None
        return f"{address} is this machine itself (OPENSOAR_PULL_LOOPBACK allows it)"
    if any(address.version == network.version and address in network for network in _REFUSED):
        return f"{address} is no address that pollers may ask: link-local, metadata service or multicast"
    return None


def resolve(host: str, port: int, *, encrypted: bool = True) -> list[str]:
    """The addresses of ``host``. Raises :class:`VendorError` where there is none, or one that may not be asked."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise VendorError(f"The name {host} cannot be resolved") from None
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_rest, sockaddr in found))
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        reason = why_refused(address)
        if reason is None and not encrypted and not address.is_loopback:
            reason = "without TLS only this machine itself is asked"
        if reason is not None:
            raise VendorError(f"{host} is not asked: {reason}")
    return addresses


def _inner(address: Address) -> Sequence[Address]:
    """The IPv4 addresses that an IPv6 address stands for, or may stand for; itself where there is none."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return (address.ipv4_mapped,)
        if address.sixtofour is not None:
            return (address.sixtofour,)
        if address.teredo is not None:
            return address.teredo  # its server, by way of which it is reached, and itself
        if address in _NAT64:
            return (IPv4Address(int(address) & 0xFFFFFFFF),)
        if address in _LOCAL_NAT64:
            return _translated(int(address))
    return (address,)


def _translated(bits: int) -> Sequence[Address]:
    """Whom a translator of the own network may mean, whose prefix may have 48, 56, 64 or 96 bits (RFC 6052, 2.2).

    Read by another prefix than the translator's, an address is one of no network, mostly.
    """
    # Bits 64 to 71 are none of the address: what stands before and behind them is put together.
    joined = (bits >> 64 << 56) | (bits & ((1 << 56) - 1))
    readings = [(joined >> 120 - prefix - 32) & 0xFFFFFFFF for prefix in (48, 56, 64)]
    found = [IPv4Address(reading) for reading in (*readings, bits & 0xFFFFFFFF)]
    return [one for one in found if one not in _NOTHING] or found
