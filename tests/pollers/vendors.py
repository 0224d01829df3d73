"""The vendors as tests ask for them: a fake server, a connector that fits it, alerts as the vendor writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from alerts.models import Alert, Delivery
from opensoar.accounts.models import Partner
from playbooks_engine.models import Connector
from tests.fakes.crowdstrike import FakeCrowdStrike
from tests.fakes.defender import FakeDefender
from tests.fakes.elastic import FakeElastic
from tests.fakes.sentinel import FakeSentinel
from tests.fakes.splunk import FakeSplunk
from tests.pollers.conftest import Desk

HOST, USER, ADDRESS, SHA256 = "ws-042", "jane.doe", "203.0.113.66", "8f" * 32
"""What each alert is about, in the words of its vendor: a machine, who uses it, the address on the other side, a file."""


def iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class Vendor:
    """One kind. ``alert`` makes an alert of an id at a time; ``id_of`` finds the id in what was stored."""

    kind: str
    fake: type
    alert: Callable[[str, datetime], dict[str, Any]]
    id_of: Callable[[dict[str, Any]], str]
    config: Callable[[Any], dict[str, Any]]
    secrets: Callable[[Any], dict[str, Any]]
    has_tokens: bool = True
    lists_changes: bool = True
    by_index_time: bool = False
    page: int = 3

    def connect(self, desk: Desk, fake: Any, partner: Partner | None = None, **config: Any) -> Connector:
        """A connector for the fake, whose pages are small."""
        config = {"page_size": self.page, **self.config(fake), **config}
        return desk.connect(self.kind, config, self.secrets(fake), partner)

    def put(self, fake: Any, name: str, ago: float = 60) -> None:
        """An alert of that id, ``ago`` seconds old."""
        at = datetime.now(UTC) - timedelta(seconds=ago)
        fake.add(self.alert(name, at), at=at)

    def stored(self) -> list[str]:
        """The id of every alert that there is, as often as there are alerts."""
        firsts = Delivery.objects.filter(state="accepted", alert_id__in=Alert.objects.values("pk"))
        return sorted(self.id_of(orjson.loads(bytes(one.body))) for one in firsts)


def _elastic(name: str, at: datetime) -> dict[str, Any]:
    return {
        "@timestamp": iso(at), "kibana.alert.uuid": name, "kibana.alert.rule.name": f"Rule of {name}",
        "kibana.alert.severity": "high", "kibana.alert.rule.uuid": "r", "event.kind": "signal",
        "host": {"name": HOST, "ip": ["10.20.30.42"], "os": {"type": "windows"}}, "user": {"name": USER, "domain": "CORP"},
        "source": {"ip": ADDRESS, "port": 443}, "destination": {"ip": "10.20.30.42", "port": 50_122},
        "process": {"name": "invoice.exe", "hash": {"sha256": SHA256}},
    }  # fmt: skip


def _splunk(name: str, at: datetime) -> dict[str, Any]:
    return {
        "event_id": name, "search_name": f"Rule of {name}", "rule_name": f"Rule of {name}", "urgency": "high",
        "_time": iso(at), "_raw": f"raw of {name}", "security_domain": "endpoint", "src": ADDRESS, "dest": HOST,
        "user": USER, "file_name": "invoice.exe", "file_hash": SHA256,
    }  # fmt: skip


def _sentinel(name: str, at: datetime) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/s/incidents/{name}", "name": name, "type": "Microsoft.SecurityInsights/incidents",
        "etag": '"1"',
        "properties": {
            "title": f"Incident {name}", "severity": "High", "status": "New", "incidentNumber": 1,
            "createdTimeUtc": iso(at), "lastModifiedTimeUtc": iso(at),
        },
        "entities": [
            _entity("Host", {"hostName": HOST, "dnsDomain": "corp.example", "osFamily": "Windows"}),
            _entity("Account", {"accountName": USER, "upnSuffix": "corp.example", "isDomainJoined": True}),
            _entity("Ip", {"address": ADDRESS}),
            _entity("File", {"fileName": "invoice.exe", "directory": "C:\\Users\\jane.doe\\Downloads"}),
            _entity("FileHash", {"hashValue": SHA256, "algorithm": "SHA256"}),
        ],
    }  # fmt: skip


def _entity(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/s/providers/Microsoft.SecurityInsights/Entities/{kind}", "name": kind, "kind": kind,
        "type": "Microsoft.SecurityInsights/Entities", "properties": {**properties, "friendlyName": kind},
    }  # fmt: skip


def _defender(name: str, at: datetime) -> dict[str, Any]:
    return {
        "id": name, "title": f"Alert {name}", "severity": "high", "status": "new",
        "createdDateTime": iso(at), "lastUpdateDateTime": iso(at),
        "evidence": [
            _evidence("device", deviceDnsName=f"{HOST}.corp.example", hostName=HOST, roles=["compromised"]),
            _evidence("user", userAccount={"accountName": USER, "userPrincipalName": f"{USER}@corp.example"}),
            _evidence("ip", ipAddress=ADDRESS, roles=["attacker"]),
            _evidence("file", fileDetails={"sha256": SHA256, "fileName": "invoice.exe", "filePath": "C:\\Users"}),
        ],
    }  # fmt: skip


def _evidence(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "@odata.type": f"#microsoft.graph.security.{kind}Evidence", "verdict": "suspicious", "roles": [], "tags": [], **fields
    }  # fmt: skip


def _crowdstrike(name: str, at: datetime) -> dict[str, Any]:
    return {
        "composite_id": name, "id": name, "display_name": f"Alert {name}", "name": f"Alert {name}",
        "severity": 70, "severity_name": "High", "status": "new",
        "created_timestamp": iso(at), "updated_timestamp": iso(at), "timestamp": iso(at),
        "device": {"device_id": "d", "hostname": HOST, "local_ip": "10.20.30.42", "external_ip": "198.51.100.1"},
        "user_name": USER, "filename": "invoice.exe", "sha256": SHA256,
        "network_accesses": [
            {"local_address": "10.20.30.42", "remote_address": ADDRESS, "connection_direction": 0, "protocol": "TCP"}
        ],
    }  # fmt: skip


def _entra(fake: Any) -> dict[str, Any]:
    return {"tenant_id": fake.tenant_id, "client_id": fake.client_id, "login_url": fake.url, "url": fake.url}


def _workspace(fake: Any) -> dict[str, Any]:
    return _entra(fake) | {
        "subscription_id": fake.subscription_id, "resource_group": fake.resource_group,
        "workspace": fake.workspace_name,
    }  # fmt: skip


def _client_secret(fake: Any) -> dict[str, Any]:
    return {"client_secret": fake.client_secret}


VENDORS = [
    Vendor(
        "elastic", FakeElastic, _elastic, lambda row: str(row["kibana.alert.uuid"]), lambda fake: {"url": fake.url},
        lambda fake: {"api_key": fake.api_key}, has_tokens=False, lists_changes=False,
    ),
    Vendor(
        "splunk", FakeSplunk, _splunk, lambda row: str(row["event_id"]), lambda fake: {"url": fake.url},
        lambda fake: {"token": fake.token}, has_tokens=False, lists_changes=False, by_index_time=True,
    ),
    Vendor("sentinel", FakeSentinel, _sentinel, lambda row: str(row["name"]), _workspace, _client_secret),
    Vendor("defender", FakeDefender, _defender, lambda row: str(row["id"]), _entra, _client_secret),
    Vendor(
        "crowdstrike", FakeCrowdStrike, _crowdstrike, lambda row: str(row["composite_id"]),
        lambda fake: {"url": fake.url, "client_id": fake.client_id}, _client_secret,
    ),
]  # fmt: skip
