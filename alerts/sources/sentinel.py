"""Microsoft Sentinel: incidents as the API and a playbook's incident trigger give them, rows of ``SecurityAlert`` and
``SecurityIncident``, and the alert of a playbook's alert trigger.

https://learn.microsoft.com/rest/api/securityinsights/incidents/get
https://learn.microsoft.com/azure/sentinel/automation/playbook-triggers-actions
https://learn.microsoft.com/azure/azure-monitor/reference/tables/securityalert
https://learn.microsoft.com/azure/sentinel/entities-reference
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from alerts.iocs import ObservableValue
from alerts.jsonwalk import clean
from alerts.sources.base import MAX_TAG, MAX_TAGS, NormalisedAlert, Reader
from alerts.sources.entities import (
    a_person,
    address_of,
    an_address,
    file_path,
    first_text,
    objects,
    part,
    without,
    words,
)
from alerts.sources.mapping import Mapping, observable, read, with_embedded_json
from alerts.sources.registry import Source, sign
from alerts.sources.severity import HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="sentinel",
    product="Microsoft Sentinel",
    signs=(
        sign("objectSchemaType object.properties workspaceInfo", 0.98),
        sign("object.properties.incidentNumber object.properties.title", 0.97),
        sign("type=~Microsoft.SecurityInsights/ properties.title", 0.98),
        sign("kind=SecurityAlert properties.systemAlertId", 0.97),
        sign("properties.incidentNumber properties.severity", 0.9),
        sign("SystemAlertId AlertSeverity", 0.95),
        sign("SystemAlertId AlertDisplayName", 0.95),
        sign("Type=SecurityIncident IncidentName", 0.95),
        sign("IncidentNumber IncidentName AlertIds", 0.9),
    ),
    severities=Severities({"informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH}),
)

_MAPPING = Mapping(
    source_id="properties.incidentName name IncidentName SystemAlertId VendorOriginalId id",
    title="properties.title properties.alertDisplayName DisplayName AlertDisplayName AlertName Title",
    description="properties.description Description",
    severity="properties.severity AlertSeverity Severity",
    event_at="properties.firstActivityTimeUtc properties.createdTimeUtc properties.startTimeUtc StartTime StartTimeUtc "
    "FirstActivityTime CreatedTime TimeGenerated",
    rule_name="ExtendedProperties.Analytic_Rule_Name properties.alerts.properties.alertDisplayName properties.title "
    "properties.alertDisplayName AlertName AlertDisplayName Title",
    techniques="properties.additionalData.techniques properties.additionalData.subTechniques "
    "properties.alerts.properties.techniques Techniques SubTechniques AdditionalData.techniques",
    group_key="properties.providerIncidentId ProviderIncidentId",
    vendor_url="properties.incidentUrl IncidentUrl",
)
_EMBEDDED = (
    "Entities", "ExtendedProperties", "AdditionalData", "Labels", "Techniques", "SubTechniques",
    "RelatedAnalyticRuleIds", "Owner", "Comments", "properties.relatedEntities", "properties.alerts",
)  # fmt: skip
# People who work on the incident, our own domain, and what Microsoft writes about the workspace and the query.
_NO_OBSERVABLES = (
    "properties.owner", "properties.comments", "properties.relatedEntities.properties.dnsDomain", "Entities.DnsDomain",
    "Entities.dnsDomain", "Owner", "Comments", "ModifiedBy", "ExtendedProperties.Query", "ExtendedLinks",
    "properties.alertLink", "properties.alerts.properties.alertLink", "properties.additionalData.providerIncidentUrl",
    "AlertLink",
)  # fmt: skip

_VERDICTS = {
    "truepositive": "malicious",
    "falsepositive": "benign",
    "benignpositive": "benign",
    "undetermined": "unknown",
}
_OVER = frozenset({"closed", "resolved", "dismissed"})


class _Found(NamedTuple):
    """What the entities say."""

    source_ip: str | None
    dest_ip: str | None
    hostname: str | None
    username: str | None
    observables: tuple[ObservableValue, ...]


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An incident or alert of Sentinel's."""
    payload = _incident(payload)
    link = _link(payload)
    payload = without(with_embedded_json(payload, *_EMBEDDED), *_NO_OBSERVABLES)
    reader = Reader(payload)
    found = _entities(payload)
    victim = first_text(payload, "CompromisedEntity") or first_text(
        part(payload, "properties"), "compromisedEntity"
    )
    return read(
        reader,
        _MAPPING,
        severities,
        rule_id=_rule_id(payload),
        tags=_tags(reader),
        vendor_url=link,
        source_ip=found.source_ip,
        dest_ip=found.dest_ip,
        hostname=found.hostname or _host_of(victim, found.username),
        username=found.username or (victim if victim and "@" in victim else None),
        determination=_VERDICTS.get(_word(reader, "properties.classification", "Classification")),
        resolved=_word(reader, "properties.status", "Status") in _OVER,
        observables=found.observables,
    )


def _incident(payload: dict[str, Any]) -> dict[str, Any]:
    """The incident in the wrapper that a playbook's incident trigger receives."""
    wrapped = payload.get("object")
    return wrapped if type(wrapped) is dict and type(wrapped.get("properties")) is dict else payload


def _link(payload: dict[str, Any]) -> str | None:
    """The alert's page where its field's name would make an observable of it."""
    properties = part(payload, "properties")
    return (
        first_text(payload, "AlertLink")
        or first_text(properties, "alertLink", "incidentUrl")
        or first_text(part(properties, "additionalData"), "providerIncidentUrl")
    )


def _word(reader: Reader, *paths: str) -> str:
    value = reader.raw(*paths)
    return value.strip().lower() if type(value) is str else ""


