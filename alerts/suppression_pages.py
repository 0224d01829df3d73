"""The questions behind suppressions: what each hides, and what a new one would have hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alerts.matching import prefilter
from alerts.models import Alert, Delivery, Suppression
from alerts.querysets import AlertQuerySet, SuppressionQuerySet
from alerts.suppressions import checked
from opensoar import clock
from opensoar.accounts.models import Partner
from opensoar.accounts.services import partner_or_everybody
from opensoar.actors import Actor
from opensoar.ids import first_id_at

PREVIEW_DAYS = 30
LOOKED_AT = 20_000  # alerts that a preview reads at the most
SHOWN = 10
COUNTED = 100_000  # hidden alerts are counted up to here
_BATCH = 500
_HIDDEN = """
    SELECT s.id, h.n, h.last FROM unnest(%s::uuid[]) AS s(id) CROSS JOIN LATERAL (
        SELECT count(*) AS n, max(x.created_at) AS last FROM (
            SELECT a.created_at FROM alerts_alert a
            WHERE a.suppressed_by_id = s.id AND a.archived_at IS NULL AND (%s::uuid[] IS NULL OR a.partner_id = ANY(%s::uuid[]))
            ORDER BY a.id DESC LIMIT %s
        ) x
    ) h
"""


@dataclass(frozen=True, slots=True)
class Hidden:
    """How many alerts a suppression hides, at most :data:`COUNTED`, and when the last of them came."""

    count: int
    last_at: datetime | None


def hidden_by(actor: Actor, rows: Iterable[Suppression]) -> dict[UUID, Hidden]:
    """What each hides of what ``actor`` may see, in one query."""
    ids = [row.pk for row in rows]
    partners = None if actor.partner_ids is None else list(actor.partner_ids)
    with connection.cursor() as cursor:
        cursor.execute(_HIDDEN, [ids, partners, partners, COUNTED])
        return {pk: Hidden(count, last_at) for pk, count, last_at in cursor.fetchall()}


def suppressions(actor: Actor, state: str) -> SuppressionQuerySet:
    """What the list shows, newest first: those in ``state``, all of them where that is none."""
    rows = Suppression.objects.visible_to(actor).with_related()
    return rows.in_state(state) if state in Suppression.State.values else rows


def show_hidden(actor: Actor, rows: list[Suppression]) -> None:
    """Put ``hidden`` on every row, and ``may_end``: whether ``actor`` may end it. One query."""
    hidden, may_end = hidden_by(actor, rows), actor.can("suppressions:manage")
    for row in rows:
        row.hidden = hidden[row.pk]  # type: ignore[attr-defined]
        everybodys = row.partner_id is None and actor.partner_ids is not None
        row.may_end = may_end and row.is_active and not everybodys  # type: ignore[attr-defined]


@dataclass(slots=True)
class Preview:
    """What a suppression would have hidden. ``alerts`` are some of them, those that were no noise first."""

    total: int = 0
    determined: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    cut: bool = False
    alerts: list[Alert] = field(default_factory=list)

    @property
    def harmful(self) -> int:
        """How many turned out to be malicious or suspicious."""
        return self.determined["malicious"] + self.determined["suspicious"]

    @property
    def sentence(self) -> str:
        """In words."""
        count = {"n": self.total, "days": PREVIEW_DAYS}
        if not self.total:
            return _("would have hidden no alert of the last %(days)d days") % count
        said = ngettext(
            "would have hidden this %(n)d alert of the last %(days)d days",
            "would have hidden these %(n)d alerts of the last %(days)d days",
            self.total,
        )
        parts = [said % count]
        for word, label in (("malicious", _("malicious")), ("suspicious", _("suspicious"))):
            if bad := self.determined[word]:
                told = ngettext("%(n)d of which was %(what)s", "%(n)d of which were %(what)s", bad)
                parts.append(told % {"n": bad, "what": label})
        return ", ".join(parts)


def preview(*, actor: Actor, conditions: Mapping[str, Any], partner: Partner | str | None = None) -> Preview:
    """What a suppression with these ``conditions`` would have hidden of the last days' alerts, newest first.

    Stored alerts are asked as they are now: a severity that somebody changed counts as changed. At most
    :data:`LOOKED_AT` are read (``cut`` says whether there were more). Raises :class:`Invalid` as making it would.
    """
    condition = checked(conditions)
    whose = partner_or_everybody(partner, actor=actor)
    since = clock.now() - timedelta(days=PREVIEW_DAYS)
    rows = Alert.objects.visible_to(actor).shown().filter(prefilter(condition))
    rows = rows.filter(pk__gte=first_id_at(since), created_at__gte=since).order_by("-id")
    if whose is not None:
        rows = rows.filter(partner=whose)
    asked = {term.field for term in condition.terms}
    columns = asked - {"raw", "raw_payload", "partner"}
    rows = rows.only("determination", "partner_id", *columns)  # rows are wide, and there may be many
    found, bad, others = Preview(), list[UUID](), list[UUID]()
    for alert, payload in _with_bodies(rows, asks_body=not asked.isdisjoint({"raw", "raw_payload"})):
        found.looked_at += 1
        if found.looked_at > LOOKED_AT:
            found.looked_at, found.cut = LOOKED_AT, True
            break
        known = {name: getattr(alert, name) for name in columns}
        if condition.matches(known | {"partner": alert.partner.public_slug, "raw_payload": payload}):
            found.total += 1
            found.determined[alert.determination] += 1
            (bad if alert.determination in ("malicious", "suspicious") else others).append(alert.pk)
    chosen = [*bad, *others][:SHOWN]
    shown = Alert.objects.visible_to(actor).with_related().in_bulk(chosen)
    found.alerts = [shown[pk] for pk in chosen if pk in shown]
    return found


def _with_bodies(rows: AlertQuerySet, *, asks_body: bool) -> Iterator[tuple[Alert, Any]]:
    """Alerts with the first body of each, which is what ingest would have looked at; ``None`` where nobody asks."""
    partners = {partner.pk: partner for partner in Partner.objects.all()}
    for some in batched(rows[: LOOKED_AT + 1].iterator(chunk_size=_BATCH), _BATCH):
        bodies: dict[UUID, Delivery] = {}
        if asks_body:
            first = Delivery.objects.filter(alert_id__in=[alert.pk for alert in some])
            bodies = {
                one.alert_id: one
                for one in first.order_by("alert_id", "id").distinct("alert_id")
                if one.alert_id is not None
            }
        for alert in some:
            alert.partner = partners[alert.partner_id]
            body = bodies.get(alert.pk)
            yield alert, body.payload if body else None
