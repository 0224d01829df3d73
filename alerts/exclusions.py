"""Networks and domains that an admin called ours or harmless, remembered for a moment, and what they make of an alert."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace

from alerts.iocs.hosts import is_ipv4
from alerts.models import ObservableExclusion
from alerts.sources.base import NormalisedAlert
from opensoar.remembered import Remembered

OWN = ObservableExclusion.Kind.OWN.value
ALLOWED = ObservableExclusion.Kind.ALLOWED.value
"""Also the tag of such observables."""


class Exclusions:
    """Networks by length of their prefix and domains by name: a look costs the same however many there are."""

    def __init__(self, rows: Iterable[tuple[str, str]] = ()) -> None:
        """``rows``: pairs of kind and canonical value."""
        self._domains: dict[str, str] = {}
        self._networks: dict[tuple[int, int], dict[int, str]] = {}
        for kind, value in rows:
            if ":" in value or is_ipv4(value.partition("/")[0]):
                network = ipaddress.ip_network(value)
                prefix = network.prefixlen
                shift = network.max_prefixlen - prefix
                known = self._networks.setdefault((network.version, prefix), {})
                known[int(network.network_address) >> shift] = kind
            else:
                self._domains[value] = kind

    def __bool__(self) -> bool:
        return bool(self._domains or self._networks)

    def kind_of(self, type: str, value: str) -> str | None:
        """``own``, ``allowed`` or None for a canonical observable.

        A URL or mailbox is ours with its host. It is never harmless for its host's sake: much that is bad lies on good
        domains.
        """
        if type == "ip":
            return self._of_network(value)
        if type in ("domain", "hostname"):
            return self._of_name(value)
        if type == "email":
            return OWN if self._of_name(value.rpartition("@")[2]) == OWN else None
        if type == "url":
            return OWN if self._of_host(value) == OWN else None
        return None

    def _of_host(self, url: str) -> str | None:
        authority = url.split("/", 3)[2].rpartition("@")[2]
        if authority.startswith("["):
            return self._of_network(authority[1 : authority.index("]")])
        host = authority.partition(":")[0]
        return self._of_network(host) if is_ipv4(host) else self._of_name(host)

    def _of_name(self, name: str) -> str | None:
        while name and self._domains:
            if name in self._domains:
                return self._domains[name]
            name = name.partition(".")[2]
        return None

    def _of_network(self, value: str) -> str | None:
        """The narrowest network that holds all of ``value`` decides."""
        if not self._networks:
            return None
        network = ipaddress.ip_network(value)
        number, bits = int(network.network_address), network.max_prefixlen
        for prefix in range(network.prefixlen, -1, -1):
            kind = self._networks.get((network.version, prefix), {}).get(number >> (bits - prefix))
            if kind is not None:
                return kind
        return None


current = Remembered(lambda: Exclusions(ObservableExclusion.objects.values_list("kind", "value")))
"""What counts now, at most two seconds old."""
forget = current.forget


def mark(alert: NormalisedAlert) -> NormalisedAlert:
    """``alert`` with what is excluded marked among its observables and left out of its ``iocs``."""
    exclusions = current()
    if not exclusions:
        return alert
    kinds = [exclusions.kind_of(one.type, one.value) for one in alert.observables]
    if not any(kinds):
        return alert
    observables = tuple(
        replace(one, internal=one.internal or kind == OWN, allowed=kind == ALLOWED) if kind else one
        for one, kind in zip(alert.observables, kinds, strict=True)
    )
    out = {one.value for one, kind in zip(observables, kinds, strict=True) if kind}
    iocs = {group: [value for value in values if value not in out] for group, values in alert.iocs.items()}
    return replace(
        alert, observables=observables, iocs={group: values for group, values in iocs.items() if values}
    )
