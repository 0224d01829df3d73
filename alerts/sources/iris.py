"""DFIR-IRIS 2: alerts as its API takes and gives them, and as its webhooks module sends them.

https://docs.dfir-iris.org/operations/alerts
https://docs.dfir-iris.org/operations/modules/natives/IrisWebHooks
https://github.com/dfir-iris/iris-web (its first set-up: the numbers of severities, statuses and types)
https://github.com/dfir-iris/iris-webhooks-module

What is posted to ``alerts/add`` has ``alert_iocs`` and ``alert_assets`` with numbered types, what comes back has
``iocs`` and ``assets`` with named ones.
"""

from __future__ import annotations

from typing import Any

from alerts.iocs import ObservableValue
from alerts.jsonwalk import fold
from alerts.sources.base import NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, is_address, observable, read, stated, with_embedded_json
from alerts.sources.names import DEST_IP_TAILS, SOURCE_IP_TAILS, TECHNIQUE_WORDS
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="iris",
    product="DFIR-IRIS",
    signs=(
        sign("alert_title alert_severity_id", 0.98),
        sign("alert_title alert_customer_id", 0.98),
        sign("alert_title alert_source", 0.95),
        sign("alert_title alert_severity", 0.95),
        sign("alert_title alert_iocs", 0.95),
        sign("alert_title alert_id", 0.9),
        sign("alerts.alert_title", 0.95),
        sign("alert.alert_title", 0.95),
        sign("data.alert_title", 0.95),
    ),
    # 1 is "Unspecified" and says nothing.
    severities=Severities({2: INFORMATIONAL, 3: LOW, 4: MEDIUM, 5: HIGH, 6: CRITICAL}, top=6),
)

_MAPPING = Mapping(
    title="alert_title",
    description="alert_description",
    severity="severity.severity_name alert_severity.severity_name severity alert_severity alert_severity_id",
    event_at="alert_source_event_time alert_creation_time",
    hostname=(
        "alert_source_content.agent.name alert_source_content.host.name alert_source_content.host.hostname "
        "alert_source_content.hostname alert_context.hostname alert_context.asset_name"
    ),
    username="alert_source_content.data.dstuser alert_source_content.user.name alert_context.username",
    rule_name=(
        "alert_source_content.rule.name alert_source_content.rule.description "
        "alert_source_content.kibana.alert.rule.name alert_source_content.search_name "
        "alert_context.rule_name alert_context.rule"
    ),
    rule_id=(
        "alert_source_content.rule.id alert_source_content.kibana.alert.rule.rule_id "
        "alert_source_content.rule_id alert_context.rule_id"
    ),
    tags="alert_tags classification.name",
    group_key="cases",
    vendor_url="external_link",
)

