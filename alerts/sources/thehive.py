"""TheHive 3, 4 and 5: alerts as its API takes and gives them, and as its webhooks send them.

https://docs.strangebee.com/thehive/user-guides/ (organization, notifications: webhook notifier and endpoint)
https://docs.strangebee.com/thehive/release-notes/release-notes-5.2/ (its new TLP numbers)
https://github.com/TheHive-Project/TheHive4py (thehive4py/types/alert.py: what the API of TheHive 5 takes and gives)
https://github.com/TheHive-Project/TheHiveDocs (TheHive4/Administration/Webhook.md, api/alert.md)

A webhook has the alert in ``object``, without its observables in TheHive 5: each of those comes in a message of its
own, with the alert beside it. Such a message is read as that alert with that one observable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from alerts.iocs import ObservableValue, canonical, parse_text
from alerts.jsonwalk import fold
from alerts.sources.base import MAX_TAG, MAX_TAGS, NormalisedAlert, Reader
from alerts.sources.mapping import Mapping, read, stated
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="thehive",
    product="TheHive",
    signs=(
        sign("objectType=Alert object.sourceRef", 0.98),
        sign("objectType=alert object.sourceRef", 0.98),
        sign("objectType=Observable object.dataType context.sourceRef", 0.97),
        sign("objectType=Observable object.alert.sourceRef", 0.97),
        sign("objectType object.dataType object.alert.sourceRef", 0.95),
        sign("_type=Alert sourceRef title", 0.97),
        sign("_type=alert sourceRef title", 0.97),
        sign("sourceRef source type title", 0.9),
        sign("objectType=Alert objectId requestId rootId", 0.9),
        sign("objectType=alert objectId requestId rootId", 0.9),
    ),
    severities=Severities({1: LOW, 2: MEDIUM, 3: HIGH, 4: CRITICAL}, top=4),
)

_MAPPING = Mapping(
    title="title",
    description="description",
    severity="severity severityLabel",
    event_at="date _createdAt createdAt startDate",
    techniques="procedures.patternId tags",
    group_key="caseId case",
    vendor_url="externalLink",
)

# Who works on the alert, what it is called elsewhere and which cases resemble it: no part of what happened.
_LEFT_OUT = frozenset(
    [
        "_createdBy",
        "_updatedBy",
        "createdBy",
        "updatedBy",
        "user",
        "owner",
        "assignee",
        "similarCases",
        "source",
        "sourceRef",
        "type",
        "caseTemplate",
        "artifacts",
        "observables",
        "reports",
        "responders",
        "organisation",
        "organisationId",
        "extraData",
    ]
)
_MAX_OBSERVABLES = 1000
_TLP = {0: "clear", 1: "green", 2: "amber", 3: "amber+strict", 4: "red"}
_TLP_BEFORE_5_2 = {0: "clear", 1: "green", 2: "amber", 3: "red", 4: "red"}
_PAP = {0: "clear", 1: "green", 2: "amber", 3: "red"}
_VERDICTS = {"falsepositive": "benign", "truepositive": "malicious", "indeterminate": "unknown"}
# TheHive's types that are another word with us, or none.
_KINDS = {"mailsubject": "other", "uripath": "other", "regexp": "other"}
# What people tag the two ends of a connection with.
_SOURCES = frozenset(["src", "srcip", "source", "sourceip", "ipsrc", "attacker", "attackerip"])
_TARGETS = frozenset(
    [
        "dst",
        "dstip",
        "dest",
        "destip",
        "destination",
        "destinationip",
        "ipdst",
        "target",
        "targetip",
        "victim",
    ]
)


class _Message(NamedTuple):
    """A payload taken out of its envelope."""

    alert: dict[str, Any]
    observables: list[dict[str, Any]]
    old: bool
    """Written in the format of TheHive 3 and 4."""
    deleted: bool


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of TheHive's."""
    message = _opened(payload)
    alert = message.alert
    reader = Reader(_as_read(message))
    own = _typed(message.observables)
    source_ip, dest_ip = _ends(message.observables, own)
    found = read(
        reader,
        _MAPPING,
        severities,
        source_id=_identity(alert),
        source_ip=source_ip,
        dest_ip=dest_ip,
        hostname=next((one.value for one in own if one.type == "hostname"), None),
        username=next((one.value for one in own if one.type == "username"), None),
        tags=_tags(message, reader),
        determination=_VERDICTS.get(fold(alert["status"])) if type(alert.get("status")) is str else None,
        resolved=message.deleted or alert.get("stage") == "Closed" or alert.get("status") == "Ignored",
        observables=own,
    )
    return replace(found, only_closes=True) if message.deleted else found


