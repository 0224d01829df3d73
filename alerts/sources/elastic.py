"""Elastic Security: alert documents (8.x), signals (7.x), search hits, and bodies of a webhook action of a rule.

https://www.elastic.co/guide/en/security/current/alert-schema.html
https://www.elastic.co/guide/en/security/current/rules-ui-create.html (variables of rule actions)
https://www.elastic.co/guide/en/kibana/current/rule-action-variables.html
https://www.elastic.co/guide/en/kibana/current/webhook-action-type.html
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import orjson

from alerts.sources.base import MAX_TAG, MAX_TAGS, NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, ignore, read, web_link, with_embedded_json
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="elastic",
    product="Elastic Security",
    signs=(
        sign("kibana.alert.rule.name kibana.alert.uuid", 0.99),
        sign("kibana.alert.rule.name", 0.97),
        sign("kibana.alert.rule.uuid", 0.97),
        sign("kibana.alert.uuid", 0.96),
        sign("signal.rule.name", 0.96),
        sign("signal.rule.id", 0.95),
        # Search hits: their keys are those of the document, flat or not, so the index says more.
        sign("_index=~.internal.alerts-security", 0.98),
        sign("_index=~.alerts-security", 0.98),
        sign("_index=~.siem-signals", 0.98),
        sign("_index=~.internal.alerts-", 0.9),
        sign("_source.kibana.alert", 0.97),
        sign("_source.signal.rule", 0.96),
        # What people write from the variables of an action.
        sign("context.rule.name context.rule.risk_score", 0.9),
        sign("context.rule.name context.results_link", 0.9),
        sign("context.rule.name kibanaBaseUrl", 0.9),
        sign("context.rule.name rule.name", 0.85),
        sign("context.alerts rule.name", 0.85),
        sign("alerts.kibana.alert", 0.9),
        sign("raw.kibana.alert", 0.9),
        sign("raw.signal.rule", 0.9),
        sign("context.results_link", 0.8),
        sign("rule.type=~siem.", 0.9),
        sign("rule.spaceId rule.name", 0.85),
        sign("kibanaBaseUrl rule.name", 0.85),
        sign("kibana_base_url rule.name", 0.8),
        sign("kibanaBaseUrl", 0.65),
    ),
    severities=Severities(
        {
            "low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL,
            0: LOW, 22: MEDIUM, 48: HIGH, 74: CRITICAL,
        },
        top=100,
    ),
)  # fmt: skip

_MAPPING = Mapping(
    source_id="kibana.alert.uuid _id",
    title="kibana.alert.rule.name signal.rule.name context.rule.name rule.name rule_name title alertName "
    "kibana.alert.reason signal.reason",
    description="kibana.alert.reason signal.reason kibana.alert.rule.description signal.rule.description "
    "context.rule.description rule.description description context.reason reason message",
    severity="kibana.alert.severity signal.rule.severity kibana.alert.rule.severity kibana.alert.rule.parameters.severity "
    "context.rule.severity rule.severity severity kibana.alert.risk_score signal.rule.risk_score "
    "kibana.alert.rule.risk_score context.rule.risk_score rule.risk_score risk_score",
    event_at="kibana.alert.original_time signal.original_time @timestamp timestamp kibana.alert.start date",
    source_ip="source.ip client.ip source_ip",
    dest_ip="destination.ip server.ip destination_ip dest_ip",
    hostname="host.name host.hostname hostname winlog.computer_name",
    username="user.name username winlog.event_data.TargetUserName winlog.event_data.SubjectUserName",
    rule_name="kibana.alert.rule.name signal.rule.name context.rule.name rule.name rule_name",
    rule_id="kibana.alert.rule.rule_id signal.rule.rule_id context.rule.rule_id context.rule.ruleId "
    "kibana.alert.rule.parameters.rule_id kibana.alert.rule.uuid signal.rule.id context.rule.id rule.id rule_id",
    tags="kibana.alert.rule.tags signal.rule.tags context.rule.tags rule.tags kibana.alert.workflow_tags",
    techniques="kibana.alert.rule.threat.technique.id kibana.alert.rule.threat.technique.subtechnique.id "
    "kibana.alert.rule.parameters.threat.technique.id kibana.alert.rule.parameters.threat.technique.subtechnique.id "
    "signal.rule.threat.technique.id signal.rule.threat.technique.subtechnique.id context.rule.threat.technique.id "
    "context.rule.threat.technique.subtechnique.id rule.threat.technique.id rule.threat.technique.subtechnique.id "
    "threat.technique.id threat.technique.subtechnique.id",
    group_key="kibana.alert.group.id signal.group.id",
    vendor_url="kibana.alert.url context.results_link results_link rule.url",
    partner="partner",
    process="process.name",
    command_line="process.command_line",
)
# Of a rule in an action's body only this is read for observables: queries and links are the same in every alert.
_NO_EVIDENCE = (
    "kibana.alert.url", "kibana.alert.group", "kibana.alert.ancestors", "kibana.alert.original_event", "kibana.space_ids",
    "context.results_link", "results_link", "kibanaBaseUrl", "kibana_base_url", "rule.url", "rule.params", "rule.query",
    "rule.references", "rule.reference", "rule.threat", "rule.note", "rule.filters", "rule.meta",
    "context.rule.query", "context.rule.filters", "context.rule.references", "context.rule.threat", "context.rule.note",
    "context.rule.meta", "context.rule.false_positives", "context.rule.falsePositives", "context.rule.author",
    "context.rule.index", "context.rule.license", "context.rule.timelineTitle", "context.rule.exceptionsList",
    "signal.ancestors", "signal.parent", "signal.parents", "signal.original_event", "signal.group", "_index", "_id",
    "event.dataset", "event.module", "event.original", "host.os", "agent", "elastic", "ecs", "data_stream", "observer",
)  # fmt: skip
_EMBEDDED = ("context.rule", "context.rule.threat", "alert", "rule.tags", "rule.params")
# Where the bodies of actions have {{context.alerts}}, besides context.alerts nested.
_LISTS = ("context.alerts", "alerts", "raw", "Alert")
_MAX_TEXT = 1 << 20
_APP = ("kibana.alert.rule.parameters.meta.kibana_siem_app_url", "kibana.alert.rule.meta.kibana_siem_app_url")
_VERDICTS = {
    "false_positive": "benign",
    "benign_positive": "benign",
    "true_positive": "malicious",
}


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of Elastic Security's, however it was sent. Its uuid stays when its status changes."""
    document, others = _document(payload)
    reader = Reader(document)
    if others > 1:
        reader.note(f"the body holds {others} alerts in one; only the first was read")
    techniques = techniques_in(
        value for value in reader.every(*_MAPPING.paths["techniques"]) if type(value) is str
    )
    link = _link(reader)
    ignore(reader, *_NO_EVIDENCE)
    reason = reader.raw("kibana.alert.workflow_reason")
    verdict = reason[0] if type(reason) is list and reason else reason
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=_source_id(reader),
        tags=_tags(reader),
        techniques=techniques,
        vendor_url=link,
        determination=_VERDICTS.get(verdict) if type(verdict) is str else None,
        resolved=_is_over(reader),
    )


