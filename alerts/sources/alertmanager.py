"""Prometheus Alertmanager, and Grafana's alerting, whose webhook has the same form and some fields more.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import urlsplit

from alerts.jsonwalk import clean
from alerts.sources.base import MAX_TAG, MAX_TAGS, NormalisedAlert, Reader
from alerts.sources.mapping import Mapping, ignore, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="alertmanager",
    product="Prometheus Alertmanager",
    signs=(
        sign("labels.alertname fingerprint startsAt", 0.97),
        sign("alerts.labels.alertname groupKey receiver", 0.97),
        sign("alerts.labels alerts.startsAt receiver status", 0.95),
        sign("alerts.fingerprint alerts.startsAt", 0.94),
        sign("labels annotations startsAt generatorURL", 0.94),
        sign("labels fingerprint startsAt status", 0.93),
        sign("labels.alertname startsAt", 0.92),
        sign("labels.alertname annotations", 0.8),
    ),
    severities=Severities(
        {
            "page": CRITICAL, "critical": CRITICAL, "disaster": CRITICAL, "emergency": CRITICAL,
            "error": HIGH, "high": HIGH, "major": HIGH,
            "warning": MEDIUM, "medium": MEDIUM, "moderate": MEDIUM, "ticket": MEDIUM,
            "minor": LOW, "low": LOW, "notice": LOW,
            "info": INFORMATIONAL, "informational": INFORMATIONAL, "none": INFORMATIONAL, "ok": INFORMATIONAL,
        }
    ),
)  # fmt: skip


def _of_labels(names: str) -> str:
    return " ".join(f"labels.{name}" for name in names.split())


_MAPPING = Mapping(
    title="annotations.summary annotations.title labels.alertname annotations.message annotations.description",
    description="annotations.description annotations.message valueString",
    severity=_of_labels("severity priority level") + " annotations.severity commonLabels.severity",
    event_at="startsAt",
    source_ip=_of_labels("src_ip source_ip srcip client_ip remote_ip remote_addr attacker_ip"),
    dest_ip=_of_labels("dest_ip dst_ip dstip destination_ip target_ip"),
    username=_of_labels("user username user_name account"),
    rule_name="labels.alertname labels.rulename",
    rule_id="labels.__alert_rule_uid__ ruleUID labels.rule_id",
    techniques=_of_labels("mitre mitre_technique mitre_technique_id mitre_id technique technique_id")
    + " annotations.mitre annotations.mitre_technique annotations.mitre_technique_id",
    group_key="groupKey",
    vendor_url="generatorURL panelURL dashboardURL externalURL",
    partner=_of_labels("partner customer tenant"),
)
_HOSTS = _of_labels("host hostname nodename node fqdn server machine kubernetes_node instance vm").split()
_NO_EVIDENCE = (
    "receiver", "receivers", "groupKey", "externalURL", "generatorURL", "dashboardURL", "panelURL", "silenceURL", "imageURL",
    "valueString", "values", "fingerprint", "groupLabels", "commonLabels", "commonAnnotations", "alerts", "message", "title",
    "labels.alertname", "labels.container", "labels.image", "labels.job", "labels.prometheus", "annotations.runbook_url",
    "annotations.runbook", "annotations.dashboard", "annotations.__dashboardUid__", "annotations.grafana_url",
)  # fmt: skip
_NO_TAGS = ("alertname", "severity", "instance", "fingerprint", "prometheus")
_COMMON = (
    "receiver", "groupKey", "externalURL", "status", "orgId", "version", "groupLabels", "commonLabels",
    "commonAnnotations",
)  # fmt: skip
_GRAFANA_RULE = re.compile(r"/alerting/(?:grafana/)?([A-Za-z0-9_-]{1,64})/(?:view|edit)")


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of Alertmanager's or Grafana's, firing or over."""
    payload, others = _alert(payload)
    reader = Reader(payload)
    if others:
        reader.note(f"{others} more alerts in this notification were not read")
    link = reader.raw("generatorURL")
    rule = _GRAFANA_RULE.search(link[:2000]) if type(link) is str else None
    status = payload.get("status")
    status = status.get("state") if type(status) is dict else status
    over = type(status) is str and status.strip().lower() == "resolved"
    host, tags = _host(reader), _tags(reader, payload.get("labels"))
    grafana = [reader.raw(path) for path in ("panelURL", "dashboardURL", "externalURL")]
    ignore(reader, *_NO_EVIDENCE)
    return read(
        reader,
        _MAPPING,
        severities,
        source_id=_number(reader, payload.get("labels")),
        title=None if any(map(reader.has, _MAPPING.paths["title"])) else "Alertmanager alert",
        hostname=host,
        rule_id=rule[1] if rule and not reader.has("labels.__alert_rule_uid__") else None,
        tags=tags,
        vendor_url=link if type(link) is str and link else next((one for one in grafana if one), None),
        resolved=over,
        only_closes=over,
    )


def _alert(payload: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The alert of a notification with what the notification says of all, and how many more it holds."""
    alerts = payload.get("alerts")
    if type(alerts) is not list or "labels" in payload:
        return payload, 0
    found = [alert for alert in alerts if type(alert) is dict]
    if not found:
        return payload, 0
    return {**{key: payload[key] for key in _COMMON if key in payload}, **found[0]}, len(found) - 1


def _number(reader: Reader, labels: Any) -> str | None:
    """An alert is its labels, of which the fingerprint is a digest, and the moment it began to fire."""
    start, fingerprint = reader.whole_text(("startsAt",)), reader.whole_text(("fingerprint",))
    if fingerprint is None and type(labels) is dict and labels:
        pairs = sorted(f"{key}={value}"[:1000] for key, value in labels.items() if type(value) is str)
        fingerprint = (
            hashlib.sha256("\n".join(pairs).encode("utf-8", "replace")).hexdigest()[:16] if pairs else None
        )
    return f"{fingerprint}:{start}" if fingerprint and start else None


def _host(reader: Reader) -> str | None:
    """A machine's name, without port; of a probed address its host."""
    for path in _HOSTS:
        value = reader.whole_text((path,))
        if value and "://" in value:
            try:
                value = urlsplit(value[:2000]).hostname
            except ValueError:
                value = None
        if value and not value.replace(".", "").replace(":", "").isdigit() and value.count(":") < 2:
            return value
    return None


def _tags(reader: Reader, labels: Any) -> tuple[str, ...]:
    if type(labels) is not dict:
        return ()
    found = []
    for key, value in list(labels.items())[: MAX_TAGS * 2]:
        text = reader.as_text(key, value) if type(value) in (str, int) else None
        if text and key not in _NO_TAGS and not key.startswith("__"):
            found.append(reader.cut("a value of tags", clean(f"{key}:{text}"), MAX_TAG))
    return tuple(dict.fromkeys(found))[:MAX_TAGS]
