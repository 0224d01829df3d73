"""The questions behind the pages of playbooks and runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import quantiles
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.urls import reverse

from alerts.models import Alert
from incidents.models import Incident
from opensoar.actors import Actor
from playbooks_engine.models import (
    ActionResult,
    Approval,
    Playbook,
    PlaybookFile,
    PlaybookRun,
)
from playbooks_engine.models.runs import LIVE_STATES
from playbooks_engine.querysets import RunQuerySet

SHOWN_STEPS = 300
LAST_RUNS = 20
PANEL_RUNS = 6
MOVING = (PlaybookRun.State.PENDING, PlaybookRun.State.RUNNING, PlaybookRun.State.WAITING)


class Tick(NamedTuple):
    """One run in the row of the last ones, drawn by the server: what ended well is quiet, what failed stands out."""

    shade: str
    x: int
    y: int
    height: int


TICKS = {
    "success": ("f-quiet", 3, 10),
    "failed": ("f-critical", 0, 16),
    "needs_attention": ("f-critical", 0, 16),
}


@dataclass(frozen=True, slots=True)
class History:
    """The last runs of a playbook, oldest first: states, and how long the finished ones took (seconds)."""

    states: list[str]
    seconds: list[float]
    last_at: datetime

    @property
    def ticks(self) -> list[Tick]:
        """The row of the last runs."""
        drawn = (TICKS.get(state, ("f-medium", 6, 7)) for state in self.states)
        return [Tick(shade, 5 * n, y, height) for n, (shade, y, height) in enumerate(drawn)]

    @property
    def success(self) -> str:
        """Of those that ended, how many per cent succeeded."""
        ended = [state for state in self.states if state in {"success", "failed"}]
        return f"{100 * ended.count('success') / len(ended):.0f} %" if ended else ""

    @property
    def median_and_95(self) -> str:
        """Median and 95th percentile of the time they took."""
        if len(self.seconds) < 2:
            return " / ".join(in_seconds(value) for value in self.seconds)
        cuts = quantiles(self.seconds, n=20, method="inclusive")
        return f"{in_seconds(cuts[9])} / {in_seconds(cuts[18])}"


def in_seconds(value: float) -> str:
    """Seconds as people read them."""
    if 0 < value < 0.95:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 3600 else f"{value / 3600:.0f} h"


def playbooks(actor: Actor) -> list[Playbook]:
    """In the order in which one event would run them.

    Each with ``history`` (``None`` before its first run) and ``may_switch``: what runs for every partner is switched by
    those who see every partner.
    """
    manages = actor.can("playbooks:manage")
    found = list(Playbook.objects.visible_to(actor).select_related("partner").order_by("order", "name"))
    histories = _histories(actor, [playbook.pk for playbook in found])
    for playbook in found:
        playbook.history = histories.get(playbook.pk)  # type: ignore[attr-defined]
        everybody = actor.partner_ids is None
        playbook.may_switch = manages and (everybody or playbook.partner_id)  # type: ignore[attr-defined]
    return found


def _histories(actor: Actor, ids: list[UUID]) -> dict[UUID, History]:
    partners = None if actor.partner_ids is None else list(actor.partner_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT p.id, r.state, r.created_at, extract(epoch FROM r.finished_at - r.started_at)
            FROM unnest(%s::uuid[]) AS p(id)
            CROSS JOIN LATERAL (
                SELECT run.id, run.state, run.created_at, run.started_at, run.finished_at
                FROM playbooks_engine_playbookrun run
                WHERE run.playbook_id = p.id AND (%s::uuid[] IS NULL OR EXISTS (
                    SELECT 1 FROM playbooks_engine_sequence s WHERE s.id = run.sequence_id AND s.partner_id = ANY(%s::uuid[])
                ))
                ORDER BY run.id DESC LIMIT %s
            ) r ORDER BY r.id
            """,
            [ids, partners, partners, LAST_RUNS],
        )
        rows = cursor.fetchall()
    found: dict[UUID, History] = {}
    for playbook_id, state, created_at, seconds in rows:
        known = found.get(playbook_id)
        states, times = (known.states, known.seconds) if known else ([], [])
        states.append(state)
        if seconds is not None:
            times.append(float(seconds))
        found[playbook_id] = History(states, times, created_at)
    return found


def names(actor: Actor) -> list[str]:
    """What runs can be filtered by."""
    return list(Playbook.objects.visible_to(actor).order_by("name").values_list("name", flat=True))


def runnable(actor: Actor, partner_id: UUID | None) -> list[Playbook]:
    """What ``actor`` may start on something of ``partner_id``, or on its input alone."""
    found = Playbook.objects.visible_to(actor).runnable()
    if partner_id is not None:
        found = found.filter(Q(partner__isnull=True) | Q(partner_id=partner_id))
    return list(found.order_by("order", "name"))


def broken_files() -> list[PlaybookFile]:
    """Files that the last load could not import."""
    return list(PlaybookFile.objects.exclude(error=""))


def runs(actor: Actor) -> RunQuerySet:
    """What a list of runs starts from, newest first."""
    return PlaybookRun.objects.visible_to(actor).with_related().select_related("sequence__observable")


def waiting_count(actor: Actor) -> int:
    """How many runs wait for a person: those that need attention, and those that ask for approval."""
    asking = Approval.objects.filter(state=Approval.State.PENDING).order_by().values("run")
    live = PlaybookRun.objects.visible_to(actor).filter(state__in=LIVE_STATES)
    return live.filter(Q(state=PlaybookRun.State.NEEDS_ATTENTION) | Q(pk__in=asking)).count()


def runs_about(
    actor: Actor, *, alert: Alert | None = None, incident: Incident | None = None
) -> list[PlaybookRun]:
    """The newest runs on an alert, or on an incident and its alerts, each with ``done``: its calls, if few queries allow.

    Two queries, however many runs.
    """
    found = runs(actor).order_by("-id")
    if alert is not None:
        found = found.filter(sequence__alert=alert)
    if incident is not None:
        found = found.filter(
            Q(sequence__incident=incident) | Q(sequence__alert__in=incident.alerts.values("pk"))
        )
    shown = list(found[:PANEL_RUNS])
    calls: dict[UUID, list[ActionResult]] = {run.pk: [] for run in shown}
    for call in (
        ActionResult.objects.filter(run__in=shown).defer("input", "output").order_by("id")[:SHOWN_STEPS]
    ):
        calls[call.run_id].append(call)
    for run in shown:
        run.done = calls[run.pk]  # type: ignore[attr-defined]
    return shown


def panel(actor: Actor, *, alert: Alert | None, incident: Incident | None) -> dict[str, Any]:
    """What ``runs/_panel_rows.html`` shows, and where it asks again while a run moves."""
    rows = runs_about(actor, alert=alert, incident=incident)
    about = f"alert={alert.pk}" if alert else f"incident={incident.number}" if incident else ""
    return {
        "rows": rows,
        "moving": any(row.state in MOVING for row in rows),
        "again": f"{reverse('runs:panel')}?{about}",
    }