def _rule_id(payload: dict[str, Any]) -> str | None:
    """The id of the analytics rule: of resource ids the last part, of ``<workspace>_<rule>`` the second."""
    properties = part(payload, "properties")
    extended = part(payload, "ExtendedProperties")
    for holder, key in (
        (properties, "relatedAnalyticRuleIds"),
        (payload, "RelatedAnalyticRuleIds"),
        (extended, "Analytic Rule Ids"),
    ):
        value = holder.get(key)
        rule = next((item for item in value if type(item) is str), None) if type(value) is list else value
        if type(rule) is str and rule.strip('[]" '):
            return rule.strip('[]" ').partition(",")[0].strip('" ').rpartition("/")[2]
    kind = first_text(payload, "AlertType") or first_text(properties, "alertType")
    return kind.rpartition("_")[2] if kind and len(kind) == 73 and kind[36] == "_" else kind


def _tags(reader: Reader) -> tuple[str, ...]:
    values = reader.every(
        "properties.labels.labelName",
        "Labels.labelName",
        "properties.additionalData.alertProductNames",
        "AdditionalData.alertProductNames",
        "ProductName",
        "properties.productName",
    )
    texts = dict.fromkeys(clean(value).strip() for value in values if type(value) is str)
    return tuple(reader.cut("a value of tags", text, MAX_TAG) for text in texts if text)[:MAX_TAGS]


def _entities(payload: dict[str, Any]) -> _Found:
    given = [*_typed(part(payload, "properties").get("relatedEntities")), *_typed(payload.get("Entities"))]
    of: dict[str, list[dict[str, Any]]] = {}
    for kind, entity in given:
        of.setdefault(kind, []).append(entity)
    attackers: list[str | None] = []
    victims: list[str | None] = []
    others: list[str | None] = []
    for entity in of.get("ip", ()):
        roles = words(entity.get("Roles") or entity.get("roles"))
        side = attackers if roles & {"attacker", "source"} else victims if roles & _VICTIM_ROLES else others
        side.append(first_text(entity, "Address", "address"))
    connections = of.get("networkconnection", ())
    sources = [_address_in(one, "SourceAddress", "sourceAddress") for one in connections]
    targets = [_address_in(one, "DestinationAddress", "destinationAddress") for one in connections]
    hosts = (
        first_text(one, "HostName", "hostName", "NetBiosName", "netBiosName") for one in of.get("host", ())
    )
    users = [*map(_user, of.get("account", ())), *map(_mailbox, of.get("mailbox", ()))]
    return _Found(
        an_address(sources) or an_address(attackers) or an_address(others),
        an_address(targets) or an_address(victims),
        next(filter(None, hosts), None),
        a_person(users),
        tuple(_observables(given)),
    )


_VICTIM_ROLES = frozenset({"attacked", "compromised", "destination", "victim"})


def _typed(value: Any) -> Iterable[tuple[str, dict[str, Any]]]:
    """Each entity with its kind, folded. Rows refer to entities by ``{"$ref": "4"}``."""
    given = objects(value)
    by_id = {entity["$id"]: entity for entity in given if type(entity.get("$id")) is str}
    for entity in given:
        if type(entity.get("$ref")) is str:
            entity = by_id.get(entity["$ref"], entity)
        kind = first_text(entity, "kind", "Kind", "Type", "type") or ""
        inner = part(entity, "properties") or entity
        resolved = {
            key: by_id.get(item["$ref"], item)
            if type(item) is dict and type(item.get("$ref")) is str
            else item
            for key, item in inner.items()
        }
        yield kind.lower().replace("-", ""), resolved


def _user(entity: dict[str, Any]) -> str | None:
    name = first_text(
        entity, "Name", "accountName", "userPrincipalName", "UserPrincipalName", "DisplayName", "displayName"
    )
    suffix = first_text(entity, "UPNSuffix", "upnSuffix")
    return f"{name}@{suffix}" if name and suffix and "@" not in name else name


def _mailbox(entity: dict[str, Any]) -> str | None:
    return first_text(entity, "Upn", "upn", "MailboxPrimaryAddress", "mailboxPrimaryAddress")


def _address_in(entity: dict[str, Any], *keys: str) -> str | None:
    return next(
        (address for key in keys if (address := first_text(part(entity, key), "Address", "address"))), None
    ) or first_text(entity, *keys)


def _host_of(victim: str | None, username: str | None) -> str | None:
    """``CompromisedEntity`` names a machine, a person or an Azure resource."""
    if victim is None or any(mark in victim for mark in "@/\\ ") or address_of(victim):
        return None
    return None if username and victim.lower() == username.lower().partition("@")[0] else victim


def _observables(given: list[tuple[str, dict[str, Any]]]) -> Iterable[ObservableValue]:
    """Names that stand under keys which say nothing by themselves."""
    for kind, entity in given:
        name = first_text(entity, "Name", "fileName")
        found: list[tuple[str, str | None]] = []
        if kind == "account":
            user = _user(entity) or ""
            found = [("username", user.partition("@")[0]), ("email", user)]
        elif kind == "host":
            found = [("hostname", first_text(entity, "HostName", "hostName"))]
        elif kind == "file":
            folder = file_path(first_text(entity, "Directory", "directory"), name)
            found = [("filename", name), ("path", folder)]
        elif kind == "dns":
            found = [("domain", first_text(entity, "DomainName", "domainName"))]
        elif kind == "process":
            found = [("command_line", first_text(entity, "CommandLine", "commandLine"))]
        for what, value in found:
            made = observable(what, value, f"entity {kind}")
            if made is not None:
                yield made
