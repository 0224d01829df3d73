"""The names under which products that nobody listed give their fields, best first.

Written folded (:func:`alerts.jsonwalk.fold`): ``srcip`` stands for ``src_ip``, ``srcIp``, ``SRC-IP``; a dotted name for
nested and flat alike. A *tail* matches at any depth, so it must be a name that means one thing everywhere.
"""

from __future__ import annotations

from typing import Any

from alerts.sources import severity
from alerts.sources.severity import Scale


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TITLE = _words(
    "title alerttitle alert.title alertinfo.title kibana.alert.rule.name signal.rule.name rule.name rulename "
    "ruletitle alertname alert.name alertdisplayname alert.signature signature signaturename detectionname "
    "detection.name detectname event.detectname findinginfo.title finding.title detail.title properties.title "
    "object.properties.title displayname searchname result.ruletitle annotations.summary labels.alertname "
    "rule.description threatname threat.name name subject summary headline eventname alert rule "
    "kibana.alert.reason message msg event output reason log description details detail action eventtype type "
    "category event.action event.original"
)
TITLE_TAILS = _words("alerttitle alertname rule.name rulename signaturename title")
RULE = _words(
    "kibana.alert.rule.name signal.rule.name rule.name rulename ruletitle result.rulename rule alert.signature "
    "signature signaturename searchname detectionname detection.name analytic.name findinginfo.analytic.name "
    "correlationrule event.detectname policyname policy rule.description labels.alertname alertname detail.type "
    "rule.id ruleid patternid signatureid alert.signatureid detectorid alerttype"
)
DESCRIPTION = _words(
    "description alertdescription alert.description detail.description properties.description "
    "object.properties.description findinginfo.desc desc annotations.description kibana.alert.reason reason "
    "message details detail msg output summary annotations.summary kibana.alert.rule.description "
    "rule.description body comment"
)
# An id must be the alert's own: event ids of Windows and rule ids repeat, and would merge alerts.
SOURCE_ID = _words(
    "sourceid sourceref alertid alertuuid kibana.alert.uuid id uuid uid guid findinginfo.uid finding.id "
    "detection.id detectionid compositeid systemalertid notableid findingid alert.id alert.uuid event.detectid "
    "object.name externalid event.id signal.id"
)
GROUP_KEY = _words(
    "kibana.alert.group.id aggregateid incidentid communityid network.communityid flowid groupkey groupid "
    "correlationid correlationkey aggregationkey campaignid"
)
VENDOR_URL = _words(
    "alerturl alertweburl incidentweburl kibana.alert.url permalink resultslink externallink falconhostlink "
    "weburl consolelink consoleurl htmlurl portalurl vendorurl generatorurl externalurl findinginfo.srcurl "
    "properties.incidenturl object.properties.incidenturl link"
)
SOURCE = _words("source sourcename alertsource")
PARTNER = _words(
    "partner tenant customer organization organisation partnername tenantname customername organizationname "
    "partner.id tenant.id customer.id organization.id"
)
DETERMINATION = _words("determination verdict classification properties.classification verdictid")
TAGS = _words("tags labels rule.groups kibana.alert.rule.tags rule.tags alert.tags event.tags")
TECHNIQUE_WORDS = ("mitre", "technique", "attack", "tag", "threat", "subtechnique", "procedures", "tactic")

