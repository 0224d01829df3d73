"""Google Security Command Center: the notification of a finding, bare, or in the body of a Pub/Sub push.

https://cloud.google.com/security-command-center/docs/how-to-api-manage-notifications
https://cloud.google.com/security-command-center/docs/reference/rest/v2/organizations.sources.locations.findings
https://cloud.google.com/pubsub/docs/push
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any
from urllib.parse import quote

import orjson

from alerts.sources.base import NormalisedAlert, Reader, techniques_in
from alerts.sources.mapping import Mapping, ignore, observable, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="google_scc",
    product="Google Security Command Center",
    signs=(
        sign("notificationConfigName finding", 0.99),
        sign("finding.canonicalName finding.category", 0.96),
        sign("finding.name=~organizations/ finding.category", 0.95),
        sign("finding.name=~projects/ finding.category", 0.95),
        sign("finding.name=~folders/ finding.category", 0.95),
        sign("canonicalName category findingClass", 0.9),
        # The beginning of {"notificationConfigName", as Pub/Sub writes it, with and without line breaks.
        sign("message.data=~eyJub3RpZmljYXRpb25Db25maWdOYW1lI", 0.97),
        sign("message.data=~ewogICJub3RpZmljYXRpb25Db25maWdOYW1lI", 0.97),
        sign("message.data=~eyAibm90aWZpY2F0aW9uQ29uZmlnTmFtZSI", 0.97),
        sign("message.data=~eyJmaW5kaW5nI", 0.9),
        sign("message.data=~ewogICJmaW5kaW5nI", 0.9),
        sign("message.data.notificationConfigName", 0.97),
    ),
    severities=Severities({"critical": CRITICAL, "high": HIGH, "medium": MEDIUM, "low": LOW}),
)

_MAPPING = Mapping(
    source_id="finding.canonicalName finding.name",
    title="finding.category",
    description="finding.description finding.sourceProperties.Explanation finding.sourceProperties.explanation "
    "finding.nextSteps",
    severity="finding.severity finding.sourceProperties.SeverityLevel finding.sourceProperties.detectionPriority",
    event_at="finding.eventTime finding.createTime",
    source_ip="finding.access.callerIp finding.connections.sourceIp finding.sourceProperties.properties.ipConnection.srcIp "
    "finding.sourceProperties.properties.loginAttempts.sourceIp",
    dest_ip="finding.connections.destinationIp finding.sourceProperties.properties.ipConnection.destIp",
    hostname="finding.sourceProperties.properties.loginAttempts.vmName finding.sourceProperties.properties.vmName "
    "finding.kubernetes.pods.name",
    username="finding.access.principalEmail finding.access.userName finding.access.principalSubject "
    "finding.sourceProperties.properties.principalEmail finding.sourceProperties.properties.loginAttempts.userName "
    "finding.sourceProperties.properties.loginAttempts.username",
    rule_name="finding.category",
    rule_id="finding.moduleName finding.sourceProperties.detectionCategory.ruleName "
    "finding.sourceProperties.detectionCategory_ruleName finding.sourceProperties.ScannerName",
    process="finding.processes.name",
)
# Names of Google's own resources, its documentation, its console and the copy of the whole alert's identity.
_NO_EVIDENCE = (
    "notificationConfigName", "resource", "message", "subscription", "finding.name", "finding.canonicalName",
    "finding.parent", "finding.externalUri", "finding.nextSteps", "finding.securityMarks",
    "finding.parentDisplayName", "finding.category", "finding.moduleName", "finding.muteInitiator",
    "finding.muteInfo", "finding.externalSystems", "finding.compliances", "finding.contacts",
    "finding.access.serviceName", "finding.access.methodName", "finding.processes.args",
    "finding.sourceProperties.Recommendation", "finding.sourceProperties.ExceptionInstructions",
    "finding.sourceProperties.Explanation", "finding.sourceProperties.contextUris", "finding.sourceProperties.sourceId",
    "finding.sourceProperties.evidence", "finding.vulnerability.cve.references",
    "finding.sourceProperties.properties.serviceName", "finding.sourceProperties.properties.methodName",
)  # fmt: skip
_CONTEXT = "finding.sourceProperties.contextUris"
_MAX_DATA = 1 << 20
_INSTANCE = re.compile(r"/instances/([a-z0-9-]{1,63})\Z")
_NAME = re.compile(r"(?:organizations|folders|projects)/[\w.:-]+(?:/[\w.:-]+)+", re.ASCII)
_FINDING_URL = "https://console.cloud.google.com/security/command-center/findingsv2;name="
# What the API calls techniques → ATT&CK ids, from the comments of google.cloud.securitycenter.v2.MitreAttack.
_NAMED = (
    "T1001.002:DATA_OBFUSCATION_STEGANOGRAPHY T1001:DATA_OBFUSCATION "
    "T1003.007:OS_CREDENTIAL_DUMPING_PROC_FILESYSTEM T1003.008:OS_CREDENTIAL_DUMPING_ETC_PASSWORD_AND_ETC_SHADOW "
    "T1003:OS_CREDENTIAL_DUMPING T1005:DATA_FROM_LOCAL_SYSTEM T1020:AUTOMATED_EXFILTRATION "
    "T1027.003:STEGANOGRAPHY T1027.004:COMPILE_AFTER_DELIVERY T1027.010:COMMAND_OBFUSCATION "
    "T1027:OBFUSCATED_FILES_OR_INFO T1029:SCHEDULED_TRANSFER T1033:SYSTEM_OWNER_USER_DISCOVERY "
    "T1036.005:MATCH_LEGITIMATE_NAME_OR_LOCATION T1036:MASQUERADING T1037.005:STARTUP_ITEMS "
    "T1037:BOOT_OR_LOGON_INITIALIZATION_SCRIPTS T1046:NETWORK_SERVICE_DISCOVERY T1053.003:SCHEDULED_TASK_JOB_CRON "
    "T1053.007:CONTAINER_ORCHESTRATION_JOB T1053:SCHEDULED_TASK_JOB T1055:PROCESS_INJECTION "
    "T1056.001:INPUT_CAPTURE_KEYLOGGING T1056:INPUT_CAPTURE T1057:PROCESS_DISCOVERY T1059.004:UNIX_SHELL "
    "T1059.006:PYTHON T1059:COMMAND_AND_SCRIPTING_INTERPRETER T1068:EXPLOITATION_FOR_PRIVILEGE_ESCALATION "
    "T1069.003:CLOUD_GROUPS T1069:PERMISSION_GROUPS_DISCOVERY "
    "T1070.002:INDICATOR_REMOVAL_CLEAR_LINUX_OR_MAC_SYSTEM_LOGS T1070.003:INDICATOR_REMOVAL_CLEAR_COMMAND_HISTORY "
    "T1070.004:INDICATOR_REMOVAL_FILE_DELETION T1070.006:INDICATOR_REMOVAL_TIMESTOMP "
    "T1070.008:INDICATOR_REMOVAL_CLEAR_MAILBOX_DATA T1070:INDICATOR_REMOVAL T1071.004:DNS "
    "T1071:APPLICATION_LAYER_PROTOCOL T1072:SOFTWARE_DEPLOYMENT_TOOLS T1078.001:DEFAULT_ACCOUNTS "
    "T1078.003:LOCAL_ACCOUNTS T1078.004:CLOUD_ACCOUNTS T1078:VALID_ACCOUNTS T1083:FILE_AND_DIRECTORY_DISCOVERY "
    "T1087.001:ACCOUNT_DISCOVERY_LOCAL_ACCOUNT T1090.002:EXTERNAL_PROXY T1090.003:MULTI_HOP_PROXY T1090:PROXY "
    "T1098.001:ADDITIONAL_CLOUD_CREDENTIALS T1098.003:ADDITIONAL_CLOUD_ROLES T1098.004:SSH_AUTHORIZED_KEYS "
    "T1098.006:ADDITIONAL_CONTAINER_CLUSTER_ROLES T1098:ACCOUNT_MANIPULATION T1104:MULTI_STAGE_CHANNELS "
    "T1105:INGRESS_TOOL_TRANSFER T1106:NATIVE_API T1110:BRUTE_FORCE T1119:AUTOMATED_COLLECTION "
    "T1129:SHARED_MODULES T1132.001:STANDARD_ENCODING T1132:DATA_ENCODING T1134.001:TOKEN_IMPERSONATION_OR_THEFT "
    "T1134:ACCESS_TOKEN_MANIPULATION T1136.001:LOCAL_ACCOUNT T1136:CREATE_ACCOUNT "
    "T1140:DEOBFUSCATE_DECODE_FILES_OR_INFO T1190:EXPLOIT_PUBLIC_FACING_APPLICATION "
    "T1195.001:COMPROMISE_SOFTWARE_DEPENDENCIES_AND_DEVELOPMENT_TOOLS T1195:SUPPLY_CHAIN_COMPROMISE "
    "T1203:EXPLOITATION_FOR_CLIENT_EXECUTION T1204:USER_EXECUTION "
    "T1222.002:LINUX_AND_MAC_FILE_AND_DIRECTORY_PERMISSIONS_MODIFICATION T1484:DOMAIN_POLICY_MODIFICATION "
    "T1485:DATA_DESTRUCTION T1486:DATA_ENCRYPTED_FOR_IMPACT T1489:SERVICE_STOP T1490:INHIBIT_SYSTEM_RECOVERY "
    "T1495:FIRMWARE_CORRUPTION T1496:RESOURCE_HIJACKING T1498:NETWORK_DENIAL_OF_SERVICE "
    "T1526:CLOUD_SERVICE_DISCOVERY T1528:STEAL_APPLICATION_ACCESS_TOKEN T1531:ACCOUNT_ACCESS_REMOVAL "
    "T1537:TRANSFER_DATA_TO_CLOUD_ACCOUNT T1539:STEAL_WEB_SESSION_COOKIE T1543:CREATE_OR_MODIFY_SYSTEM_PROCESS "
    "T1546:EVENT_TRIGGERED_EXECUTION T1547.006:KERNEL_MODULES_AND_EXTENSIONS T1547.009:SHORTCUT_MODIFICATION "
    "T1547:BOOT_OR_LOGON_AUTOSTART_EXECUTION T1548.001:ABUSE_ELEVATION_CONTROL_MECHANISM_SETUID_AND_SETGID "
    "T1548.003:ABUSE_ELEVATION_CONTROL_MECHANISM_SUDO_AND_SUDO_CACHING T1548:ABUSE_ELEVATION_CONTROL_MECHANISM "
    "T1552.001:CREDENTIALS_IN_FILES T1552.003:BASH_HISTORY T1552.004:PRIVATE_KEYS T1552:UNSECURED_CREDENTIALS "
    "T1553.004:INSTALL_ROOT_CERTIFICATE T1553:SUBVERT_TRUST_CONTROL T1554:COMPROMISE_HOST_SOFTWARE_BINARY "
    "T1555:CREDENTIALS_FROM_PASSWORD_STORES T1556.003:PLUGGABLE_AUTHENTICATION_MODULES "
    "T1556.006:MULTI_FACTOR_AUTHENTICATION T1556:MODIFY_AUTHENTICATION_PROCESS T1562.001:DISABLE_OR_MODIFY_TOOLS "
    "T1562.006:INDICATOR_BLOCKING T1562.012:DISABLE_OR_MODIFY_LINUX_AUDIT_SYSTEM T1562:IMPAIR_DEFENSES "
    "T1564.001:HIDDEN_FILES_AND_DIRECTORIES T1564.002:HIDDEN_USERS T1564:HIDE_ARTIFACTS "
    "T1567.002:EXFILTRATION_TO_CLOUD_STORAGE T1567:EXFILTRATION_OVER_WEB_SERVICE T1568:DYNAMIC_RESOLUTION "
    "T1570:LATERAL_TOOL_TRANSFER T1574.006:HIJACK_EXECUTION_FLOW_DYNAMIC_LINKER_HIJACKING "
    "T1574:HIJACK_EXECUTION_FLOW T1578.001:CREATE_SNAPSHOT T1578:MODIFY_CLOUD_COMPUTE_INFRASTRUCTURE "
    "T1580:CLOUD_INFRASTRUCTURE_DISCOVERY T1587.001:DEVELOP_CAPABILITIES_MALWARE T1587:DEVELOP_CAPABILITIES "
    "T1588.001:OBTAIN_CAPABILITIES_MALWARE T1588.006:OBTAIN_CAPABILITIES_VULNERABILITIES "
    "T1588:OBTAIN_CAPABILITIES T1595.001:SCANNING_IP_BLOCKS T1595:ACTIVE_SCANNING T1608.001:UPLOAD_MALWARE "
    "T1608:STAGE_CAPABILITIES T1609:CONTAINER_ADMINISTRATION_COMMAND T1610:DEPLOY_CONTAINER T1611:ESCAPE_TO_HOST "
    "T1613:CONTAINER_AND_RESOURCE_DISCOVERY T1620:REFLECTIVE_CODE_LOADING "
    "T1649:STEAL_OR_FORGE_AUTHENTICATION_CERTIFICATES T1657:FINANCIAL_THEFT"
)
_TECHNIQUES = {name: number for number, _, name in (pair.partition(":") for pair in _NAMED.split())}


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A finding of Security Command Center's. Its name comes again when the finding changes."""
    reader = Reader(_unwrap(payload))
    link, techniques, tags = _link(reader), _techniques(reader), _tags(reader)
    host = _instance(reader)
    text = reader.text("description", _MAPPING.paths["description"], 20_000)
    command = " ".join(value for value in reader.every("finding.processes.args")[:50] if type(value) is str)
    ignore(reader, *_NO_EVIDENCE)
    # Full names of Google's own resources: //compute.googleapis.com/projects/…
    reader.walk = reader.walk._replace(
        leaves=[leaf for leaf in reader.walk.leaves if not _is_resource(leaf.value)]
    )
    over = reader.raw("finding.state") == "INACTIVE" or reader.raw("finding.mute") == "MUTED"
    made = observable("command_line", command, "finding.processes.args") if command else None
    return read(
        reader,
        _MAPPING,
        severities,
        description=text,
        hostname=host,
        tags=tags,
        techniques=techniques,
        vendor_url=link,
        observables=(made,) if made else (),
        resolved=over,
    )


