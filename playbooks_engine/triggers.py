"""Which playbooks an alert triggers, in order: from the synced table alone, since web processes import no user code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

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


def triggers() -> list[Trigger]:
    """Every runnable playbook that alerts can trigger, in global order (``order``, then name); one query.

    Asked anew for every batch, inside its transaction: a playbook that was disabled starts no further run.
    """
    # The driver's own cursor, as in ingest, whose connection keeps it prepared.
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(*_query())
        return _triggers(tuple(cursor.fetchall()))


@cache
def _query() -> tuple[str, tuple[Any, ...]]:
    """The query as SQL: every batch of alerts asks it, and to write it takes longer than to answer it."""
    rows = Playbook.objects.runnable().filter(trigger__isnull=False).order_by("order", "name")
    columns = ("pk", "name", "trigger", "priority", "partner_id", "conditions")
    return rows.values_list(*columns).query.sql_with_params()


@lru_cache(maxsize=2)
def _triggers(rows: tuple[tuple[Any, ...], ...]) -> list[Trigger]:
    """What the rows say; the same list as long as nobody changes a playbook."""
    return [
        Trigger(pk, name, trigger, priority, partner_id, parse(json.loads(conditions)))
        for pk, name, trigger, priority, partner_id, conditions in rows
    ]
