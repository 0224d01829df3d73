"""Which playbooks an event triggers, in order: from the synced table alone, since web processes import no user code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection
from django.db.models import Q

from opensoar.conditions import Condition, parse
from playbooks_engine.models import Playbook
from playbooks_engine.options import SCHEDULE, TRIGGERS, subject_of


@dataclass(frozen=True, slots=True)
class Trigger:
    """A runnable playbook and when it runs."""

    playbook_id: UUID
    name: str
    trigger: str
    priority: int
    partner_id: UUID | None
    lane: str
    isolated: bool
    condition: Condition

    def matches(self, partner_id: UUID, subject: Mapping[str, Any]) -> bool:
        """Whether something of this partner triggers it."""
        return (self.partner_id is None or self.partner_id == partner_id) and self.condition.matches(subject)

    def matches_alert(self, source: str, partner_id: UUID, subject: Mapping[str, Any]) -> bool:
        """Whether an alert of ``source`` triggers it."""
        # The public OpenSOAR writes "elastic.alert" where it means the source "elastic".
        if self.trigger != "webhook" and self.trigger.lower().removesuffix(".alert") != source.lower():
            return False
        return self.matches(partner_id, subject)


@dataclass(frozen=True, slots=True)
class Triggers:
    """Every runnable playbook that events can trigger, by what it is about, each list in global order."""

    alert: list[Trigger] = field(default_factory=list)
    """For new alerts."""
    changed_alert: list[Trigger] = field(default_factory=list)
    incident: list[Trigger] = field(default_factory=list)
    observable: list[Trigger] = field(default_factory=list)

    def of_changed_alerts(self, names: Set[str]) -> list[Trigger]:
        """Those that one of these triggers starts."""
        return [trigger for trigger in self.changed_alert if trigger.trigger in names]

    def of_incidents(self, names: Set[str]) -> list[Trigger]:
        """Those that one of these triggers starts."""
        return [trigger for trigger in self.incident if trigger.trigger in names]


def triggers() -> Triggers:
    """Every runnable playbook that events can trigger, in global order (``order``, then name); one query.

    Asked anew for every event or batch of alerts, inside its transaction: a playbook that was disabled starts no
    further run.
    """
    # The driver's own cursor, as in ingest, whose connection keeps it prepared.
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(*_query())
        return _triggers(tuple(cursor.fetchall()))


@cache
def _query() -> tuple[str, tuple[Any, ...]]:
    """The query as SQL: every batch of alerts asks it, and to write it takes longer than to answer it."""
    rows = Playbook.objects.runnable().filter(~Q(trigger=SCHEDULE), trigger__isnull=False)
    columns = ("pk", "name", "trigger", "priority", "partner_id", "lane", "isolated_since", "conditions")
    return rows.order_by("order", "name").values_list(*columns).query.sql_with_params()


@lru_cache(maxsize=2)
def _triggers(rows: tuple[tuple[Any, ...], ...]) -> Triggers:
    """What the rows say; the same answer as long as nobody changes a playbook."""
    found = Triggers()
    for pk, name, trigger, priority, partner_id, lane, isolated_since, conditions in rows:
        about = subject_of(trigger)
        condition = parse(json.loads(conditions), about)
        isolated = isolated_since is not None
        which = "changed_alert" if about == "alert" and trigger in TRIGGERS else about
        getattr(found, which).append(
            Trigger(pk, name, trigger, priority, partner_id, lane, isolated, condition)
        )
    return found