def _unwrap(payload: dict[str, Any]) -> dict[str, Any]:
    """The notification in a Pub/Sub push; a finding that stands alone is put where a notification has it."""
    message = payload.get("message")
    if type(message) is dict and "finding" not in payload:
        data = message.get("data")
        found = _decoded(data) if type(data) is str else data
        payload = found if type(found) is dict else payload
    if (
        "finding" not in payload
        and "category" in payload
        and ("canonicalName" in payload or "findingClass" in payload)
    ):
        return {"finding": payload}
    return payload


def _decoded(data: str) -> Any:
    if len(data) > _MAX_DATA:
        return None
    try:
        return orjson.loads(base64.b64decode(data))
    except (binascii.Error, ValueError, json.JSONDecodeError, RecursionError):
        return None


def _is_resource(value: Any) -> bool:
    return type(value) is str and value.startswith("//")


def _link(reader: Reader) -> Any:
    """The finding in the console; failing that the page its detector names."""
    name = reader.raw("finding.canonicalName", "finding.name")
    if type(name) is str and _NAME.fullmatch(name.strip()):
        return _FINDING_URL + quote(name.strip(), safe="")
    return reader.raw("finding.externalUri")


def _instance(reader: Reader) -> str | None:
    """The virtual machine a finding is about, by the name of its resource."""
    paths = (
        "resource.name",
        "finding.resourceName",
        "finding.sourceProperties.properties.instanceDetails",
        "finding.sourceProperties.properties_instanceDetails",
    )
    for _, value in reader.values(paths):
        found = _INSTANCE.search(value.strip()[-200:]) if type(value) is str else None
        if found and "sqladmin" not in value and "cloudsql" not in value:
            return found[1]
    return None


def _techniques(reader: Reader) -> tuple[str, ...]:
    """Ids of the techniques the API names, and of the page about ATT&CK that a detector links to."""
    names = reader.every("finding.mitreAttack.primaryTechniques", "finding.mitreAttack.additionalTechniques")
    found = [_TECHNIQUES.get(name, name) for name in names if type(name) is str]
    if not found:
        links = [value for value in reader.every(f"{_CONTEXT}.mitreUri.url") if type(value) is str]
        found = [link.partition("/techniques/")[2].strip("/").replace("/", ".") for link in links]
    return techniques_in(found)


def _tags(reader: Reader) -> tuple[str, ...]:
    """The class of the finding, its tactic, its detector and the project."""
    paths = ("finding.findingClass", "finding.mitreAttack.primaryTactic", "finding.parentDisplayName")
    found = [reader.whole_text((path,)) for path in paths]
    project = reader.whole_text(
        (
            "resource.projectDisplayName",
            "resource.gcpMetadata.projectDisplayName",
            "resource.project_display_name",
        )
    )
    found.append(f"project:{project}" if project else None)
    return tuple(dict.fromkeys(reader.cut("a value of tags", text, 100) for text in found if text))
