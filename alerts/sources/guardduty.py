"""Amazon GuardDuty: findings as EventBridge sends them, bare as the API returns them, and inside an SNS notification.

https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
https://docs.aws.amazon.com/guardduty/latest/APIReference/API_Finding.html
https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings-severity.html
"""

from __future__ import annotations

from typing import Any

from alerts.sources import aws
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.mapping import Mapping, ignore, read
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="guardduty",
    product="Amazon GuardDuty",
    signs=(
        sign("source=aws.guardduty detail", 0.99),
        sign("detail-type=~GuardDuty detail", 0.98),
        aws.InSns(('"aws.guardduty"',), 0.97),
        sign("service.detectorId resource.resourceType type arn", 0.96),
        sign("Service.DetectorId Resource.ResourceType Type", 0.96),
        sign("service.serviceName=guardduty", 0.95),
        sign("schemaVersion accountId arn type resource.resourceType", 0.9),
        sign("SchemaVersion AccountId Arn Type Resource.ResourceType", 0.9),
    ),
    severities=Severities({0: INFORMATIONAL, 1: LOW, 4: MEDIUM, 7: HIGH, 9: CRITICAL}, top=10),
)

_MAPPING = Mapping(
    source_id="id arn",
    title="title type",
    description="description",
    severity="severity",
    event_at="service.eventFirstSeen createdAt service.eventLastSeen updatedAt",
    source_ip="service.detection.sequence.endpoints.ip",
    hostname="resource.instanceDetails.instanceId resource.kubernetesDetails.kubernetesWorkloadDetails.name "
    "resource.rdsDbInstanceDetails.dbInstanceIdentifier resource.ecsClusterDetails.taskDetails.arn "
    "resource.eksClusterDetails.name resource.ecsClusterDetails.name resource.lambdaDetails.functionName",
    username="resource.accessKeyDetails.userName resource.kubernetesDetails.kubernetesUserDetails.username "
    "resource.rdsDbUserDetails.user service.runtimeDetails.process.user service.detection.sequence.actors.user.name",
    rule_name="type",
    techniques="service.detection.sequence.indicators.values service.detection.sequence.signals.signalIndicators.values",
    group_key="associatedAttackSequenceArn",
    process="service.runtimeDetails.process.name",
    command_line="service.runtimeDetails.context.commandLineExample",
)
_INTERFACES = "resource.instanceDetails.networkInterfaces"
_MACHINE = (f"{_INTERFACES}.privateIpAddress", f"{_INTERFACES}.ipv6Addresses")
# The own machine's public name, a copy, and the name of Amazon's own service.
_NO_EVIDENCE = (
    f"{_INTERFACES}.publicDnsName",
    "service.additionalInfo.value",
    "service.action.awsApiCallAction.serviceName",
)
_LINK = "/guardduty/home?region={region}#/findings?macros=all&fId={value}"


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A finding of GuardDuty's. The same id comes again when it is seen again."""
    reader = Reader(aws.unwrap(payload))
    source_ip, dest_ip = aws.ends(reader, "service.action", _MACHINE)
    number = reader.whole_text(("id",))
    ours = aws.ours(reader, *_MACHINE, f"{_INTERFACES}.publicIp")
    ignore(reader, *_NO_EVIDENCE)
    return read(
        reader,
        _MAPPING,
        severities,
        source_ip=source_ip,
        dest_ip=dest_ip,
        tags=_tags(reader),
        vendor_url=aws.console_url(reader.raw("partition"), reader.raw("region"), _LINK, number),
        observables=ours,
        resolved=reader.raw("service.archived") is True,
    )


def _tags(reader: Reader) -> tuple[str, ...]:
    """The purpose of the threat (the part of the type before the colon), and where it was found."""
    found = [
        (reader.whole_text(("type",)) or "").partition(":")[0],
        reader.whole_text(("resource.resourceType",)) or "",
    ]
    for name, path in (("account", "accountId"), ("region", "region")):
        value = reader.whole_text((path,))
        found.append(f"{name}:{value}" if value else "")
    return tuple(dict.fromkeys(reader.cut("a value of tags", text, 100) for text in found if text))
