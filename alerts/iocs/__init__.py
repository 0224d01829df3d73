"""Observables: found in any payload or pasted text, typed, canonical, defanged and refanged; linear in time.

Importable without Django settings.
"""

from __future__ import annotations

from collections.abc import Iterable

from alerts.iocs.defang import defang, refang
from alerts.iocs.extract import Extraction, extract, extract_walk, parse_text
from alerts.iocs.hosts import is_internal
from alerts.iocs.values import CANONICAL, MAX_VALUE, ObservableValue, canonical, make

__all__ = [
    "MAX_VALUE",
    "TYPES",
    "Extraction",
    "ObservableValue",
    "canonical",
    "defang",
    "extract",
    "extract_walk",
    "is_internal",
    "make",
    "parse_text",
    "public_groups",
    "refang",
]

TYPES: tuple[str, ...] = tuple(CANONICAL)
"""Every observable type."""

# The first five are the public OpenSOAR's names.
_GROUPS = {
    "ip": "ips",
    "domain": "domains",
    "url": "urls",
    "md5": "hashes",
    "sha1": "hashes",
    "sha256": "hashes",
    "sha512": "hashes",
    "email": "emails",
    "ssdeep": "ssdeeps",
    "mutex": "mutexes",
    "crypto_address": "crypto_addresses",
    "process": "processes",
    "other": "others",
}
# Our machines and people: entities of an alert, not indicators.
_ASSETS = frozenset({"hostname", "username"})
# What the sender lists as an indicator stays one, private or not.
_SENDERS_LISTS = (".iocs.", ".indicators.", ".observables.")


def public_groups(observables: Iterable[ObservableValue]) -> dict[str, list[str]]:
    """The ``iocs`` object of the public API: group → values, ``ips domains urls hashes emails …``.

    Private addresses, machines and users are left out unless the sender listed them under ``iocs``: they are assets.
    """
    groups: dict[str, list[str]] = {}
    for observable in observables:
        asset = observable.internal or observable.type in _ASSETS
        if not asset or any(name in f".{observable.field}" for name in _SENDERS_LISTS):
            groups.setdefault(_GROUPS.get(observable.type, observable.type + "s"), []).append(
                observable.value
            )
    return groups
