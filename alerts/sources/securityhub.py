"""AWS Security Hub: findings in ASFF (Security Hub CSPM) and in OCSF (Security Hub), bare or as EventBridge sends them.

https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format-syntax.html
https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-event-formats.html
https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-v2-cwe-event-formats.html
https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Severity.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alerts.iocs import ObservableValue
from alerts.sources import aws, ocsf
from alerts.sources.base import NormalisedAlert, Reader
from alerts.sources.mapping import Mapping, ignore, read, stated
from alerts.sources.registry import Source, sign
from alerts.sources.severity import CRITICAL, HIGH, INFORMATIONAL, LOW, MEDIUM, Severities

SOURCE = Source(
    slug="securityhub",
    product="AWS Security Hub",
    signs=(
        sign("source=aws.securityhub detail.findings", 0.99),
        aws.InSns(('"aws.securityhub"',), 0.97),
        sign("ProductArn GeneratorId AwsAccountId Id", 0.98),
        sign("ProductArn=~arn:aws SchemaVersion Severity", 0.96),
        # Findings of the new Security Hub are in OCSF: surer than the signs of OCSF itself.
        sign("class_uid finding_info metadata.product.uid=~arn:aws:securityhub", 0.95),
        sign("class_uid finding_info metadata.product.uid=~arn:aws-cn:securityhub", 0.95),
        sign("class_uid finding_info metadata.product.uid=~arn:aws-us-gov:securityhub", 0.95),
        sign("Findings.ProductArn Findings.AwsAccountId", 0.94),
    ),
    severities=Severities(
        {
            "informational": INFORMATIONAL, "low": LOW, "medium": MEDIUM, "high": HIGH, "critical": CRITICAL,
            "fatal": CRITICAL, 0: INFORMATIONAL, 1: LOW, 40: MEDIUM, 70: HIGH, 90: CRITICAL,
        },
        top=100,
    ),
)  # fmt: skip

_MAPPING = Mapping(
    source_id="Id",
    title="Title GeneratorId",
    description="Description",
    severity="Severity.Label FindingProviderFields.Severity.Label Severity.Normalized",
    event_at="FirstObservedAt CreatedAt LastObservedAt UpdatedAt",
    source_ip="Network.SourceIpV4 Network.SourceIpV6",
    dest_ip="Network.DestinationIpV4 Network.DestinationIpV6",
    hostname="Resources.Details.AwsEksCluster.Name Resources.Details.AwsRdsDbInstance.DBInstanceIdentifier "
    "Resources.Details.AwsLambdaFunction.FunctionName",
    username="Resources.Details.AwsIamAccessKey.UserName Resources.Details.AwsIamAccessKey.PrincipalName "
    "Resources.Details.AwsIamUser.UserName Resources.Details.AwsIamAccessKey.PrincipalId",
    rule_id="Compliance.SecurityControlId ProductFields.ControlId ProductFields.RuleId",
    tags="Types",
    process="Process.Name",
)
_OCSF = replace(
    ocsf.MAPPING,
    rule_name=f"{ocsf.MAPPING.rule_name} compliance.control finding_info.types",
    rule_id="compliance.control",
)
_MACHINE = (
    "Resources.Details.AwsEc2Instance.IpV4Addresses",
    "Resources.Details.AwsEc2Instance.IpV6Addresses",
)
_LINK = (
    "/securityhub/home?region={region}#/findings?search=Id%3D%255Coperator%255C%253AEQUALS%255C%253A{value}"
)
_NO_EVIDENCE = (
    "SourceUrl", "Remediation", "FindingProviderFields", "Note", "ProductFields", "Compliance", "RelatedFindings",
    "Action.AwsApiCallAction.ServiceName", "ThreatIntelIndicators.SourceUrl", "Vulnerabilities.ReferenceUrls",
    "Vulnerabilities.Vendor",
)  # fmt: skip
_GUARDDUTY_ACTION = "aws/guardduty/service/action/"
_OVER = frozenset({"RESOLVED", "SUPPRESSED"})
_VERDICTS = {"TRUE_POSITIVE": "malicious", "FALSE_POSITIVE": "benign", "BENIGN_POSITIVE": "benign"}
_INDICATORS = {
    "DOMAIN": "domain", "EMAIL_ADDRESS": "email", "HASH_MD5": "md5", "HASH_SHA1": "sha1", "HASH_SHA256": "sha256",
    "HASH_SHA512": "sha512", "IPV4_ADDRESS": "ip", "IPV6_ADDRESS": "ip", "MUTEX": "mutex", "PROCESS": "process",
    "URL": "url",
}  # fmt: skip


def normalise(payload: dict[str, Any], severities: Severities = SOURCE.severities) -> NormalisedAlert:
    """A finding of Security Hub's. The same id comes again when the finding or its workflow changes."""
    finding, count = _finding(payload)
    reader = Reader(_with_action(finding))
    if count > 1:
        reader.note(f"the event holds {count} findings; only the first was read")
    if reader.has("class_uid") or reader.has("finding_info"):
        return _read_ocsf(reader, severities)
    source_ip, dest_ip = aws.ends(reader, "Action", _MACHINE)
    link = reader.whole_text(("SourceUrl",)) or aws.console_url(
        *_where(reader), _LINK, reader.whole_text(("Id",))
    )
    ours, threats = aws.ours(reader, *_MACHINE), _threats(reader)
    machine = _machine(reader)
    rule_name = _rule_name(reader)
    over = _is_over(reader)
    verdict = reader.raw("VerificationState")
    ignore(reader, *_NO_EVIDENCE)
    return read(
        reader,
        _MAPPING,
        severities,
        source_ip=reader.address("source_ip", _MAPPING.paths["source_ip"]) or source_ip,
        dest_ip=reader.address("dest_ip", _MAPPING.paths["dest_ip"]) or dest_ip,
        hostname=machine,
        rule_name=rule_name,
        rule_id=_generator(reader),
        vendor_url=link,
        observables=(*threats, *ours),
        resolved=over,
        determination=_VERDICTS.get(verdict) if type(verdict) is str else None,
    )