SOURCE_IP = _words(
    "sourceip srcip source.ip src sourceaddress sourceipaddress source.address srcaddr saddr alert.source.ip "
    "clientip client.ip client.address clientaddress remoteip remoteaddress remoteaddr attackerip attacker.ip "
    "source result.srcip result.src data.srcip event.localip device.localip device.externalip calleripaddress "
    "callerip ipaddress ip host.ip agent.ip hostip"
)
SOURCE_IP_TAILS = _words(
    "srcip sourceip source.ip sourceipaddress clientip client.ip attackerip remoteip remoteipdetails.ipaddressv4 "
    "calleripaddress src srcaddr saddr source.address"
)
DEST_IP = _words(
    "destip dstip destinationip destination.ip dst dest destinationaddress destinationipaddress "
    "destination.address dstaddr daddr alert.target.ip targetip target.ip serverip server.ip destination target "
    "result.destip result.dest data.dstip"
)
DEST_IP_TAILS = _words("dstip destip destinationip destination.ip targetip dst destinationipaddress")
HOSTNAME = _words(
    "hostname host.name host.hostname host computername computer computerdnsname devicename device.hostname "
    "device.name machinename machine agent.name agent.hostname endpoint.name endpointname endpoint assetname "
    "asset.name workstation predecoder.hostname event.computername compromisedentity dvchost shost dhost "
    "sourcehost desthost result.host result.dest dvc dest labels.instance instance nodename "
    "detail.resource.instancedetails.instanceid device asset"
)
HOSTNAME_TAILS = _words(
    "hostname host.name computername computerdnsname devicename machinename devicednsname instanceid"
)
USERNAME = _words(
    "username user.name user account.name accountname account useraccount login loginname samaccountname srcuser "
    "data.srcuser suser dstuser data.dstuser duser subjectusername targetusername userprincipalname upn "
    "useridentity.username event.username result.user result.srcuser relateduser.username principal actor.name "
    "actor.email actor usrname useremail user.email"
)
USERNAME_TAILS = _words(
    "username user.name accountname samaccountname userprincipalname targetusername subjectusername srcuser"
)
TIME = _words(
    "kibana.alert.originaltime eventtime eventtimestamp detail.service.eventfirstseen "
    "properties.firstactivitytimeutc object.properties.firstactivitytimeutc firstactivitydatetime firsteventtime "
    "firstseen timestamp time occurredat detectedat detectiontime detecttime findinginfo.firstseentime startsat "
    "starttime eventdate timegenerated createddatetime createdtimestamp createdat created createdtime "
    "creationtime alertcreationtime properties.createdtimeutc object.properties.createdtimeutc event.created "
    "result.time metadata.eventcreationtime date datetime rt devtime start end detail.createdat"
)
TIME_TAILS = _words("eventtime timestamp")

# Where a severity may stand, and on what scale a bare number there is.
SEVERITY: tuple[tuple[str, Scale], ...] = (
    ("kibana.alert.severity", severity.by_size),
    ("signal.rule.severity", severity.by_size),
    ("severityname", severity.by_size),
    ("severitylabel", severity.by_size),
    ("event.severityname", severity.by_size),
    ("severity.name", severity.by_size),
    ("severity.label", severity.by_size),
    ("severity", severity.by_size),
    ("severity.value", severity.by_size),
    ("severity.score", severity.by_size),
    ("alertseverity", severity.by_size),
    ("properties.severity", severity.by_size),
    ("object.properties.severity", severity.by_size),
    ("detail.severity", severity.ten),
    ("result.severity", severity.by_size),
    ("urgency", severity.by_size),
    ("result.urgency", severity.by_size),
    ("labels.severity", severity.by_size),
    ("commonlabels.severity", severity.by_size),
    ("sev", severity.ten),
    ("severityid", severity.ocsf),
    ("criticality", severity.by_size),
    ("threatlevel", severity.by_size),
    ("risklevel", severity.by_size),
    ("alert.severity", severity.by_size),
    ("rule.level", severity.wazuh),
    ("level", severity.by_size),
    ("loglevel", severity.by_size),
    ("log.level", severity.by_size),
    ("priority", severity.priority),
    ("kibana.alert.riskscore", severity.hundred),
    ("riskscore", severity.hundred),
    ("event.riskscore", severity.hundred),
    ("risk", severity.by_size),
    ("cvss", severity.ten),
    ("cvssscore", severity.ten),
)
SEVERITY_TAILS = _words("severity severityname urgency")

VERDICTS = {
    "malicious": "malicious",
    "true positive": "malicious",
    "truepositive": "malicious",
    "suspicious": "suspicious",
    "benign": "benign",
    "false positive": "benign",
    "falsepositive": "benign",
    "benign positive": "benign",
    "benignpositive": "benign",
    "unknown": "unknown",
    "undetermined": "unknown",
}
"""What others call a determination → ours. Other words say nothing."""


def verdict(value: Any) -> str | None:
    """The determination that a value of some product names."""
    return VERDICTS.get(_word(value)) if type(value) is str else None


ENDED = frozenset(_words("resolved closed done ended cleared recovered ok inactive remediated")) | {
    "auto resolved"
}
"""States in which an alert is over, in the words of most products."""


def has_ended(value: Any) -> bool:
    """Whether a state of some product says that the alert is over."""
    return type(value) is str and _word(value) in ENDED


def _word(value: str) -> str:
    return value.strip().lower().replace("_", " ").replace("-", " ")
