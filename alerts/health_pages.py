"""How each source is, for page, API and dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Sum
from django.utils import timezone

from alerts.ledger.rhythm import length_text
from alerts.models import SourceHealth, SourceHour
from opensoar.actors import Actor


@dataclass(frozen=True, slots=True)
class SourceState:
    """One source of one partner (its public slug). Gaps are seconds; counts are of the last 24 full hours and this one."""

    source: str
    partner: str | None
    partner_name: str
    state: str
    """learning, speaking or silent."""
    first_at: datetime
    last_at: datetime
    usual_gap: float | None
    silent_since: datetime | None
    alerts_24h: int
    usual_24h: float | None
    quarantined_24h: int

    @property
    def usual_gap_text(self) -> str:
        """The usual gap for people; empty while it is learnt."""
        return "" if self.usual_gap is None else length_text(self.usual_gap)

    @property
    def quarantined_share(self) -> float:
        """Of the last 24 hours, 0 to 1."""
        return self.quarantined_24h / self.alerts_24h if self.alerts_24h else 0.0

    @property
    def quarantined_percent(self) -> int:
        """Rounded up: one of many is not none."""
        return -int(-100 * self.quarantined_share // 1)


def sources_of(actor: Actor) -> list[SourceState]:
    """Every source that ``actor`` sees, silent ones first. Two queries."""
    rows = list(SourceHealth.objects.visible_to(actor).select_related("partner"))
    counts = _last_day({row.partner_id for row in rows})
    found = [_state(row, *counts.get((row.partner_id, row.source), (0, 0))) for row in rows]
    return sorted(found, key=lambda one: (one.state != "silent", one.source, one.partner_name))


def _state(row: SourceHealth, count: int, quarantined: int) -> SourceState:
    state = "silent" if row.silent_since else "learning" if row.usual_gap is None else "speaking"
    return SourceState(
        source=row.source, partner=row.partner.public_slug, partner_name=row.partner.name, state=state,
        first_at=row.first_at, last_at=row.last_at, usual_gap=row.usual_gap, silent_since=row.silent_since,
        alerts_24h=count, usual_24h=row.usual_day, quarantined_24h=quarantined,
    )  # fmt: skip


def _last_day(partners: set[UUID]) -> dict[tuple[UUID, str], tuple[int, int]]:
    recent = SourceHour.objects.filter(hour__gte=timezone.now() - timedelta(days=1), partner_id__in=partners)
    totals = recent.values_list("partner_id", "source").annotate(Sum("count"), Sum("quarantined"))
    return {(partner_id, source): (count, bad) for partner_id, source, count, bad in totals}