def _read_ocsf(reader: Reader, severities: Severities) -> NormalisedAlert:
    return ocsf.read_finding(
        reader, _OCSF, severities, severity=ocsf.severity_word(reader), hostname=_machine(reader)
    )


def _finding(payload: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The finding of an event, and how many there are."""
    payload = aws.unwrap(payload)
    for key in ("findings", "Findings"):
        listed = payload.get(key)
        found = [one for one in listed if type(one) is dict] if type(listed) is list else []
        if found:
            return found[0], len(found)
        if type(listed) is dict:
            return listed, 1
    return payload, 1


def _with_action(finding: dict[str, Any]) -> dict[str, Any]:
    """``finding`` with its action, which GuardDuty wrote among its own fields in names like paths."""
    fields = finding.get("ProductFields")
    if type(fields) is not dict or type(finding.get("Action")) is dict:
        return finding
    start = len(_GUARDDUTY_ACTION)
    action = {
        key[start:].replace("/", "."): value
        for key, value in fields.items()
        if key.startswith(_GUARDDUTY_ACTION)
    }
    return {**finding, "Action": action} if action else finding


def _where(reader: Reader) -> tuple[Any, Any]:
    """The partition and the region, which older findings name only in ARNs."""
    parts = (reader.whole_text(("ProductArn",)) or "").split(":")
    region = reader.raw("Region", "Resources.Region") or (parts[3] if len(parts) > 3 else None)
    return (parts[1] if len(parts) > 3 else "aws"), region


def _machine(reader: Reader) -> str | None:
    """The instance among the resources: ``arn:aws:ec2:…:instance/i-0abc`` → ``i-0abc``."""
    for value in reader.every("Resources.Id", "resources.uid")[:50]:
        if type(value) is str:
            name = value.rpartition("/")[2]
            if (":instance/" in value or value == name) and name.startswith("i-") and len(name) < 30:
                return name
    return None


def _rule_name(reader: Reader) -> str | None:
    """The control a resource fails, or the last part of ``TTPs/Initial Access/UnauthorizedAccess:EC2-SSHBruteForce``."""
    if reader.has("Compliance.SecurityControlId") or reader.has("ProductFields.ControlId"):
        return reader.whole_text(("Title",))
    kind = reader.whole_text(("Types", "FindingProviderFields.Types"))
    return kind.rpartition("/")[2] or kind if kind else None


def _generator(reader: Reader) -> str | None:
    """The rule where no control is named. The detector that GuardDuty names is no rule."""
    if reader.whole_text(_MAPPING.paths["rule_id"]):
        return None
    generator = reader.whole_text(("GeneratorId",))
    return None if generator is None or ":detector/" in generator else generator


def _threats(reader: Reader) -> list[ObservableValue]:
    listed = reader.raw("ThreatIntelIndicators")
    found = []
    for position, one in enumerate(listed[:50] if type(listed) is list else []):
        kind = _INDICATORS.get(one["Type"]) if type(one) is dict and type(one.get("Type")) is str else None
        made = stated(kind, one.get("Value"), f"ThreatIntelIndicators.{position}.Value") if kind else None
        if made is not None:
            found.append(made)
    return found


def _is_over(reader: Reader) -> bool:
    """Archived by its product, resolved or suppressed by an analyst, or a check that now passes."""
    status = reader.raw("Workflow.Status", "WorkflowState")
    return (
        reader.raw("RecordState") == "ARCHIVED"
        or (type(status) is str and status in _OVER)
        or reader.raw("Compliance.Status") == "PASSED"
    )
