"""Which new alerts are hidden: the suppressions in force, remembered for a moment.

A hidden alert is stored as any other, with its body, observables and counter; but it is in no queue, count or
suggestion, and starts no playbook.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from alerts.models import Alert, AlertEntry, Suppression
from alerts.timeline_kinds import Suppressed
from opensoar import clock
from opensoar.actors import Actor
from opensoar.conditions import Condition, ConditionError, parse
from opensoar.errors import Invalid
from opensoar.remembered import Remembered
from opensoar.timeline import Draft, append

log = logging.getLogger(__name__)

FIELDS = (
    "source", "source_id", "title", "description", "severity", "source_ip", "dest_ip", "hostname", "username",
    "rule_name", "tags", "iocs", "partner", "raw", "raw_payload", "normalized",
)  # fmt: skip
"""What is known of an alert when it comes; all else is made later, by people or by counting."""
_INGEST = Actor.system("ingest")


@dataclass(frozen=True, slots=True)
class InForce:
    """A suppression as ingest uses it. ``partner_id`` None: everybody's alerts; ``expires_at`` None: never."""

    id: UUID
    name: str
    reason: str
    partner_id: UUID | None
    expires_at: datetime | None
    condition: Condition


def hiding(partner_id: UUID, subject: Callable[[], Mapping[str, Any]]) -> InForce | None:
    """The oldest suppression that hides a new alert of ``partner_id``; ``subject`` tells what conditions ask of it."""
    candidates = [one for one in in_force() if one.partner_id is None or one.partner_id == partner_id]
    if not candidates:
        return None
    known, now = subject(), clock.now()
    return next(
        (
            one
            for one in candidates
            if (one.expires_at is None or one.expires_at > now) and one.condition.matches(known)
        ),
        None,
    )


def _read() -> tuple[InForce, ...]:
    found = []
    for row in Suppression.objects.active().order_by("id"):
        try:
            condition = parse(row.conditions)
        except ConditionError:  # of another release: rather show too much than hide what nobody meant
            log.exception("suppression %s is not understood and hides nothing", row.pk)
            continue
        found.append(InForce(row.pk, row.name, row.reason, row.partner_id, row.expires_at, condition))
    return tuple(found)


in_force = Remembered(_read)
"""The suppressions that hide new alerts now, oldest first, at most two seconds old."""
forget = in_force.forget


def record_hidden(hidden: Mapping[UUID, InForce]) -> None:
    """The first entry of new alerts, by id: what hid them. Their rows, stored in this transaction, count it already."""
    if hidden:
        append(
            AlertEntry,
            [
                (Alert(pk=pk), Draft(Suppressed(suppression_id=str(by.id), name=by.name), _INGEST, by.reason))
                for pk, by in hidden.items()
            ],
        )


def checked(conditions: object) -> Condition:
    """The condition of a suppression. Raises :class:`Invalid` for one that cannot be, hides all, or asks what is not
    known yet of a new alert."""
    if not isinstance(conditions, Mapping) or not conditions:
        raise Invalid(_("Say which alerts: at least one condition"), field="conditions")
    try:
        condition = parse(conditions)
    except ConditionError as error:
        raise Invalid(str(error), field="conditions") from error
    if late := [term.key for term in condition.terms if term.field not in FIELDS]:
        raise Invalid(
            _("%(key)s is not known when an alert comes. Known are: %(fields)s")
            % {"key": late[0], "fields": ", ".join(FIELDS)},
            field="conditions",
        )
    return condition
