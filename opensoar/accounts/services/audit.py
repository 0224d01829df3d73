"""The audit trail: one append-only row per administrative act."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from opensoar import clock
from opensoar.accounts.models import AuditEntry
from opensoar.actors import Actor
from opensoar.text import clean, clean_json


def audit(
    *,
    actor: Actor,
    action: str,
    object_kind: str = "",
    object_id: object = "",
    detail: dict[str, Any] | None = None,
    ip: str | None = None,
) -> AuditEntry:
    """Append one entry. ``detail`` is JSON and must hold no secret; ``ip`` is the client's address as text."""
    entry = AuditEntry(
        recorded_at=clock.now(),
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=clean(actor.name)[:150],
        action=action,
        object_kind=object_kind,
        object_id=clean(str(object_id))[:64],
        detail=clean_json(detail or {}),
        ip=ip or None,
    )
    entry.digest = audit_digest(entry)
    entry.save(force_insert=True)
    return entry


def audit_digest(entry: AuditEntry) -> bytes:
    """SHA-256 over every field of the entry, in one canonical JSON form."""
    return hashlib.sha256(
        orjson.dumps(
            [
                str(entry.id), entry.recorded_at.timestamp(), entry.actor_kind, str(entry.actor_id), entry.actor_name,
                entry.action, entry.object_kind, entry.object_id, entry.detail, entry.ip,
            ],
            option=orjson.OPT_SORT_KEYS,
        )
    ).digest()  # fmt: skip
