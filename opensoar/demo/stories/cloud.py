"""The third attack: a leaked CI access key used for mining. Nobody has opened an incident yet: it is a suggestion."""

from __future__ import annotations

from alerts import services as alerts
from opensoar.demo.desk import Desk, Signal

ADDRESS, USER, INSTANCE = "192.0.2.144", "ci-deploy", "i-0c41d7e9b2"
POOL = "pool.minexmr-proxy.example"


def tell(desk: Desk) -> None:
    """Six alerts of three sources that share an address and a user."""
    wazuh, guardduty, sentinel = "Wazuh", "GuardDuty", "Sentinel"
    signals = [
        Signal(48, "high", "New access key used beside the pipeline’s own", sentinel, "Unusual AWS key pair", None, USER,
               ADDRESS, techniques=("T1078.004",)),
        Signal(31, "high", "Security group opened to the world in ap-east-1", wazuh, "80251 AWS security group opened",
               None, USER, ADDRESS, techniques=("T1562.007",)),
        Signal(18, "high", "14 RunInstances calls in 90 s, region ap-east-1", wazuh,
               "80254 AWS unusual RunInstances volume", None, USER, ADDRESS, techniques=("T1496",)),
        Signal(14, "high", "Instance profile attached by a pipeline user", sentinel, "AWS IAM instance profile attached",
               INSTANCE, USER, ADDRESS),
        Signal(11, "high", "EC2 instance resolves a mining-pool domain", guardduty, "CryptoCurrency:EC2/BitcoinTool.B!DNS",
               INSTANCE, USER, ADDRESS, times=6, last=2.5, techniques=("T1496",), extra={"query": POOL}),
        Signal(6, "high", "Access key used from a new country", guardduty,
               "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration", INSTANCE, USER, ADDRESS, times=3, last=1.5,
               techniques=("T1552.005",)),
    ]  # fmt: skip
    for signal in signals:
        desk.arrives(signal)
    desk.each(16, "ada", [signals[2]], alerts.update_alert, determination="suspicious")
    desk.each(15.5, "ada", [signals[2]], alerts.comment_alert, text="The pipeline has never worked in ap-east-1. Asked "
              "the platform team who deploys there.")  # fmt: skip
