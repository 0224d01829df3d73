"""Who did it: the first, keyword-only argument of every service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

ActorKind = Literal["analyst", "token", "playbook", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """An analyst, an API token, a playbook run, or the system itself.

    ``partner_ids`` is ``None`` where every partner is visible. ``user_id`` is the person behind the actor (an
    analyst, or the owner of a session token), ``None`` for machines.
    """

    kind: ActorKind
    id: UUID | None
    name: str
    capabilities: frozenset[str] = frozenset()
    partner_ids: frozenset[UUID] | None = None
    user_id: UUID | None = None

    def can(self, capability: str) -> bool:
        """Whether the actor holds ``capability``; the system holds all."""
        return self.kind == "system" or capability in self.capabilities

    def sees_partner(self, partner_id: UUID) -> bool:
        """Whether rows of ``partner_id`` are visible to the actor."""
        return self.partner_ids is None or partner_id in self.partner_ids

    @classmethod
    def system(cls, name: str = "system") -> Actor:
        """OpenSOAR itself: sweeps, ingest, management commands."""
        return cls(kind="system", id=None, name=name)
