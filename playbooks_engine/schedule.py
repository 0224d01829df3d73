"""Scheduled playbooks: every worker looks about once a second, and whoever stores a due time first fires it.

A playbook is due at the times of its cron expression, in the installation's time zone and by the database's clock. It
counts from its last firing, or from when it was switched on, came into the files or got another expression, whichever
is latest: nothing fires for times before that. After a downtime it fires once, for the latest time that was missed.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from cronsim import CronSim
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now

from opensoar.accounts.models import DEFAULT_PARTNER_ID
from opensoar.conditions import Condition
from playbooks_engine.models import CronFiring, Playbook
from playbooks_engine.options import SCHEDULE
from playbooks_engine.starting import Start, store
from playbooks_engine.triggers import Trigger

# ``updated_at`` moves when a playbook is switched on or its expression changes (see sync.SCHEDULING): what is remembered
# for an older one is then not found any more.
LOOK = """
SELECT statement_timestamp(), id, cron, updated_at FROM playbooks_engine_playbook
WHERE trigger = %s AND enabled AND missing_since IS NULL"""

type _Key = tuple[UUID, str, datetime]


class Schedule:
    """What one process remembers of the next due times, so that a look that finds nothing due is one small query."""

    def __init__(self) -> None:
        self._next: dict[_Key, datetime] = {}

    def fire_due(self) -> int:
        """Start every scheduled playbook that is due and that nobody else has started; returns how many."""
        with connection.cursor() as cursor:
            cursor.execute(LOOK, (SCHEDULE,))
            rows = cursor.fetchall()
        fired, upcoming = 0, {}
        for now, *row in rows:
            key: _Key = (row[0], row[1], row[2])
            due = self._next.get(key)
            if due is None or due <= now:
                fired += _fire(key[0])
                due = after(key[1], now)
            upcoming[key] = due
        self._next = upcoming
        return fired


#: This process's own.
fire_due = Schedule().fire_due


@transaction.atomic
def _fire(playbook_id: UUID) -> bool:
    """Start the playbook if it is due. Its row is locked: its firings happen one after the other, each once."""
    due_now = Playbook.objects.runnable().filter(pk=playbook_id, trigger=SCHEDULE)
    playbook = due_now.select_for_update(no_key=True).first()
    if playbook is None:
        return False
    # A statement of its own: what others stored while this one waited for the lock is visible to it.
    seen = Playbook.objects.filter(pk=playbook_id).values_list(Now(), Max("firings__due_at"))
    now, last = seen[0]
    since = max(playbook.updated_at, last) if last is not None else playbook.updated_at
    due_at = latest(playbook.cron, now)
    if due_at <= since:
        return False
    CronFiring.objects.create(playbook=playbook, due_at=due_at, created_at=now)
    trigger = Trigger(
        playbook.pk, playbook.name, SCHEDULE, playbook.priority, playbook.partner_id, playbook.lane,
        playbook.isolated_since is not None, Condition(),
    )  # fmt: skip
    start = Start(
        SCHEDULE, [trigger], playbook.partner_id or DEFAULT_PARTNER_ID,
        input=orjson.dumps({"due_at": due_at.isoformat()}).decode(),
    )  # fmt: skip
    store([start])
    return True


def latest(cron: str, now: datetime) -> datetime:
    """The last due time up to and including ``now``."""
    # Backwards from a moment that is no whole second, cronsim counts the second itself in.
    return next(CronSim(cron, _local(now).replace(microsecond=1), reverse=True))


def after(cron: str, moment: datetime) -> datetime:
    """The first due time after ``moment``."""
    return next(CronSim(cron, _local(moment)))


def _local(moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(settings.TIME_ZONE))