def _opened(payload: dict[str, Any]) -> _Message:
    inner, context = payload.get("object"), payload.get("context")
    kind = payload.get("objectType")
    alert, single = payload, []
    if type(kind) is str and type(inner) is dict:
        alert = inner
        if "dataType" in inner and "sourceRef" not in inner:
            single = [inner]
            beside = inner.get("alert")
            alert = beside if type(beside) is dict else context if type(context) is dict else {}
    deed = payload.get("action", payload.get("operation"))
    deleted = (
        not single and type(kind) is str and type(deed) is str and deed.lower() in ("delete", "deletion")
    )
    if deleted and alert is payload:
        number = payload.get("objectId")
        alert = {"_id": number, "title": f"Alert {number} was deleted" if type(number) is str else None}
    found = [*single, *_objects(alert.get("observables")), *_objects(alert.get("artifacts"))]
    return _Message(
        alert,
        found[:_MAX_OBSERVABLES],
        old="operation" in payload
        or "artifacts" in alert
        or "createdAt" in alert
        or alert.get("_type") == "alert",
        deleted=deleted,
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []


def _as_read(message: _Message) -> dict[str, Any]:
    """The alert with what observables are looked for in; always under TheHive 5's name for them."""
    plain = {key: value for key, value in message.alert.items() if key not in _LEFT_OUT}
    plain["observables"] = [_plain_observable(one) for one in message.observables]
    return plain


def _plain_observable(one: dict[str, Any]) -> dict[str, Any]:
    kept = {key: one.get(key) for key in ("dataType", "data", "message", "tags")}
    if one.get("dataType") == "file":
        # TheHive 3 and 4 take a file as "name;content type;base64".
        kept["data"] = _file_name(one)
        attachment = one.get("attachment")
        if type(attachment) is dict:
            kept["hashes"] = attachment.get("hashes")
    return kept


def _file_name(one: dict[str, Any]) -> str | None:
    attachment = one.get("attachment")
    name = attachment.get("name") if type(attachment) is dict else None
    if type(name) is not str:
        name = one.get("data")
    return name.partition(";")[0].strip() if type(name) is str else None


def _typed(observables: list[dict[str, Any]]) -> tuple[ObservableValue, ...]:
    """The observables as TheHive types them."""
    found = []
    for position, one in enumerate(observables):
        kind, value = one.get("dataType"), one.get("data")
        if type(kind) is not str:
            continue
        if kind == "file":
            value = _file_name(one)
        elif kind == "other" and _speaks_for_itself(value):
            continue
        kind = _KINDS.get(fold(kind), kind)
        typed = stated(kind, value, f"observables.{position}.data")
        if typed is not None:
            found.append(typed)
    return tuple(found)


def _speaks_for_itself(value: Any) -> bool:
    """Whether ``value``, of TheHive's type for all it has no type for, is found with a type: a MAC address, a CVE."""
    if type(value) is not str or len(value) > 200:
        return False
    found = parse_text(value, limit=2).observables
    try:
        return len(found) == 1 and canonical(found[0].type, value) == (found[0].type, found[0].value)
    except ValueError:
        return False


def _ends(
    observables: list[dict[str, Any]], own: tuple[ObservableValue, ...]
) -> tuple[str | None, str | None]:
    """The addresses a connection came from and went to, as their tags say; without tags the first is the source."""
    source = target = untold = None
    for one in own:
        if one.type != "ip":
            continue
        words = _words(observables[int(one.field.split(".")[1])])
        if words & _SOURCES:
            source = source or one.value
        elif words & _TARGETS:
            target = target or one.value
        else:
            untold = untold or one.value
    return source or untold, target


def _words(one: dict[str, Any]) -> set[str]:
    tags = one.get("tags")
    every = [*(tags if type(tags) is list else []), one.get("message")]
    return {fold(text.strip()) for text in every if type(text) is str}


def _identity(alert: dict[str, Any]) -> str | None:
    """``type``, ``source`` and ``sourceRef``: TheHive refuses a second alert with the same three."""
    parts = [alert[key] for key in ("type", "source", "sourceRef") if type(alert.get(key)) is str]
    if len(parts) == 3 and all(part.strip() for part in parts):
        return ":".join(parts)
    number = alert.get("_id", alert.get("id"))
    return number if type(number) is str else None


def _tags(message: _Message, reader: Reader) -> tuple[str, ...]:
    tags = reader.strings("tags", ("tags",), MAX_TAG, MAX_TAGS)
    known = {tag.lower() for tag in tags}
    marks = [_tlp(message, known, reader), _pap(message.alert)]
    return (*tags, *(mark for mark in marks if mark and mark not in known))


def _tlp(message: _Message, known: set[str], reader: Reader) -> str | None:
    label = _label(message.alert.get("tlpLabel"), _TLP)
    if label:
        return f"tlp:{label}"
    number = message.alert.get("tlp")
    if type(number) is not int or number not in _TLP:
        return None
    told = next((name for name in ("red", "amber+strict") if f"tlp:{name}" in known), None)
    if number != 3 or told is None:
        told = (_TLP_BEFORE_5_2 if message.old else _TLP)[number]
        if number == 3:
            reader.note(f"tlp 3 is read as {told}; it was red before TheHive 5.2 and is amber+strict since")
    return f"tlp:{told}"


def _pap(alert: dict[str, Any]) -> str | None:
    number = alert.get("pap")
    name = _label(alert.get("papLabel"), _PAP) or (_PAP.get(number) if type(number) is int else None)
    return f"pap:{name}" if name else None


def _label(label: Any, names: dict[int, str]) -> str | None:
    if type(label) is not str:
        return None
    plain = label.strip().lower().replace("_", "+").replace("white", "clear")
    return plain if plain in names.values() else None
