"""One body on its way in: what was made of it, and what became of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from alerts import ingest_rows as rows
from alerts.models import AlertSource
from alerts.source_settings import SourceSettings
from alerts.sources.base import NormalisedAlert
from alerts.suppressions import InForce, hiding
from opensoar.ids import uuid7


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one body. ``state``: accepted, duplicate, replayed or quarantined (with or without an alert)."""

    state: str
    reason: str = ""
    alert_id: UUID | None = None
    correlation_id: UUID | None = None
    title: str = ""
    severity: str = ""
    playbooks: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Incoming:
    """One body with what was made of it; ``alerts.ingest.store`` fills in the outcome.

    ``key`` is the dedupe key. Without an ``alert`` the body could not be understood and ``reason`` says why.
    """

    body: bytes
    content_type: str
    source: str
    partner_id: UUID
    partner: str | None
    token_id: UUID | None = None
    alert: NormalisedAlert | None = None
    payload: Any = None
    settings: SourceSettings | None = None
    key: bytes = b""
    row: rows.AlertRow | None = None
    hidden_by: InForce | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    replayed: bool = False  # the delivery's row is there already
    receipt: bytes = b""  # of a signed request
    repeated: bool = False  # the same signed request came before: nothing is stored
    delivery_id: UUID = field(default_factory=uuid7)
    alert_id: UUID = field(default_factory=uuid7)
    correlation_id: UUID = field(default_factory=uuid7)
    received_at: datetime = field(default_factory=timezone.now)
    outcome: Outcome | None = None

    def prepare(self, fingerprint: str | None) -> None:
        """Compute key and columns, outside the transaction. ``fingerprint`` None: never a duplicate."""
        if self.alert is None:
            return
        self.key = dedupe_key(self.partner_id, self.source, fingerprint or f"self:{self.alert_id}")
        self.hidden_by = hiding(self.partner_id, self.subject)
        self.row = rows.alert_row(
            self.alert,
            alert_id=self.alert_id,
            partner_id=self.partner_id,
            source=self.source,
            key=self.key,
            correlation_id=self.correlation_id,
            received_at=self.received_at,
            suppressed_by_id=self.hidden_by.id if self.hidden_by else None,
        )

    @property
    def depends_on_what_is_known(self) -> bool:
        """Whether it takes a look at the alert of its key to tell what to do with it."""
        policy = self.settings
        return (self.alert is not None and self.alert.only_closes) or (
            policy is not None
            and (policy.window is not None or policy.on_recurrence == AlertSource.OnRecurrence.NEW)
        )

    def subject(self) -> dict[str, Any]:
        """The alert as conditions and playbooks know it."""
        alert = self.alert
        assert alert is not None
        return {
            "id": str(self.alert_id),
            "source": self.source,
            "source_id": alert.source_id,
            "title": alert.title,
            "description": alert.description,
            "severity": alert.severity,
            "status": "new",
            "determination": alert.determination or "unknown",
            "source_ip": alert.source_ip,
            "dest_ip": alert.dest_ip,
            "hostname": alert.hostname,
            "username": alert.username,
            "rule_name": alert.rule_name,
            "tags": list(alert.tags),
            "iocs": alert.iocs,
            "partner": self.partner,
            "raw_payload": self.payload,
            "normalized": alert.normalized,
            "duplicate_count": 1,
            "first_seen": self.received_at,
            "last_seen": self.received_at,
            "assigned_to": None,
            "assigned_username": None,
            "correlation_id": str(self.correlation_id),
            "created_at": self.received_at,
            "updated_at": self.received_at,
            "resolved_at": None,
            "resolve_reason": None,
        }


def dedupe_key(partner_id: UUID, source: str, fingerprint: str, generation: int = 0) -> bytes:
    """SHA-256 over what makes two bodies the same alert. Lengths are part of it: no two tuples share a key."""
    digest = hashlib.sha256(partner_id.bytes)
    for part in (source, fingerprint, str(generation)):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.digest()
