"""Where a request comes from. A proxy's word is believed if the proxy is one that the installation names."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.conf import settings


def client_ip(meta: dict[str, Any]) -> str | None:
    """The address of the client behind ``OPENSOAR_TRUSTED_PROXIES``; ``None`` where the connection has none (a socket).

    ``X-Forwarded-For`` is read from its end: what a proxy of ours appended is true, what stands before an address that
    is no proxy of ours is the client's invention.
    """
    address = _parsed(meta.get("REMOTE_ADDR", ""))
    hops = str(meta.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    while address is not None and _is_proxy(address) and hops:
        before = _parsed(hops.pop())
        if before is None:
            break
        address = before
    return None if address is None else str(address)


def _is_proxy(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