# Who works on the alert and how, and its place in IRIS: no part of what happened.
_LEFT_OUT = frozenset(
    [
        "alert_source_link",
        "object_url",
        "owner",
        "customer",
        "comments",
        "modification_history",
        "alert_uuid",
        "alert_source",
        "alert_source_ref",
        "iocs",
        "assets",
        "alert_iocs",
        "alert_assets",
        "status",
        "resolution_status",
        "related_alerts",
    ]
)
_EMBEDDED = ("alert_source_content", "alert_context")
_MAX_ENTITIES = 1000
_CLOSED = 6
_RESOLUTIONS = {
    1: "False Positive", 2: "True Positive With Impact", 3: "True Positive Without Impact", 5: "Unknown",
    6: "Legitimate",
}  # fmt: skip
_VERDICTS = {
    "falsepositive": "benign", "truepositivewithimpact": "malicious", "truepositivewithoutimpact": "malicious",
    "unknown": "unknown", "legitimate": "benign",
}  # fmt: skip
# The types of a new installation in the order it makes them; those that are observables with us.
_TYPE_NUMBERS = {
    1: "AS", 3: "account", 5: "attachment", 8: "btc", 20: "domain", 21: "domain|ip", 22: "email",
    23: "email-attachment", 25: "email-dst", 30: "email-reply-to", 31: "email-src", 37: "filename", 42: "filename|md5",
    44: "filename|sha1", 46: "filename|sha256", 52: "filename|sha512", 55: "filename|ssdeep", 69: "hostname",
    70: "hostname|port", 76: "ip-any", 77: "ip-dst", 78: "ip-dst|port", 79: "ip-src", 80: "ip-src|port", 85: "link",
    86: "mac-address", 88: "malware-sample", 90: "md5", 94: "mutex", 97: "file-path", 109: "regkey",
    110: "regkey|value", 111: "sha1", 113: "sha256", 119: "sha512", 125: "ssdeep", 128: "target-email",
    131: "target-machine", 133: "target-user", 140: "uri", 141: "url", 142: "user-agent",
}  # fmt: skip
# Types that are another word with us.
_KINDS = {
    "ipany": "ip", "targetuser": "username", "targetmachine": "hostname", "targetemail": "email", "link": "url",
    "emailreplyto": "email", "attachment": "filename", "emailattachment": "filename", "emailaddr": "email",
    "malwaresample": "filename|md5", "githubusername": "other", "process": "process",
}  # fmt: skip
_NO_OBSERVABLE = frozenset({"port", "value"})
_ACCOUNT_NUMBERS = frozenset({1, 5, 16, 17, 18, 19, 20, 21})


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of DFIR-IRIS's."""
    alert = _opened(payload)
    iocs = _iocs(alert)
    assets = _assets(alert)
    plain = {key: value for key, value in alert.items() if key not in _LEFT_OUT}
    plain = with_embedded_json(plain, *_EMBEDDED)
    # As the pairs of type and value in which an observable's type is found, under IRIS's own names for the lists.
    plain["iocs"] = [{"type": one.type, "value": one.value} for _, one in iocs]
    plain["assets"] = [{"type": one.type, "value": one.value} for one in assets]
    # A name by which no observables are looked for in it.
    plain["external_link"] = alert.get("alert_source_link")
    reader = Reader(plain)
    users = [one.value for one in assets if one.type == "username"]
    users += [one.value for kind, one in iocs if one.type == "username"]
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=_identity(alert),
        source_ip=_end(iocs, "ipsrc") or reader.address("source_ip", (), SOURCE_IP_TAILS),
        dest_ip=_end(iocs, "ipdst") or reader.address("dest_ip", (), DEST_IP_TAILS),
        hostname=_machine(alert),
        username=users[0] if users else None,
        techniques=_techniques(reader),
        vendor_url=alert.get("object_url"),
        determination=_determination(alert),
        resolved=_is_closed(alert),
        observables=(*(one for _, one in iocs), *assets),
    )


def _opened(payload: dict[str, Any]) -> dict[str, Any]:
    """The alert, out of what a webhook or an answer of the API wraps one alert in."""
    for key in ("alerts", "alert", "data"):
        inner = payload.get(key)
        if type(inner) is list and len(inner) == 1:
            inner = inner[0]
        if type(inner) is dict and "alert_title" in inner and "alert_title" not in payload:
            return {**inner, "object_url": payload.get("object_url")}
    return payload


def _listed(alert: dict[str, Any], *keys: str) -> list[dict[str, Any]]:
    every = [one for key in keys if type(found := alert.get(key)) is list for one in found]
    return [one for one in every if type(one) is dict][:_MAX_ENTITIES]


def _iocs(alert: dict[str, Any]) -> list[tuple[str, ObservableValue]]:
    """The indicators, each with the folded word by which IRIS calls its type."""
    found = []
    for position, one in enumerate(_listed(alert, "iocs", "alert_iocs")):
        value = one.get("ioc_value", one.get("value"))
        name = _type_name(one)
        if type(value) is not str:
            continue
        for kind, part in _parts(name, value):
            typed = stated(_KINDS.get(kind, kind), part, f"iocs.{position}.ioc_value")
            if typed is not None:
                found.append((kind, typed))
    return found


