"""Which playbooks an alert triggers, in order: from the synced table alone, since web processes import no user code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from opensoar.conditions import Condition, parse
from playbooks_engine.models import Playbook


@dataclass(frozen=True, slots=True)
class Trigger:
    """A runnable playbook and when it runs."""

    playbook_id: UUID
    name: str
    trigger: str
    priority: int
    partner_id: UUID | None
    condition: Condition

    def matches(self, source: str, partner_id: UUID, subject: Mapping[str, Any]) -> bool:
        """Whether an alert of ``source`` triggers it."""
        if self.partner_id is not None and self.partner_id != partner_id:
            return False
        # The public OpenSOAR writes "elastic.alert" where it means the source "elastic".
        if self.trigger != "webhook" and self.trigger.lower().removesuffix(".alert") != source.lower():
            return False
        return self.condition.matches(subject)


@lru_cache(maxsize=2048)
def _parsed(text: str) -> Condition:
    return parse(json.loads(text))


def triggers() -> list[Trigger]:
    """Every runnable playbook that alerts can trigger, in global order (``order``, then name); one query."""
    rows = Playbook.objects.runnable().filter(trigger__isnull=False).order_by("order", "name")
    return [
        Trigger(pk, name, trigger or "", priority, partner_id, _parsed(json.dumps(conditions)))
        for pk, name, trigger, priority, partner_id, conditions in rows.values_list(
            "pk", "name", "trigger", "priority", "partner_id", "conditions"
        )
    ]
