"""Wazuh: what ``wazuh-integratord`` posts, and documents of the ``wazuh-alerts-*`` index.

https://documentation.wazuh.com/current/user-manual/manager/integration-with-external-apis.html
https://documentation.wazuh.com/current/user-manual/ruleset/rules/rules-classification.html
https://documentation.wazuh.com/current/user-manual/capabilities/file-integrity/interpreting-alerts.html
https://documentation.wazuh.com/current/cloud-security/amazon/services/index.html
"""

from __future__ import annotations

import re
from typing import Any

from alerts.iocs import ObservableValue
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.entities import a_person
from alerts.sources.mapping import Mapping, ignore, read, stated
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="wazuh",
    product="Wazuh",
    signs=(
        sign("rule.level rule.description agent manager", 0.98),
        sign("_source.rule.level _source.rule.description _source.agent _source.manager", 0.97),
        sign("rule.level rule.id rule.groups", 0.9),
    ),
    severities=Severities({0: INFORMATIONAL, 4: LOW, 7: MEDIUM, 12: HIGH, 15: CRITICAL}, top=16),
)

_WINDOWS = "data.win.eventdata"
_MAPPING = Mapping(
    source_id="id",
    title="rule.description data.vulnerability.title",
    description="full_log data.vulnerability.rationale data.win.system.message",
    severity="rule.level",
    event_at="timestamp @timestamp",
    source_ip="data.srcip data.src_ip data.win.eventdata.ipAddress data.win.eventdata.sourceIp "
    "data.win.eventdata.sourceAddress data.win.eventdata.clientAddress data.aws.sourceIPAddress "
    "data.aws.source_ip_address data.aws.srcaddr data.office365.ClientIP data.gcp.protoPayload.requestMetadata.callerIp "
    "data.aws.service.action.networkConnectionAction.remoteIpDetails.ipAddressV4 data.github.actor_ip data.ms-graph.ipAddress",
    dest_ip="data.dstip data.dest_ip data.win.eventdata.destinationIp data.win.eventdata.destAddress data.aws.dstaddr",
    username="data.srcuser data.dstuser data.user data.aws.userIdentity.userName data.office365.UserId data.github.actor "
    "data.gcp.protoPayload.authenticationInfo.principalEmail data.audit.auid_name data.uid",
    rule_name="rule.description",
    rule_id="rule.id",
    tags="rule.groups",
    techniques="rule.mitre.id",
    process="data.win.eventdata.image syscheck.audit.process.name data.win.eventdata.parentImage data.audit.exe",
    command_line="data.win.eventdata.commandLine data.win.eventdata.parentCommandLine data.audit.command data.command",
)
# Whom it happened to, then who did it.
_USERS = ("targetUserName", "user", "subjectUserName", "samAccountName")
_NO_EVIDENCE = (
    "manager", "cluster", "decoder", "location", "input", "predecoder", "_index", "rule.info", "rule.description",
    "agent.labels", "data.vulnerability.reference", "data.vulnerability.references", "data.vulnerability.package",
    "data.vulnerability.cvss", "data.vulnerability.assigner", "data.win.system", "data.aws.log_info",
    "data.aws.eventSource", "data.aws.tlsDetails", "syscheck.perm_after", "syscheck.win_perm_after",
    "syscheck.md5_before", "syscheck.sha1_before", "syscheck.sha256_before", "syscheck.arch", f"{_WINDOWS}.hashes",
    f"{_WINDOWS}.fileVersion", f"{_WINDOWS}.company", f"{_WINDOWS}.product", f"{_WINDOWS}.logonProcessName",
    f"{_WINDOWS}.authenticationPackageName", f"{_WINDOWS}.subjectLogonId",
)  # fmt: skip
# Modules that fetch another product's events; the manager on which they run is not what the alert is about.
_FETCHED = ("aws", "office365", "github", "gcp", "ms-graph")
_HASHES = re.compile(r"(MD5|SHA1|SHA256)=([0-9A-Fa-f]{32,64})")


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """An alert of Wazuh's."""
    inner = payload.get("_source")
    payload = inner if type(inner) is dict else payload
    reader = Reader(_unescaped(payload))
    host, user, own = _host(reader), _user(reader), _observables(reader)
    log = reader.raw("full_log")
    # Windows' and JSON logs repeat the fields, and hold what is left out above.
    repeated = type(log) is str and log.lstrip().startswith("{")
    # The manager's own name and address are no part of what happened elsewhere.
    stand_in = reader.raw("agent.id") in ("000", "0", 0) and host != reader.whole_text(("agent.name",))
    left_out = (*(("full_log", "previous_output") if repeated else ()), *(("agent",) if stand_in else ()))
    ignore(reader, *_NO_EVIDENCE, *left_out)
    return read(
        reader,
        _MAPPING,
        severities,
        hostname=host,
        username=user,
        description=_description(reader) if repeated or log is None else None,
        observables=own,
    )


