"""The questions behind the pages of playbooks and runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from alerts.models import Alert
from incidents.models import Incident
from opensoar.actors import Actor
from opensoar.web.live import Watch, watch
from playbooks_engine.models import (
    ActionAttempt,
    ActionResult,
    Approval,
    CallOutput,
    Playbook,
    PlaybookFile,
    PlaybookRun,
    RunLog,
)
from playbooks_engine.querysets import RunQuerySet

SHOWN_STEPS = 300
SHOWN_CHARACTERS = 20_000  # of one input or output; the API has the whole
LAST_RUNS = 20
PANEL_RUNS = 6
SHOWN_LINES = 200
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
            return " / ".join(_seconds(value) for value in self.seconds)
        cuts = quantiles(self.seconds, n=20, method="inclusive")
        return f"{_seconds(cuts[9])} / {_seconds(cuts[18])}"


def _seconds(value: float) -> str:
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
    return PlaybookRun.objects.visible_to(actor).with_related()


def waiting_count(actor: Actor) -> int:
    """How many runs wait for a person."""
    return PlaybookRun.objects.visible_to(actor).filter(state="needs_attention").count()


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


class Bar(NamedTuple):
    """One attempt on the time line of a run; per cent of its width."""

    shade: str
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a run's journal: the call, and its attempts as bars between start and end of the run."""

    call: ActionResult
    bars: list[Bar]


LANE = 96  # per cent of the lane that the run's time fills
SHADES = {"success": "f-good", "failed": "bar-try", "started": "f-info"}


def steps(run: PlaybookRun) -> list[Step]:
    """What a run has done, in order, without inputs and outputs: two queries."""
    calls = list(run.calls.defer("input", "output", "error_value").order_by("id")[:SHOWN_STEPS])
    attempts: dict[UUID, list[ActionAttempt]] = {call.pk: [] for call in calls}
    for attempt in ActionAttempt.objects.filter(call_id__in=attempts).order_by("number"):
        attempts[attempt.call_id].append(attempt)
    first, whole = _span(run, calls)

    def bar(state: str, begun: datetime, ended: datetime | None) -> Bar:
        width = ((ended or first + whole) - begun) / whole * LANE
        return Bar(
            SHADES.get(state, "f-medium"), round((begun - first) / whole * LANE, 2), round(max(width, 0.6), 2)
        )

    def bars(call: ActionResult) -> list[Bar]:
        if call.attempts < 2:
            return [bar(call.state, call.started_at, call.finished_at)]
        return [bar(tried.state, tried.started_at, tried.finished_at) for tried in attempts[call.pk]]

    return [Step(call, bars(call)) for call in calls]


def _span(run: PlaybookRun, calls: list[ActionResult]) -> tuple[datetime, timedelta]:
    """When the run's first call began, and how long it took from there to its end, or to now."""
    first = min((call.started_at for call in calls), default=run.created_at)
    ended = [call.finished_at for call in calls if call.finished_at]
    last = max(ended, default=first) if run.is_final else timezone.now()
    return first, max(last - first, timedelta(milliseconds=1))


def axis(run: PlaybookRun, shown: list[Step]) -> list[tuple[int, str]]:
    """Marks of the time line: (per cent, how long after the first call)."""
    if not shown:
        return []
    _first, whole = _span(run, [step.call for step in shown])
    return [(int(LANE * part), _seconds(whole.total_seconds() * part)) for part in (0, 0.25, 0.5, 0.75, 1)]


@dataclass(frozen=True, slots=True)
class Detail:
    """A call as it is read; ``input`` and ``output`` are indented JSON, cut where too long."""

    call: ActionResult
    input: str | None
    output: str | None


def detail(run: PlaybookRun, wanted: str, shown: Iterable[Step]) -> Detail | None:
    """The call that was asked for, else the one that failed or is under way, else the last."""
    calls = [step.call for step in shown]
    if not calls:
        return None
    telling = next((call for call in calls if call.state != "success"), calls[-1])
    pk = next((call.pk for call in calls if str(call.pk) == wanted), telling.pk)
    call = run.calls.get(pk=pk)
    output = call.output
    if call.large:
        output = CallOutput.objects.filter(pk=call.pk).values_list("data", flat=True).first()
    return Detail(call, readable(call.input), readable(output))


def readable(text: str | None) -> str | None:
    """JSON indented for reading, cut where too long; ``None`` for none."""
    if text is None:
        return None
    if len(text) > 1_000_000:  # not worth parsing to show its beginning
        return text[:SHOWN_CHARACTERS] + "…"
    pretty = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    return pretty if len(pretty) <= SHOWN_CHARACTERS else pretty[:SHOWN_CHARACTERS] + "…"


def logs(run: PlaybookRun) -> list[RunLog]:
    """What it logged last, oldest first."""
    return list(run.logs.order_by("-id")[:SHOWN_LINES])[::-1]


def sequence_of(run: PlaybookRun) -> list[PlaybookRun]:
    """The runs that one event caused, in their order; none where it is the only one."""
    siblings = list(run.sequence.runs.select_related("playbook").order_by("position"))
    return siblings if len(siblings) > 1 else []


def watch_run(actor: Actor, pk: UUID) -> Watch:
    """What a page has seen of one run: its state, and that of every call."""
    runs = PlaybookRun.objects.visible_to(actor).filter(pk=pk).order_by()
    calls = ActionResult.objects.filter(run__in=runs).order_by()
    return watch(
        runs.values_list("state", "cancel_requested_at", "sequence__state", "sequence__wake_at"),
        calls.values_list("pk", "state", "attempts"),
        Approval.objects.filter(run__in=runs).order_by().values_list("pk", "state"),
        RunLog.objects.filter(run__in=runs).order_by().values_list("pk"),
    )