def _type_name(one: dict[str, Any]) -> str:
    given = one.get("ioc_type", one.get("type"))
    if type(given) is dict:
        given = given.get("type_name")
    if type(given) is not str:
        number = one.get("ioc_type_id")
        given = _TYPE_NUMBERS.get(number, "other") if type(number) is int else "other"
    return given[:100]


def _parts(name: str, value: str) -> list[tuple[str, str]]:
    """``filename|md5`` and its value taken apart at the same places; the port of an address is no observable."""
    name = _KINDS.get(fold(name), name) if fold(name) == "malwaresample" else name
    kinds = [fold(kind) for kind in name.split("|")]
    if len(kinds) == 1:
        return [(kinds[0], value)]
    pieces = value.split("|", len(kinds) - 1)
    return [pair for pair in zip(kinds, pieces, strict=False) if pair[0] not in _NO_OBSERVABLE]


def _assets(alert: dict[str, Any]) -> list[ObservableValue]:
    """Machines, accounts and the machines' addresses."""
    found = []
    for position, one in enumerate(_listed(alert, "assets", "alert_assets")):
        name = one.get("asset_name")
        if type(name) is str:
            kind = "username" if _is_account(one) else "ip" if is_address(name.strip()) else "hostname"
            found.append(observable(kind, name, f"assets.{position}.asset_name"))
        address = one.get("asset_ip")
        if type(address) is str and is_address(address.strip()):
            found.append(observable("ip", address, f"assets.{position}.asset_ip"))
    return [one for one in found if one is not None]


def _machine(alert: dict[str, Any]) -> str | None:
    """The first asset that is no account, by whatever name people call it."""
    names = [
        one.get("asset_name") for one in _listed(alert, "assets", "alert_assets") if not _is_account(one)
    ]
    return next((name for name in names if type(name) is str and not is_address(name.strip())), None)


def _is_account(asset: dict[str, Any]) -> bool:
    kind = asset.get("asset_type")
    if type(kind) is dict:
        kind = kind.get("asset_name")
    if type(kind) is str:
        return "account" in kind.lower()
    number = asset.get("asset_type_id")
    return type(number) is int and number in _ACCOUNT_NUMBERS


def _end(iocs: list[tuple[str, ObservableValue]], kind: str) -> str | None:
    return next((one.value for word, one in iocs if word == kind and one.type == "ip"), None)


def _identity(alert: dict[str, Any]) -> str | None:
    """IRIS's own id where it gave one; else what the sender called it, which IRIS does not insist to be unique."""
    for key in ("alert_uuid", "alert_id"):
        value = alert.get(key)
        if type(value) is str and value.strip():
            return value
        if type(value) is int and 0 < value < 1 << 63:
            return f"alert:{value}"
    source, reference = alert.get("alert_source"), alert.get("alert_source_ref")
    if type(reference) is str and reference.strip().lower() not in ("", "n/a", "unknown id"):
        return f"{source}:{reference}" if type(source) is str and source.strip() else reference
    return None


def _techniques(reader: Reader) -> tuple[str, ...]:
    texts = [
        leaf.value
        for leaf in reader.walk.leaves
        if type(leaf.value) is str and any(word in leaf.folded for word in TECHNIQUE_WORDS)
    ]
    return techniques_in(texts)


def _determination(alert: dict[str, Any]) -> str | None:
    told = alert.get("resolution_status")
    if type(told) is dict:
        told = told.get("resolution_status_name")
    if type(told) is not str:
        number = alert.get("alert_resolution_status_id")
        told = _RESOLUTIONS.get(number) if type(number) is int else None
    return _VERDICTS.get(fold(told)) if type(told) is str else None


def _is_closed(alert: dict[str, Any]) -> bool:
    told = alert.get("status")
    if type(told) is dict:
        told = told.get("status_name")
    if type(told) is str:
        return told.strip().lower() == "closed"
    return type(number := alert.get("alert_status_id")) is int and number == _CLOSED