def _unescaped(payload: dict[str, Any]) -> dict[str, Any]:
    """``payload`` with the texts of a Windows event as Windows wrote them; Wazuh's have each backslash twice."""
    data = payload.get("data")
    win = data.get("win") if type(data) is dict else None
    event = win.get("eventdata") if type(win) is dict else None
    if type(data) is not dict or type(win) is not dict or type(event) is not dict:
        return payload
    event = {
        key: value.replace("\\\\", "\\").replace('\\"', '"') if type(value) is str else value
        for key, value in event.items()
    }
    return {**payload, "data": {**data, "win": {**win, "eventdata": event}}}


def _host(reader: Reader) -> str | None:
    """The agent's machine; where the manager stands in for it, the one that sent the log, if any."""
    if reader.raw("agent.id") in ("000", "0", 0):
        sender = reader.whole_text(("predecoder.hostname",))
        if sender:
            return sender
        if any(reader.has(f"data.{module}") for module in _FETCHED):
            return reader.whole_text(("data.aws.resource.instanceDetails.instanceId",))
    return reader.whole_text(
        ("agent.name", "predecoder.hostname", f"{_WINDOWS}.computer", "data.win.system.computer")
    )


def _user(reader: Reader) -> str | None:
    """A person among the accounts of a Windows event or of a change of a file."""
    paths = (
        "syscheck.audit.login_user.name",
        "syscheck.audit.user.name",
        *(f"{_WINDOWS}.{name}" for name in _USERS),
    )
    return a_person(reader.whole_text((path,)) for path in paths)


def _description(reader: Reader) -> str | None:
    """A sentence where there is no log line to show, or only JSON."""
    sentence = reader.whole_text(("data.win.system.message", "data.vulnerability.rationale"))
    if sentence:
        return sentence.strip('"').replace("\\r\\n", "\n").replace("\\t", " ")
    name, event = reader.whole_text(("syscheck.path",)), reader.whole_text(("syscheck.event",))
    if name:
        return f"{name} {event or 'changed'}"
    call, region = reader.whole_text(("data.aws.eventName",)), reader.whole_text(("data.aws.awsRegion",))
    return f"{call} in {region}" if call and region else call


def _observables(reader: Reader) -> tuple[ObservableValue, ...]:
    """Sysmon's hashes, which it joins in one text, and the state of a file after the change."""
    found = []
    for path in (f"{_WINDOWS}.hashes", f"{_WINDOWS}.hash"):
        value = reader.raw(path)
        if type(value) is str:
            found += [stated(kind.lower(), digest, path) for kind, digest in _HASHES.findall(value[:1000])]
    for name in ("md5", "sha1", "sha256"):
        found.append(stated(name, reader.raw(f"syscheck.{name}_after"), f"syscheck.{name}_after"))
    path = reader.raw("syscheck.path")
    if type(path) is str:
        kind = "registry_key" if path.upper().startswith(("HKEY_", "HKLM\\")) else "path"
        found.append(stated(kind, path, "syscheck.path"))
    return tuple(one for one in found if one is not None and one.type != "other")