def _document(payload: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The alert document in a search hit or in an action's body, with what stands around it; and how many there are."""
    payload = with_embedded_json(payload, *_EMBEDDED)
    if (hit := _hit(payload)) is not None:
        return hit, 1
    context = payload.get("context")
    inner = context.get("alerts") if type(context) is dict else None
    found = next((listed for value in (inner, *map(payload.get, _LISTS)) if (listed := _listed(value))), [])
    if not found:
        return payload, 1
    # The document counts before what the action says of the rule, and comes with it.
    around = {name: value for name, value in payload.items() if name not in (*_LISTS, "context")}
    if type(context) is dict:
        around["context"] = {name: value for name, value in context.items() if name != "alerts"}
    return {**around, **(_hit(found[0]) or found[0])}, len(found)


def _hit(payload: dict[str, Any]) -> dict[str, Any] | None:
    """The document of a search hit, with the hit's id."""
    for key in ("_source", "fields"):
        inner = payload.get(key)
        if type(inner) is dict and (key == "_source" or "_id" in payload or "_index" in payload):
            return {
                **{name: payload[name] for name in ("_id", "_index", "partner") if name in payload},
                **inner,
            }
    return None


def _listed(value: Any) -> list[dict[str, Any]]:
    """The documents of ``{{context.alerts}}``: a list, one document, or text in which Kibana puts commas between them."""
    if type(value) is str and value.lstrip()[:1] in ("{", "[") and len(value) <= _MAX_TEXT:
        for text in (value, f"[{value}]"):
            try:
                value = orjson.loads(text)
                break
            except (json.JSONDecodeError, RecursionError):
                continue
    if type(value) is dict:
        if _is_alert(value):
            return [value]
        # {{alerts}} of a summary: {"all": {"count": 2, "data": […]}, "new": …}
        kinds = [inner for kind in ("new", "all") if type(inner := value.get(kind)) is dict]
        value = next((data for kind in kinds if type(data := kind.get("data")) is list and data), None)
    return [one for one in value if type(one) is dict] if type(value) is list else []


def _is_alert(value: dict[str, Any]) -> bool:
    return any(
        key.startswith(("kibana.alert.", "signal.")) or key in ("kibana", "signal", "_source")
        for key in value
    )


def _source_id(reader: Reader) -> str | None:
    """The id an action's body gives, if it is that of an alert: a rule that acts once per run sends its own."""
    if reader.whole_text(_MAPPING.paths["source_id"]):
        return None
    number, rule = reader.whole_text(("alert.id",)), reader.whole_text(("rule.id",))
    if number is not None and (number == rule or number in ("default", "query matched")):
        return None
    return reader.whole_text(("alert.uuid",)) or number


def _link(reader: Reader) -> str | None:
    """The alert in Kibana, made from what is known of its address; else the page of the action or the rule."""
    own = web_link(reader, [reader.whole_text(("kibana.alert.url",))])
    alert = reader.whole_text(("kibana.alert.uuid", "_id"))
    if own is not None or alert is None:
        return own or web_link(reader, [reader.whole_text((path,)) for path in _MAPPING.paths["vendor_url"]])
    app = web_link(reader, [reader.whole_text((path,)) for path in _APP])
    if app is None and (base := web_link(reader, [reader.whole_text(("kibanaBaseUrl", "kibana_base_url"))])):
        space = reader.whole_text(("rule.spaceId", "kibana.space_ids")) or "default"
        app = f"{base.rstrip('/')}{'' if space == 'default' else f'/s/{quote(space, safe="")}'}/app/security"
    if app is not None:
        return f"{app.rstrip('/')}/alerts/redirect/{quote(alert[:200], safe='')}"
    return web_link(reader, [reader.whole_text((path,)) for path in _MAPPING.paths["vendor_url"]])


def _tags(reader: Reader) -> tuple[str, ...]:
    """The rule's tags; an alert that only serves as a building block of another says so."""
    tags = reader.strings("tags", _MAPPING.paths["tags"], MAX_TAG, MAX_TAGS)
    is_block = (
        reader.whole_text(("kibana.alert.building_block_type", "signal.rule.building_block_type")) is not None
    )
    return (*tags, "building block") if is_block else tags


def _is_over(reader: Reader) -> bool:
    for path in ("kibana.alert.workflow_status", "signal.status", "kibana.alert.status"):
        value = reader.whole_text((path,))
        if value is not None and value.lower() in ("closed", "recovered"):
            return True
    return False
