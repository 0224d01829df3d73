"""Wazuh: what ``wazuh-integratord`` posts, and documents of the ``wazuh-alerts-*`` index.

https://documentation.wazuh.com/current/user-manual/manager/integration-with-external-apis.html
https://documentation.wazuh.com/current/user-manual/ruleset/rules/rules-classification.html
"""

from __future__ import annotations

from typing import Any

from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.mapping import Mapping, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="wazuh",
    product="Wazuh",
    signs=(
        sign("rule.level rule.description agent manager", 0.98),
        sign("rule.level rule.id rule.groups", 0.9),
    ),
    severities=Severities({0: INFORMATIONAL, 4: LOW, 7: MEDIUM, 12: HIGH, 15: CRITICAL}, top=16),
)

_MAPPING = Mapping(
    source_id="id",
    title="rule.description",
    description="full_log",
    severity="rule.level",
    event_at="timestamp @timestamp",
    source_ip="data.srcip data.src_ip data.win.eventdata.ipAddress data.aws.sourceIPAddress",
    dest_ip="data.dstip data.dest_ip data.win.eventdata.destinationIp",
    hostname="agent.name predecoder.hostname",
    username="data.srcuser data.dstuser data.win.eventdata.targetUserName data.win.eventdata.user data.uid",
    rule_name="rule.description",
    rule_id="rule.id",
    tags="rule.groups",
    techniques="rule.mitre.id",
    process="data.win.eventdata.image",
    command_line="data.win.eventdata.commandLine",
)


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of Wazuh's."""
    return read(Reader(payload), _MAPPING, severities)
