"""The entities of an alert, as grouping compares them and as people are told of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _

from alerts import exclusions
from alerts.models import Alert, AlertObservable
from incidents.grouping import ADDRESSES, OBSERVED, Fact, ip_entities, key_for

# What the public API and pages call a kind of entity.
NAMES = {
    "source_ip": "source_ip", "dest_ip": "dest_ip", "external_ip": "ip", "internal_ip": "ip", "cidr": "cidr",
    "host": "hostname", "user": "username",
}  # fmt: skip
ENTITIES = (
    "source_ip", "dest_ip", "ip", "cidr", "hostname", "username", "hash", "url", "domain", "email", "process",
    "group_key",
)  # fmt: skip


@dataclass(slots=True)
class Known:
    """An alert with what it says, by key."""

    alert: Alert
    fact: Fact
    entities: dict[int, tuple[str, str]]

    def role(self, key: int) -> str:
        """What the entity of a key is to this alert: an address is its source, its destination or just mentioned."""
        kind, value = self.entities[key]
        if kind in ADDRESSES:
            if value == str(self.alert.source_ip):
                return "source_ip"
            if value == str(self.alert.dest_ip):
                return "dest_ip"
        return NAMES.get(kind, kind)


def entity_label(entity: str) -> str:
    """What people call an entity."""
    return {
        "source_ip": _("source IP"), "dest_ip": _("destination IP"), "ip": _("IP"), "cidr": _("network"),
        "hostname": _("host"), "username": _("user"), "hash": _("file hash"), "url": _("URL"), "domain": _("domain"),
        "email": _("mail address"), "process": _("process"), "group_key": _("vendor group"),
    }[entity]  # fmt: skip


def entities_of(alert: Alert, observed: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """(kind, value) of everything that may tie ``alert`` to others; values as they are compared."""
    if alert.hostname and alert.hostname.strip():
        yield "host", alert.hostname.strip().lower()
    if alert.username and alert.username.strip():
        yield "user", alert.username.strip().lower()
    for address in {alert.source_ip, alert.dest_ip} - {None}:
        yield from _address_entities(str(address))
    if alert.group_key:
        yield "group_key", alert.group_key
    for kind, value in observed:
        if kind == "ip":
            yield from _address_entities(value)
        elif kind in OBSERVED and exclusions.current().kind_of(kind, value) != exclusions.ALLOWED:
            yield OBSERVED[kind], value
    if alert.rule_name:
        yield "rule", alert.rule_name
        if alert.hostname:
            yield "habit", f"{alert.rule_name}\0{alert.hostname.strip().lower()}"


def _address_entities(value: str) -> Iterator[tuple[str, str]]:
    """What is harmless ties nothing; an address of ours is a place, wherever it lies."""
    ours = exclusions.current().kind_of("ip", value)
    if ours == exclusions.ALLOWED:
        return
    for kind, found in ip_entities(value):
        if ours != exclusions.OWN:
            yield kind, found
        elif kind != "cidr":
            yield "internal_ip", found


def know(alert: Alert, observed: Iterable[tuple[str, str]]) -> Known:
    """``alert`` with its entities."""
    partner = alert.partner_id.bytes
    entities = {key_for(partner, kind, value): (kind, value) for kind, value in entities_of(alert, observed)}
    fact = Fact(alert.pk.int, alert.created_at.timestamp(), tuple(sorted(entities)))
    return Known(alert, fact, entities)


def known_alerts(ids: Collection[UUID]) -> dict[int, Known]:
    """Alerts by the number that their id is, with their entities: two queries."""
    observed: dict[UUID, list[tuple[str, str]]] = {}
    links = AlertObservable.objects.filter(alert_id__in=ids, observable__type__in=[*OBSERVED, "ip"])
    for alert_id, kind, value in links.values_list("alert_id", "observable__type", "observable__value"):
        observed.setdefault(alert_id, []).append((kind, value))
    alerts = Alert.objects.filter(pk__in=ids).only(
        "partner_id", "title", "hostname", "username", "source_ip", "dest_ip", "group_key", "rule_name", "severity",
        "created_at", "severity_rank",
    )  # fmt: skip
    return {alert.pk.int: know(alert, observed.get(alert.pk, ())) for alert in alerts}
