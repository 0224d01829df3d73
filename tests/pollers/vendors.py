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
    }  # fmt: skip


def _splunk(name: str, at: datetime) -> dict[str, Any]:
    return {
        "event_id": name, "search_name": f"Rule of {name}", "rule_name": f"Rule of {name}", "urgency": "high",
        "_time": iso(at), "_raw": f"raw of {name}",
    }  # fmt: skip


def _sentinel(name: str, at: datetime) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/s/incidents/{name}", "name": name, "type": "Microsoft.SecurityInsights/incidents",
        "etag": '"1"',
        "properties": {
            "title": f"Incident {name}", "severity": "High", "status": "New", "incidentNumber": 1,
            "createdTimeUtc": iso(at), "lastModifiedTimeUtc": iso(at),
        },
    }  # fmt: skip


def _defender(name: str, at: datetime) -> dict[str, Any]:
    return {
        "id": name, "title": f"Alert {name}", "severity": "high", "status": "new",
        "createdDateTime": iso(at), "lastUpdateDateTime": iso(at), "evidence": [],
    }  # fmt: skip


def _crowdstrike(name: str, at: datetime) -> dict[str, Any]:
    return {
        "composite_id": name, "id": name, "display_name": f"Alert {name}", "name": f"Alert {name}",
        "severity": 70, "severity_name": "High", "status": "new",
        "created_timestamp": iso(at), "updated_timestamp": iso(at), "timestamp": iso(at),
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
